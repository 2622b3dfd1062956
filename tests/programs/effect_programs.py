"""Random programs with effects, references and rules of their own.

Instructions on a stack of four arrays of three numbers, as in
typed_programs.py. Callbacks look at values in loops and branches, references
are read and written there, and functions have rules that are wrong on purpose
(a tangent doubled, left out, or the same whatever comes in), some of which have
effects themselves. What callbacks see is noted in `RECORD`.
"""

import functools

from hypothesis import strategies as st
import jax
from jax import lax
from jax.experimental import io_callback
import jax.numpy as jnp
import numpy as np

from agreement import OF_RULES, Seen
import typed_programs

WIDTH = 3
RECORD: list[Seen] = []
_in_rule = [False]
ROWS = (
    np.array([1.0, -2.0, 0.5]), np.array([0, -0.0, 1]), np.zeros(3),
    np.array([0.3, 0.7, 1.1]), np.array([np.nan, np.inf, -np.inf]))


@functools.cache
def _note(by: str, ordered: bool):
  def note(*values):
    RECORD.append(Seen(by, ordered, np.concatenate(
        [np.ravel(np.asarray(v, np.float64)) for v in values])))
  return note


def _look(x, ordered=False):
  by = OF_RULES if _in_rule[-1] else "look"
  jax.debug.callback(_note(by, ordered), x, ordered=ordered)
  return x


def _do(x, ordered):
  def double(value):
    _note("do", ordered)(value)
    return np.asarray(value) * np.float32(2)
  return io_callback(double, jax.ShapeDtypeStruct(x.shape, x.dtype), x,
                     ordered=ordered)


@jax.custom_jvp
def _host_sin(x):
  return jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x,
                           vmap_method="expand_dims")


_host_sin.defjvp(lambda x, t: (_host_sin(*x), jnp.cos(*x) * t[0]))


def _index(x):
  return lax.rem(lax.abs(lax.convert_element_type(
      lax.clamp(np.float32(-99), x[0], np.float32(99)), np.int32)),
      np.int32(WIDTH))


def vector(x):
  return lax.broadcast(x, (WIDTH,))


UNARY = (
    lax.sin, lax.neg, lax.square, lax.tanh, lambda x: lax.cumsum(x, 0),
    lambda x: vector(lax.reduce_sum(x, (0,))), lambda x: lax.rev(x, (0,)),
    lambda x: x * np.float32(0.5), lambda x: lax.max(x, np.float32(0)),
    lambda x: x - x, jax.nn.relu, jnp.sinc, _host_sin, lax.exp,
    lax.stop_gradient)
BINARY = (
    lax.add, lax.sub, lax.mul, lax.max, lambda x, y: lax.select(x < y, x, y),
    lambda x, y: x.at[_index(y)].add(y[1]), lax.div)


def _ref_product(x, y):
  ref = jax.new_ref(x)
  ref[...] = ref[...] * y
  return ref[...] + x


def _ref_sum(x, y):
  ref = jax.new_ref(x)
  ref[...] += y
  before = ref[...]
  ref[1] += y[0]
  return before * ref[...]


def _ref_of_parts(x, y):
  ref = jax.new_ref(x)
  ref[_index(y)] = y[0]
  return ref[...]


def _frozen(x, y):
  ref = jax.new_ref(x)
  ref[2] = y[1]
  return jax.freeze(ref)


def _two_refs(x, y):
  p, q = jax.new_ref(x), jax.new_ref(x)
  p[...] = p[...] + y
  return p[...] * q[...]


REFS = (_ref_product, _ref_sum, _ref_of_parts, _frozen, _two_refs)


# Instructions with a program of their own, a function from a stack to an array.

def _scan(f, stack, n):
  def step(carry, x):
    return f([carry, x, *stack[2:]]), carry
  last, rows = lax.scan(step, stack[0], jnp.stack([stack[1]] * 3),
                        length=3, reverse=n > 1)
  return last + rows[n % WIDTH]


def _while(f, stack, n):
  def body(state):
    k, x = state
    return k + 1, f([x, *stack[1:]])
  return lax.while_loop(lambda s: s[0] < n, body, (0, stack[0]))[1]


def _fori(f, stack, n):
  return lax.fori_loop(0, n, lambda k, x: f([x, *stack[1:]]), stack[0])


def _cond(f, stack, n):
  return lax.cond(stack[0][n % WIDTH] < stack[1][0], f, lambda s: s[1], stack)


