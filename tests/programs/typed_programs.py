"""Random programs on arrays of all types, converted into one another.

As in whole_programs.py a program is data: a list of instructions on a stack of
four arrays, of three numbers or of one. Here each of the four has a type of its
own, and instructions convert, reduce in another type, ask a product for
another, or bring in a Python number, whose type is weak:

    [("convert", 1, 0), ("binary", 0, 0, 0), ("reduce", 1, 0, 0)]

of a float16 is sum(x.astype(bfloat16) + x.astype(bfloat16), dtype=float32).
Rows have numbers that overflow when they are added, or when they are converted.
"""

import warnings

from hypothesis import strategies as st
import jax
import jax.numpy as jnp
from jax import lax
import numpy as np

warnings.filterwarnings("ignore", category=np.exceptions.ComplexWarning)

# Types that want 64 bits stand at the end.
DTYPES = tuple(map(np.dtype, (
    np.float32, jnp.bfloat16, np.float16, np.int8, np.uint8, np.int32, np.int16,
    np.complex64, bool, jnp.float8_e4m3fn, jnp.float8_e5m2,
    np.float64, np.int64, np.complex128)))
WITHOUT_64_BITS = 11
WIDTH = 3
ROWS = (
    (0.5, -1.25, 3.0), (100.0, 127.0, -128.0), (60000.0, 1.0, -2.0),
    (256.0, 1.0, 1e-8), (0.0, -0.0, 1.0), (float("nan"), float("inf"), -1.0),
    (0.3, 0.7, 1.1), (200.0, 100.0, 3.0))
SCALARS = (2, -1, 0.5, 100, 65536.0, 1e-8, 3, True, 0, 257.0, 1j,
           np.float32(2), np.int8(100), np.float16(60000),
           np.dtype(jnp.bfloat16).type(257))


def row(what: int, dtype) -> np.ndarray:
  """A row as a type has it: the nearest integer, and no NaN among those."""
  values = np.array(ROWS[what])
  if dtype.kind in "iu":
    info = np.iinfo(dtype)
    values = np.clip(np.nan_to_num(values), info.min, info.max)
  with np.errstate(all="ignore"):
    return values.astype(dtype)


def _numbers(fun):
  """Booleans as integers, on which arithmetic is defined."""
  return lambda *xs: fun(*(x.astype(np.int8) if x.dtype == bool else x
                           for x in xs))


def _alike(fun):
  """The second converted to the type of the first where neither may be."""
  def wrapped(x, y, *rest):
    if any(t.itemsize == 1 and t.kind not in "iub" for t in (x.dtype, y.dtype)):
      y = y.astype(x.dtype)
    return fun(x, y, *rest)
  return wrapped


def _less(x, y):
  real = [jnp.real(a) for a in (x, y)]
  return lax.lt(*jnp.broadcast_arrays(*jnp.promote_dtypes(*real)))


def vector(x):
  return jnp.broadcast_to(x, (WIDTH,))


UNARY = (
    _numbers(lambda x: -x), _numbers(jnp.square), jnp.sum, _numbers(abs),
    _numbers(lambda x: x - x), _numbers(lambda x: x + x), jnp.sin, jnp.mean,
    _numbers(lambda x: x ** 3), jnp.exp, jnp.tanh, jnp.sqrt, jnp.var,
    _numbers(jnp.sign), lambda x: jnp.cumsum(vector(x)), jnp.real, jnp.conj,
    lambda x: vector(x)[::-1], lambda x: jnp.max(jnp.real(x)), jnp.prod,
    lambda x: jax.nn.relu(jnp.real(x)), lambda x: vector(x).at[1].add(x[..., 0]
                                                       if x.ndim else x),
    lambda x: jax.nn.softmax(vector(jnp.real(x))), lax.stop_gradient,
    lambda x: vector(x)[1], vector, lambda x: jnp.real(x) > 0, jnp.linalg.norm,
)
BINARY = (
    _alike(_numbers(jnp.add)), _alike(_numbers(jnp.subtract)),
    _alike(_numbers(jnp.multiply)), _alike(_numbers(jnp.divide)),
    _alike(lambda x, y: jnp.where(_less(x, y), x, y)),
    _alike(lambda x, y: jnp.maximum(jnp.real(x), jnp.real(y))),
    _alike(lambda x, y: jnp.concatenate([vector(x), vector(y)])[1:4]),
    _alike(lambda x, y: jnp.outer(x, y)[0]),
    lambda x, y: jnp.take(vector(x), jnp.real(y).astype(np.int32), mode="wrap"),
)
REDUCTIONS = (
    jnp.sum, jnp.mean, jnp.prod, lambda x, dtype: jnp.cumsum(vector(x),
                                                             dtype=dtype))


def _dot(x, y, wanted):
  """A product of two, in a wider type of the kind if that is wanted."""
  x, y = vector(x), vector(y)
  dtype = x.dtype if x.dtype != bool else np.dtype(np.int8)
  wide = dtype.kind == wanted.kind and wanted.itemsize > dtype.itemsize
  return lax.dot(x.astype(dtype), y.astype(dtype),
                 preferred_element_type=wanted if wide else None)


