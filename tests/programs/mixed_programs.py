"""Hypothesis strategies for programs of mixed types, and how they compare.

A program is data, as in whole_programs.py: instructions on a stack of four
arrays of four numbers, whose types are drawn and change on the way. Integers of
eight bits wrap, halves overflow, and scalars are weak:

    [("convert", 3, 0), ("dot", 2, 0, 1), ("callback", 0), ("again", 1)]

Instructions that hold programs are loops, branches, calls, a `shard_map`, and
custom rules that are wrong on purpose (doubled, constant, with a callback), so
that the derivative of the body would be seen in place of the rule. They
close over nothing traced: JAX leaves tracers in jaxprs if they do.

What callbacks are given is written down. It must be as many arrays as in plain
JAX, of the same types, and in mode "exact" of the same bits.
"""

import jax
from hypothesis import strategies as st
from jax import lax
import jax.numpy as jnp
import numpy as np

import agreement
import roads

WIDTH = 4
TYPES = (jnp.float32, jnp.float16, jnp.bfloat16, jnp.complex64, jnp.int8,
         jnp.uint8, jnp.int32, jnp.bool_)
INEXACT = 4
ROWS = (np.array([1.0, -2.0, 0.5, 3.0]), np.array([0.3, 0.7, 1.1, -0.2]),
        np.array([100.0, 77.0, -50.0, 2.0]), np.array([0.0, -0.0, 1.0, 6e4]))
CONSTANTS = (0, 1, 2, 0.0, 0.5, 3.0, -1.5, True, np.float32(2), np.int8(100))


class _Record(list):
  """What callbacks were given."""
  with_values = False

  def note(self, x):
    x = np.asarray(x)
    parts = np.stack([x.real, x.imag]).astype(np.float64)
    self.append(agreement.Seen(f"{x.dtype}{x.shape}", False,
                               parts if self.with_values else 0))


_seen = _Record()


def _number(x):
  return x.astype(jnp.int32) if x.dtype == jnp.bool_ else x


def _real(x):
  return x.real if jnp.iscomplexobj(x) else _number(x)


def _inexact(x):
  return x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32)


def _row(x):
  return jnp.broadcast_to(x, (WIDTH,))


UNARY = (
    lambda x: -_number(x), lambda x: _number(x) * _number(x), jnp.sin,
    lambda x: jnp.tanh(_real(x)), lambda x: _number(x) ** 3, jnp.abs,
    jnp.conj, lambda x: jnp.floor(_real(x)), lambda x: _row(_number(x).sum()),
    lambda x: _row(x.mean()), lambda x: _row(_real(x).max()),
    lambda x: _row(_number(x).prod()), lambda x: jnp.cumsum(_number(x)),
    lambda x: _row(jnp.sum(_number(x), dtype=jnp.float32)),
    lambda x: x[::-1], lambda x: x[jnp.array([3, 0, 0, 1])],
    lambda x: _row(_number(x)[:2].sum() * 2), lax.stop_gradient,
    lambda x: (_number(x) + _number(x)) - _number(x),
)
BINARY = (
    lambda x, y: _number(x) + _number(y), lambda x, y: _number(x) - _number(y),
    lambda x, y: _number(x) * _number(y),
    lambda x, y: jnp.maximum(_real(x), _real(y)),
    lambda x, y: _number(x) / (2 + jnp.abs(_number(y))),
    lambda x, y: jnp.where(_real(x) < _real(y), x, y),
    lambda x, y: _number(x) * 2 + _number(x) * _number(y),
    lambda x, y: jnp.outer(_number(x), _number(y)).sum(0),
)


def _dot(x, y, preferred):
  y = y.astype(x.dtype)
  wide = jnp.promote_types(x.dtype, preferred)
  if jnp.issubdtype(wide, jnp.inexact) != jnp.issubdtype(x.dtype, jnp.inexact):
    wide = x.dtype
  return _row(lax.dot(x, y, preferred_element_type=wide))


def _note(x):
  jax.debug.callback(_seen.note, x)


# What an instruction with programs of its own does. `fs` are the programs as
# functions from a stack to one array, `n` is a number from 0 to 3.


def _scan(fs, stack, n):
  a, *rest = stack
  def step(carry, row):
    y = fs[0]([carry, _row(row), *rest[1:]])
    if n % 2:
      _note(row)
    return y.astype(a.dtype), y
  carry, rows = lax.scan(step, a, rest[0][:3], reverse=n > 1)
  return rows[1] if n else carry


def _cond(fs, stack, n):
  like = stack[n].dtype
  branch = lambda f: lambda s: f(s).astype(like)
  return lax.cond(_real(stack[0])[n] < 1, branch(fs[0]), branch(fs[-1]), stack)


def _jit(fs, stack, n):
  call = jax.jit(lambda *s: fs[0](s))
  first = call(*stack)
  return first if n else _number(first) + _number(call(*stack))


def _custom_jvp(fs, stack, n):
  @jax.custom_jvp
  def fun(x):
    return _inexact(fs[0]([x] * 4))

  @fun.defjvp
  def rule(xs, ts):
    x, t = xs[0], ts[0]
    y = fun(x)
    if n == 1:
      return y, jnp.ones_like(y)
    if n == 2:
      _note(x)
    if n == 3:
      lax.scan(lambda c, row: (_note(row), c)[::-1], 0, x[:2])
    return y, (2 * t).astype(y.dtype)
  return fun(_inexact(stack[0]))