def _switch(f, stack, n):
  return lax.switch(_index(stack[0]), [f, lambda s: s[n], f], stack)


def _jit(f, stack, n):
  call = jax.jit(lambda *s: f(s))
  return call(*stack) + call(stack[1], *stack[1:]) if n else call(*stack)


def _map(f, stack, n):
  return lax.map(lambda x: f([x, *stack[1:]]), jnp.stack(stack[:2]))[n % 2]


def _vmap(f, stack, n):
  return jax.vmap(lambda x: f([x, *stack[1:]]))(jnp.stack(stack[:2]))[n % 2]


def _ref_in_scan(f, stack, n):
  ref = jax.new_ref(stack[0])
  def step(carry, x):
    ref[...] = f([ref[...], x, carry, stack[3]])
    return carry, ref[n % WIDTH]
  _, rows = lax.scan(step, stack[1], jnp.stack(stack[:3]))
  return ref[...] + rows


def _ref_in_while(f, stack, n):
  ref = jax.new_ref(stack[0])
  def body(k):
    ref[...] = f([ref[...], *stack[1:]])
    return k + 1
  lax.while_loop(lambda k: k < n, body, 0)
  return ref[...]


def _ref_in_cond(f, stack, n):
  ref = jax.new_ref(stack[0])
  def write():
    ref[...] = f([ref[...], *stack[1:]])
  lax.cond(stack[1][0] < stack[0][n % WIDTH], write, lambda: None)
  return ref[...]


def _ref_in_jit(f, stack, n):
  ref = jax.new_ref(stack[0])
  @jax.jit
  def write(*s):
    ref[...] += f(s)
    return ref[...]
  first = write(*stack)
  return write(*stack) - first if n else first


def _ref_passed(f, stack, n):
  ref = jax.new_ref(stack[0])
  @jax.jit
  def write(r, *s):
    r[...] = f([r[...], *s])
    return r[n % WIDTH]
  return vector(write(ref, *stack[1:])) + ref[...]


def _ref_returned(f, stack, n):
  ref = jax.jit(lambda *s: jax.new_ref(f(s)))(*stack)
  ref[n % WIDTH] = stack[1][0]
  return ref[...]


def _with_rule(rule, **settings):
  """A custom_jvp of two arrays, whose tangent is `rule(f, xs, ts)`."""
  def wrapped(f, stack, n):
    fun = jax.custom_jvp(lambda x, y: f([x, y, x, y]))
    def derived(xs, ts):
      y = fun(*xs)
      _in_rule.append(True)
      try:
        return y, rule(f, xs, ts)
      finally:
        _in_rule.pop()
    fun.defjvp(derived, **settings)
    return fun(stack[0], stack[1])
  return wrapped


def _looks(f, xs, ts):
  _look(xs[0])
  return 3 * _look(ts[0])


def _refers(f, xs, ts):
  ref = jax.new_ref(ts[0])
  ref[...] += ref[...]
  return ref[...] * xs[1]


def _loops(f, xs, ts):
  return lax.fori_loop(0, 2, lambda _, t: t * xs[0], ts[0] - ts[1])


def _of_zeros(f, xs, ts):
  zero = jax.custom_derivatives.SymbolicZero
  t = [jnp.zeros(WIDTH, np.float32) if type(t) is zero else 2 * t for t in ts]
  return t[0] + xs[0] * t[1]


def _nondiff(f, stack, n):
  fun = jax.custom_jvp(lambda k, x: x * k + f([x, x, x, x]),
                       nondiff_argnums=(0,))
  fun.defjvp(lambda k, xs, ts: (fun(k, *xs), k * ts[0] * xs[0]))
  return fun(n, stack[0])


def _custom_vjp(f, stack, n):
  fun = jax.custom_vjp(lambda x, y: f([x, y, x, y]))
  fun.defvjp(lambda x, y: (fun(x, y), x),
             lambda x, g: (jnp.clip(g, -0.5, 0.5), g * x))
  return fun(stack[0], stack[1])


def _custom_gradient(f, stack, n):
  fun = jax.custom_gradient(lambda x: (f([x, x, x, x]), lambda g: (g * x,)))
  return fun(stack[0])


def _root(f, stack, n):
  """The root of y**3 + y - a, and its derivative by the implicit function."""
  a = lax.tanh(f(stack))
  newton = lambda g, y: lax.fori_loop(
      0, 8, lambda _, y: y - g(y) / (3 * y * y + 1), y)
  return lax.custom_root(lambda y: y * y * y + y - a, jnp.zeros_like(a),
                         newton, lambda g, y: y / g(jnp.ones_like(y)))


