"""Hypothesis strategies for whole programs, and what they mean.

A program is data, so that hypothesis can shrink it and a message can show it: a
list of instructions on a stack of four arrays of three numbers. Each pushes one
array. An instruction may hold programs of its own, which a loop, a call, a
custom rule or a transformation then runs:

    [("unary", 1, 0), ("scan", ([("binary", 2, 0, 1)],), 3, True), ("again", 0)]

"again" does once more what an earlier instruction did, on the same operands, so
that there is something to merge, however large the instruction.

Custom rules are wrong on purpose (a tangent doubled, a cotangent clipped), so
that taking the derivative of the body instead would be seen.
"""

import contextlib

import jax
from hypothesis import strategies as st
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse import compat

WIDTH = 3


def _integers(fun):
  """An integer function of floats: of their whole parts, in int32."""
  def wrapped(*xs):
    whole = [lax.convert_element_type(lax.clamp(x.dtype.type(-99), x,
                                                x.dtype.type(99)), np.int32)
             for x in xs]
    return lax.convert_element_type(fun(*whole), xs[0].dtype)
  return wrapped


def _row_sum(x):
  return lax.broadcast(lax.reduce_sum(x, (0,)), (WIDTH,))


def _index(x):
  """An index in range, from data."""
  return lax.rem(lax.abs(lax.convert_element_type(
      lax.clamp(x.dtype.type(-99), x[0], x.dtype.type(99)), np.int32)),
      np.int32(WIDTH))


UNARY = (
    lax.neg, lax.sin, lax.cos, lax.tanh, lax.exp, lax.abs, lax.sign, lax.floor,
    lax.sqrt, lax.log1p, lax.square, lambda x: lax.integer_pow(x, 3), _row_sum,
    lambda x: lax.rev(x, (0,)), lambda x: lax.cumsum(x, 0), lax.sort,
    lambda x: lax.broadcast(lax.reduce_max(x, (0,)), (WIDTH,)),
    lambda x: lax.broadcast(lax.reduce_prod(x, (0,)), (WIDTH,)),
    lambda x: lax.convert_element_type(
        lax.convert_element_type(x, np.float16), x.dtype),
    lambda x: lax.dynamic_slice(lax.concatenate([x, x], 0), (1,), (WIDTH,)),
    _integers(lambda n: lax.mul(n, n)), _integers(lax.population_count),
    jax.nn.relu, jax.nn.silu, jax.nn.softplus, jax.nn.softmax,
    lax.stop_gradient, lax.optimization_barrier,
    lambda x: jnp.where(x > 0, x, 0.5 * x),
    lambda x: x[jnp.array([2, 0, 0])],
    lambda x: x.at[1].set(x[2]),
    lambda x: x + jax.random.uniform(jax.random.key(7, impl="rbg"), (WIDTH,),
                                     x.dtype),
)
BINARY = (
    lax.add, lax.sub, lax.mul, lax.div, lax.max, lax.min, lax.atan2, lax.rem,
    lax.pow, lambda x, y: lax.select(lax.lt(x, y), x, y),
    lambda x, y: lax.select(lax.eq(x, y), y, x),
    lambda x, y: lax.broadcast(lax.dot(x, y), (WIDTH,)),
    lambda x, y: jnp.outer(x, y)[1], lambda x, y: jnp.convolve(x, y, "same"),
    lambda x, y: lax.broadcast(lax.dynamic_index_in_dim(x, _index(y), 0, False),
                               (WIDTH,)),
    lambda x, y: lax.dynamic_update_slice(x, y[:1], (_index(y),)),
    lambda x, y: x.at[_index(y)].add(y[0]),
    _integers(lax.bitwise_and), _integers(lax.mul),
)
CONSTANTS = (0.0, -0.0, 1.0, 1, True, 2.0, float("nan"), float("inf"), -1.5,
             np.float32(1), np.float16(1))
