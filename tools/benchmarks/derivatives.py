"""`derivatives` beside `jax.experimental.jet`."""

from collections.abc import Iterator
import functools
import math

import jax
from jax.experimental import jet
import jax.numpy as jnp

from benchmarks.frame import Case, Count, entry, runs
from benchmarks.sizes import Size
import jax_cse
from programs import POINT
from specs import SMOOTH


def _all_by_jet(fun, order, directions):
  """All derivatives of a function of an array by jet."""
  series = [directions] + [jnp.zeros_like(directions)] * (order - 1)
  def derived(x):
    value, terms = jet.jet(fun, (x,), (series,))
    return value, *terms
  return derived


def _network(x):
  for seed in range(3):
    weights = jax.random.normal(jax.random.key(seed), (64, 64)) / 8
    x = jnp.tanh(x @ weights)
  return x


# Functions of arrays: a network of width 64 on 512 points, and elementwise ones
# on 100,000.
_BATCHED = {"network": (_network, (512, 64)), **{
    spec.name: (spec.fun, (100_000,)) for spec in SMOOTH
    if spec.name in ("thread", "tanh^3", "exp sin", "1/(1+t*t)", "tanh",
                     "power of tanh", "logistic chain", "erf polynomial")}}


def _batched(last_only: bool, size: Size) -> Iterator[tuple]:
  for name, (fun, shape) in _BATCHED.items():
    x = jnp.linspace(-2., 2., math.prod(shape)).reshape(shape)
    ones = jnp.ones_like(x)
    for order in (2,) if size.quick else (4, 7):
      ours = jax_cse.derivatives(fun, order)
      theirs = _all_by_jet(fun, order, ones)
      a, b = (lambda y, f=ours, v=ones: f(y, v)), theirs
      assert (jax_cse.count_primitives(a)(x).total()
              <= jax_cse.count_primitives(b)(x).total()), name
      if last_only:
        a, b = (lambda y, f=a: f(y)[-1]), (lambda y, f=b: f(y)[-1])
      yield f"{name}, order {order}", a, b, x


@entry("equations of derivatives over those of jet, all orders")
def derivatives_counts(size: Size) -> Iterator[Count]:
  for spec in SMOOTH:
    ones = jnp.ones_like(jnp.asarray(POINT))
    for order in (2,) if size.quick else (2, 4, 8, 10):
      ours, theirs = (
          jax_cse.count_primitives(fun)(jnp.asarray(POINT)).total()
          for fun in (jax_cse.derivatives(spec.fun, order),
                      _all_by_jet(spec.fun, order, ones)))
      yield Count(f"{spec.name}, order {order}", theirs, ours)


@entry("run time of compiled derivatives over that of jet's, all orders")
def derivatives_run(size: Size) -> Iterator[Case]:
  yield from runs(_batched(False, size))


@entry("the same where only the highest is wanted")
def derivatives_run_highest(size: Size) -> Iterator[Case]:
  yield from runs(_batched(True, size))


def _all_by_nested_jvp(fun, order, directions):
  def derived(x):
    levels = [fun]
    for _ in range(order):
      levels.append(lambda y, f=levels[-1]: jax.jvp(f, (y,), (directions,))[1])
    return [f(x) for f in levels]
  return derived


def _temporary(fun, x) -> int:
  """Bytes beside operands and results, as XLA plans them."""
  return jax.jit(lambda y: fun(y)).lower(x).compile(
      ).memory_analysis().temp_size_in_bytes


@entry("temporary memory of compiled derivatives over that of nested jvp's, "
       "in arrays beside the operand")
def derivatives_memory(size: Size) -> Iterator[Count]:
  for name, ours, _, x in _batched(False, size):
    order = int(name.split()[-1])
    fun, _ = _BATCHED[name.rsplit(",", 1)[0]]
    plain = _all_by_nested_jvp(fun, order, jnp.ones_like(x))
    # One array more on both sides: many need none.
    yield Count(name, x.nbytes + _temporary(plain, x),
                x.nbytes + _temporary(ours, x))


@entry("time to the first result of derivatives over that of jet, all orders")
def derivatives_first(size: Size) -> Iterator[Case]:
  for name, ours, theirs, x in _batched(False, size):
    first = lambda f, x=x: jax.block_until_ready(jax.jit(lambda y: f(y))(x))
    yield Case(name, functools.partial(first, theirs),
               functools.partial(first, ours),
               turns=3, prepare=jax.clear_caches)