def _linear_solve(f, stack, n):
  d = 2 + lax.tanh(stack[1])
  solve = lambda matvec, b: b / matvec(jnp.ones_like(b))
  return lax.custom_linear_solve(lambda x: d * x, f(stack), solve,
                                 transpose_solve=solve)


def _of_first(transformed):
  def wrapped(f, stack, n):
    return transformed(lambda x: f([x, *stack[1:]]), stack[0], stack[1])
  return wrapped


RULES = {
    "doubled": _with_rule(lambda f, xs, ts: 2 * ts[0] - ts[1] * f([*xs, *xs])),
    "ignores": _with_rule(lambda f, xs, ts: jnp.zeros_like(ts[0])),
    "constant": _with_rule(lambda f, xs, ts: jnp.ones_like(ts[0])),
    "looks": _with_rule(_looks), "refers": _with_rule(_refers),
    "loops": _with_rule(_loops),
    "of zeros": _with_rule(_of_zeros, symbolic_zeros=True),
    "nondiff": _nondiff, "custom_vjp": _custom_vjp,
    "custom_gradient": _custom_gradient, "root": _root,
    "linear solve": _linear_solve,
}
LOOPS = {
    "scan": _scan, "while": _while, "fori": _fori, "cond": _cond,
    "switch": _switch, "jit": _jit, "map": _map, "vmap": _vmap,
    "checkpoint": lambda f, stack, n: jax.checkpoint(f)(stack),
    "ref in scan": _ref_in_scan, "ref in while": _ref_in_while,
    "ref in cond": _ref_in_cond, "ref in jit": _ref_in_jit,
    "ref passed": _ref_passed, "ref returned": _ref_returned,
}
FORWARD = {
    "jvp": _of_first(lambda f, x, v: jax.jvp(f, (x,), (v,))[1]),
    "linearize": _of_first(lambda f, x, v: jax.linearize(f, x)[1](v)),
}
REVERSE = {
    "grad": _of_first(lambda f, x, v: jax.grad(lambda y: f(y).sum())(x))}
NESTED = RULES | LOOPS | FORWARD | REVERSE

_stack_index = st.integers(0, 3)
_one_of = lambda table: st.integers(0, len(table) - 1)
_flat = st.one_of(
    st.tuples(st.just("unary"), _one_of(UNARY), _stack_index),
    st.tuples(st.just("binary"), _one_of(BINARY), _stack_index, _stack_index),
    st.tuples(st.just("row"), _one_of(ROWS), _one_of(BINARY), _stack_index),
    st.tuples(st.just("look"), st.booleans(), _stack_index),
    st.tuples(st.just("ref"), _one_of(REFS), _stack_index, _stack_index),
    st.tuples(st.just("again"), _stack_index))
_do_some = st.tuples(st.just("do"), st.booleans(), _stack_index)


def programs(depth: int, size: int, does: bool = False):
  """Programs of up to `size` instructions, nested up to `depth` deep; `does`:
  with callbacks that have results, which JAX does not differentiate."""
  flat = st.one_of(_flat, _do_some) if does else _flat
  if not depth:
    return st.lists(flat, min_size=1, max_size=size)
  nested = st.tuples(st.sampled_from([*NESTED]),
                     programs(depth - 1, 3, does), _stack_index)
  return st.lists(st.one_of(flat, nested, nested), min_size=1, max_size=size)


def meaning(program):
  """The function of an array that `program` stands for."""
  return lambda x: typed_programs.run(program, [x] * 4, NESTED, push)


def push(instruction, stack):
  """What an instruction without programs of its own computes."""
  kind, what, *numbers = instruction
  x = stack[numbers[-1]]
  if kind == "unary":
    return UNARY[what](x)
  if kind == "look":
    return _look(x, ordered=what)
  if kind == "do":
    return _do(x, what)
  if kind == "row":
    return BINARY[numbers[0]](x, jnp.asarray(ROWS[what], np.float32))
  table = REFS if kind == "ref" else BINARY
  return table[what](stack[numbers[0]], x)


def has(kinds, program) -> bool:
  """Whether an instruction of these kinds is anywhere in it."""
  return any(i[0] in kinds or (i[0] in NESTED and has(kinds, i[1]))
             for i in program)