def as_type(x, like):
  """As the carry of a loop has to be."""
  x = lax.convert_element_type(x, like.dtype)
  return vector(x) if like.ndim else x if not x.ndim else x[0]


def _scan(f, stack, n):
  def step(carry, x):
    y = as_type(f([carry, x, *stack[2:]]), carry)
    return y, x
  return lax.scan(step, stack[0], jnp.stack([stack[1]] * (n + 1)))[0]


def _fori(f, stack, n):
  return lax.fori_loop(
      0, n, lambda k, x: as_type(f([x, stack[1], k * stack[2], x]), x),
      stack[0])


def _cond(f, stack, n):
  x, y = stack[:2]
  predicate = jnp.real(vector(x))[n % WIDTH] < jnp.real(vector(y))[0]
  return lax.cond(predicate, lambda s: as_type(f(s), x), lambda s: s[0], stack)


def _custom_jvp(f, stack, n):
  """A rule that is wrong on purpose, and computes in the type that it gets."""
  fun = jax.custom_jvp(lambda x, *others: as_type(f([x, *others]), x))
  fun.defjvp(lambda xs, ts: (fun(*xs), ts[0] if (
      ts[0].dtype == jax.dtypes.float0) else ts[0] + ts[0]))
  return fun(*stack)


NESTED = {
    "jit": lambda f, stack, n: jax.jit(lambda *s: f(s))(*stack),
    "scan": _scan, "fori": _fori, "cond": _cond, "custom_jvp": _custom_jvp,
    "checkpoint": lambda f, stack, n: jax.checkpoint(f)(stack),
    "vmap": lambda f, stack, n: jax.vmap(lambda x: vector(f(
        [x, *stack[1:]])))(vector(stack[0]))[n % WIDTH],
}

_index = st.integers(0, 3)


def programs(depth: int, size: int, wide: bool):
  """Programs of up to `size` instructions; `wide`: with types of 64 bits."""
  dtypes = st.integers(0, len(DTYPES) - 1 if wide else WITHOUT_64_BITS - 1)
  one_of = lambda table: st.integers(0, len(table) - 1)
  kinds = [
      st.tuples(st.just("convert"), dtypes, _index),
      st.tuples(st.just("unary"), one_of(UNARY), _index),
      st.tuples(st.just("binary"), one_of(BINARY), _index, _index),
      st.tuples(st.just("python"), one_of(SCALARS), st.integers(0, 3), _index),
      st.tuples(st.just("reduce"), one_of(REDUCTIONS), dtypes, _index),
      st.tuples(st.just("dot"), dtypes, _index, _index),
      st.tuples(st.just("weak"), one_of(SCALARS)),
      st.tuples(st.just("again"), _index)]
  # Conversions and sums are what this is about.
  kinds = [kinds[0], kinds[2], *kinds]
  if depth:
    kinds.append(st.tuples(st.sampled_from([*NESTED]),
                           programs(depth - 1, 3, wide), _index))
  return st.lists(st.one_of(kinds), min_size=1, max_size=size)


def operands(wide: bool):
  """Of three operands the type and the row."""
  dtypes = st.integers(0, len(DTYPES) - 1 if wide else WITHOUT_64_BITS - 1)
  one = st.tuples(dtypes, st.integers(0, len(ROWS) - 1))
  return st.lists(one, min_size=3, max_size=3)


def meaning(program):
  """The function of a list of arrays that `program` stands for."""
  return lambda xs: run(program, [*xs, xs[0]], NESTED, push)


def run(program, stack, nested, push):
  """What a program leaves on top of a stack of four."""
  history = []
  for instruction in program:
    stack = list(stack)
    if instruction[0] == "again":
      at = max(len(history) - 1 - instruction[1], 0)
      instruction, of = history[at] if history else (("unary", 0, 0), stack)
    else:
      of = stack
    history.append((instruction, of))
    if instruction[0] in nested:
      kind, inner, n = instruction
      f = lambda s, inner=inner: run(inner, list(s), nested, push)
      result = nested[kind](f, of, n)
    else:
      result = push(instruction, of)
    stack = [result, *stack[:3]]
  return stack[0]


def push(instruction, stack):
  """What an instruction without programs of its own computes."""
  kind, what, *numbers = instruction
  if kind == "convert":
    return lax.convert_element_type(stack[numbers[0]], DTYPES[what])
  if kind == "unary":
    return UNARY[what](stack[numbers[0]])
  if kind == "binary":
    return BINARY[what](stack[numbers[0]], stack[numbers[1]])
  if kind == "python":
    scalar, x = SCALARS[what], stack[numbers[1]]
    x = x.astype(np.int8) if x.dtype == bool else x
    return (lambda x, y: x + y, lambda x, y: x * y, lambda x, y: y - x,
            lambda x, y: x / y)[numbers[0]](x, scalar)
  if kind == "reduce":
    return REDUCTIONS[what](stack[numbers[1]], dtype=DTYPES[numbers[0]])
  if kind == "dot":
    return _dot(stack[numbers[0]], stack[numbers[1]], DTYPES[what])
  return jnp.asarray(SCALARS[what])