ROWS = (
    np.array([1.0, -2.0, 0.5]), np.array([0, -0.0, 1]),
    np.array([np.nan, np.inf, -np.inf]), np.zeros(3), np.array([0.3, 0.7, 1.1]),
    np.array([0x7fc00001, 0xffc00002, 0x80000000], np.uint32).view(np.float32),
)

# What an instruction with programs of its own does. `fs` are the programs as
# functions from a stack to one array, `n` is a number from 0 to 3.


def _scan(fs, stack, n):
  a, b, c, d = stack
  def step(carry, row):
    p, q = carry
    return (fs[0]([p, row, d if n % 2 else q, q]), p), q
  (p, _), rows = lax.scan(step, (a, b), jnp.stack([c, a, c]), reverse=n > 1)
  return lax.add(p, lax.reduce_sum(rows, (0,)))


def _while(fs, stack, n):
  a, b, _, d = stack
  def holds(state):
    k, x, _ = state
    return (k < 3) & (x[0] < 5) if n % 2 else k < n
  def body(state):
    k, x, y = state
    count = lax.broadcast(lax.convert_element_type(k, x.dtype), (WIDTH,))
    return k + 1, fs[0]([x, y, count, d]), x
  return lax.while_loop(holds, body, (0, a, b))[1]


def _fori(fs, stack, n):
  return lax.fori_loop(0, n, lambda k, x: fs[0]([x, *stack[1:]]), stack[0])


def _cond(fs, stack, n):
  predicate = stack[0][n % WIDTH] < stack[1][0]
  if n < 2:
    return lax.cond(predicate, fs[0], fs[-1], stack)
  return lax.cond(predicate, lambda: fs[0](stack), lambda: fs[-1](stack))


def _switch(fs, stack, n):
  branches = [fs[0], fs[-1], lambda s: s[n]]
  return lax.switch(_index(stack[0]), branches, stack)


def _map(fs, stack, n):
  return lax.map(lambda x: fs[0]([x, *stack[1:]]), jnp.stack(stack[:2]))[n % 2]


def _jit(fs, stack, n):
  call = jax.jit(lambda *s: fs[0](s), inline=n == 3 and compat.INLINE)
  if n == 0:  # two calls of one function, whose operands differ in places
    return call(*stack) - call(stack[1], *stack[1:])
  return call(*stack)


def _custom_jvp(fs, stack, n):
  fun = jax.custom_jvp(lambda x, y: fs[0]([x, y, x, y]))
  fun.defjvp(lambda xs, ts: (fun(*xs), 2 * ts[0] - ts[1] * fs[-1](
      [xs[0], xs[0], xs[1], xs[1]])))
  return fun(stack[0], stack[1])


def _custom_vjp(fs, stack, n):
  fun = jax.custom_vjp(lambda x, y: fs[0]([x, y, x, y]))
  fun.defvjp(lambda x, y: (fun(x, y), x),
             lambda x, g: (jnp.clip(g, -0.5, 0.5), g * x))
  return fun(stack[0], stack[1])


def _ref(fs, stack, n):
  ref = jax.new_ref(stack[0])
  ref[...] = fs[0]([ref[...], *stack[1:]])
  between = ref[...]
  ref[n % WIDTH] = stack[1][0]
  return ref[...] + between


def _of_first(transformed):
  """A transformation of the program as a function of the first array."""
  def wrapped(fs, stack, n):
    return transformed(lambda x: fs[0]([x, *stack[1:]]), stack[0], stack[1], n)
  return wrapped