def _custom_vjp(fs, stack, n):
  fun = jax.custom_vjp(lambda x: _inexact(fs[0]([x] * 4)))
  fun.defvjp(lambda x: (fun(x), x), lambda x, g: ((3 * x).astype(x.dtype),))
  x = _inexact(stack[0])
  if n == 0 and jnp.issubdtype(x.dtype, jnp.floating):
    return jax.grad(lambda y: _real(fun(y)).sum().astype(jnp.float32))(x)
  return fun(x)


def _ref(fs, stack, n):
  ref = jax.new_ref(stack[0])
  ref[...] = fs[0]([ref[...], *stack[1:]]).astype(stack[0].dtype)
  between = ref[...]
  ref[n] = between[0]
  return _number(ref[...]) + _number(between)


def _shard_map(fs, stack, n):
  devices = jax.devices()[:1 + n % 2]
  mesh = jax.sharding.Mesh(np.array(devices), ("i",))
  spec = jax.sharding.PartitionSpec("i" if n > 1 else None)
  def body(x, y):
    z = _number(x) + _number(y)
    return z * 2 - _number(x)
  return jax.shard_map(body, mesh=mesh, in_specs=(spec, spec), out_specs=spec)(
      stack[0], fs[0](stack))


NESTED = {
    "scan": _scan, "cond": _cond, "jit": _jit, "custom_jvp": _custom_jvp,
    "custom_vjp": _custom_vjp, "ref": _ref, "shard_map": _shard_map,
}
TRANSFORMS = {
    "none": lambda f: f,
    "jit": jax.jit,
    "vmap": lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x + 1])),
    "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
}

indices = st.integers(0, 3)
_types = st.integers(0, len(TYPES) - 1)
_flat = st.one_of(
    st.tuples(st.just("unary"), st.integers(0, len(UNARY) - 1), indices),
    st.tuples(st.just("binary"), st.integers(0, len(BINARY) - 1), indices,
              indices),
    st.tuples(st.just("convert"), _types, indices),
    st.tuples(st.just("dot"), _types, indices, indices),
    st.tuples(st.just("constant"), st.integers(0, len(CONSTANTS) - 1), indices,
              st.integers(0, 2)),
    st.tuples(st.just("callback"), indices),
    st.tuples(st.just("again"), indices),
)


def programs(depth: int, size: int):
  """Programs of up to `size` instructions, nested up to `depth` deep."""
  if not depth:
    return st.lists(_flat, min_size=1, max_size=size)
  nested = st.tuples(st.sampled_from(list(NESTED)),
                     st.lists(programs(depth - 1, 3), min_size=1, max_size=2),
                     indices)
  return st.lists(st.one_of(_flat, _flat, nested), min_size=1, max_size=size)


# A program, the types of what its stack begins with, the row, and how it is
# called and compared.
cases = st.tuples(
    programs(1, 6),
    st.tuples(st.integers(0, INEXACT - 1), _types, _types, _types),
    st.integers(0, len(ROWS) - 1), st.sampled_from(list(TRANSFORMS)),
    st.sampled_from(list(roads.ROADS)))


def meaning(program, types):
  """The function of one array that a program stands for."""
  def fun(x):
    stack = [x] + [jnp.asarray(ROWS[i]).astype(TYPES[t])
                   for i, t in enumerate(types[1:])]
    return _run(program, stack)
  return fun


def _run(program, stack):
  history = []
  for instruction in program:
    operands = stack
    if instruction[0] == "again":
      at = max(len(history) - 1 - instruction[1], 0)
      instruction, operands = history[at] if history else (("unary", 0, 0),
                                                           stack)
    history.append((instruction, operands))
    stack = [_push(instruction, operands), *stack[:3]]
  return stack[0]


def _push(instruction, stack):
  kind, what, *numbers = instruction
  if kind in NESTED:
    fs = [lambda s, program=program: _run(program, list(s))
          for program in what]
    return NESTED[kind](fs, list(stack), numbers[0])
  if kind == "callback":
    _note(stack[what])
    return stack[what]
  a = stack[numbers[0]]
  if kind == "unary":
    return UNARY[what](a)
  if kind == "binary":
    return BINARY[what](a, stack[numbers[1]])
  if kind == "convert":
    return a.astype(TYPES[what])
  if kind == "dot":
    return _dot(a, stack[numbers[1]], TYPES[what])
  return BINARY[numbers[1]](a, jnp.asarray(CONSTANTS[what]))


def check(case) -> str:
  """Raises AssertionError if CSE can be seen; says how it was compared."""
  program, types, row, transform, road = case
  fun = TRANSFORMS[transform](meaning(program, types))
  x = jnp.asarray(ROWS[row]).astype(TYPES[types[0]])
  _seen.with_values = road.endswith("exact") and not road.startswith("jit")
  plain = roads.Plain(fun, [x], strictness=agreement.NUMBERS, record=_seen)
  try:
    return roads.check(road, plain)
  except AssertionError as e:
    raise AssertionError(f"{case}:\n{e}") from e