FORWARD = {
    "scan": _scan, "while": _while, "fori": _fori, "cond": _cond,
    "switch": _switch, "map": _map, "jit": _jit, "custom_jvp": _custom_jvp,
    "custom_vjp": _custom_vjp, "ref": _ref,
    "checkpoint": lambda fs, stack, n: jax.checkpoint(fs[0])(stack),
    "jvp": _of_first(lambda f, x, v, n: jax.jvp(f, (x,), (v,))[1]),
    "jvp jvp": _of_first(lambda f, x, v, n: jax.jvp(
        lambda y: jax.jvp(f, (y,), (v,))[1], (x,), (v,))[1]),
    "linearize": _of_first(lambda f, x, v, n: jax.linearize(f, x)[1](v)),
    "jacfwd": _of_first(lambda f, x, v, n: jax.jacfwd(f)(x)[:, n % WIDTH]),
    "vmap": _of_first(
        lambda f, x, v, n: jax.vmap(f)(jnp.stack([x, v, x]))[n % WIDTH]),
}
REVERSE = {
    "grad": _of_first(lambda f, x, v, n: jax.grad(lambda y: f(y).sum())(x)),
    "vjp": _of_first(lambda f, x, v, n: jax.vjp(f, x)[1](v)[0]),
}
DERIVATIVES = {"jvp", "jvp jvp", "linearize", "jacfwd", *REVERSE}
CONTEXTS = {"enabled": jax_cse.enabled, "disabled": jax_cse.disabled}
NESTED = FORWARD | REVERSE

indices = st.integers(0, 3)
_flat = st.one_of(
    st.tuples(st.just("unary"), st.integers(0, len(UNARY) - 1), indices),
    st.tuples(st.just("binary"), st.integers(0, len(BINARY) - 1), indices,
              indices),
    st.tuples(st.just("constant"), st.integers(0, len(CONSTANTS) - 1), indices,
              st.sampled_from((2, 3, 1, 0))),
    st.tuples(st.just("row"), st.integers(0, len(ROWS) - 1), indices,
              st.sampled_from((0, 2))),
    st.tuples(st.just("again"), indices),
)


def programs(depth: int, size: int):
  """Programs of up to `size` instructions, nested up to `depth` deep."""
  if not depth:
    return st.lists(_flat, min_size=1, max_size=size)
  inner = programs(depth - 1, 3)
  nested = st.tuples(st.sampled_from([*NESTED, *CONTEXTS]),
                     st.lists(inner, min_size=1, max_size=2), indices)
  return st.lists(st.one_of(_flat, nested), min_size=1, max_size=size)


def has(kinds, program) -> bool:
  """Whether an instruction of these kinds is anywhere in it."""
  return any(i[0] in kinds or ((i[0] in NESTED or i[0] in CONTEXTS)
             and any(has(kinds, inner) for inner in i[1]))
             for i in program)


def meaning(program, with_contexts: bool):
  """The function of one array that `program` stands for.

  Args:
    program: of `programs`.
    with_contexts: whether "enabled" and "disabled" do anything.
  """
  return lambda x: _run(program, [x] * 4, with_contexts)


def _run(program, stack, with_contexts):
  history = []
  for instruction in program:
    stack = list(stack)
    if instruction[0] == "again":
      at = max(len(history) - 1 - instruction[1], 0)
      instruction, operands = history[at] if history else (("unary", 0, 0),
                                                           stack)
    else:
      operands = stack
    history.append((instruction, operands))
    stack = [_push(instruction, operands, with_contexts), *stack[:3]]
  return stack[0]


def _push(instruction, stack, with_contexts):
  kind, what, *numbers = instruction
  if kind in NESTED or kind in CONTEXTS:
    fs = [lambda s, program=program: _run(program, s, with_contexts)
          for program in what]
    if kind in NESTED:
      return NESTED[kind](fs, stack, numbers[0])
    with CONTEXTS[kind]() if with_contexts else contextlib.nullcontext():
      return fs[0](stack)
  a = stack[numbers[0]]
  if kind == "unary":
    return UNARY[what](a)
  if kind == "binary":
    return BINARY[what](a, stack[numbers[1]])
  if kind == "constant":
    constant = lax.convert_element_type(CONSTANTS[what], a.dtype)
    return BINARY[numbers[1]](a, lax.broadcast(constant, (WIDTH,)))
  return BINARY[numbers[1]](a, ROWS[what].astype(a.dtype))
