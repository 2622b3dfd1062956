"""Nested `jvp`, traced: the stages until it can run, and their growth."""

from collections.abc import Iterator
import functools

import jax

from benchmarks import contenders
from benchmarks.contests import Contest
from benchmarks.frame import Case, enabled, entry
from benchmarks.sizes import Size
import jax_cse
from jax_cse.orders import blowup
from jax_cse.orders import order_counts
from programs import POINT, PROGRAMS


@entry("nested jvp of the thread's function, from cold caches")
def nested_jvp(size: Size) -> Iterator[Case]:
  for order in (2, 4, 6, 8):
    make = lambda order=order: order_counts.nested_jvp(blowup.function, order)
    counts = jax_cse.count_primitives(make())(blowup.POINT).total()
    with jax_cse.enabled():
      merged = jax_cse.count_primitives(make())(blowup.POINT).total()
    assert merged <= counts
    taylor = jax_cse.count_primitives(
        order_counts.taylor(blowup.function, order))(blowup.POINT).total()

    def trace(make=make):
      return jax.jit(make()).trace(blowup.POINT)

    def compile_(make=make):
      return trace(make).lower().compile()

    equations = {"plain": counts, "CSE": merged, "jet": taylor}
    yield Case(f"trace, order {order}", trace, enabled(trace), turns=7,
               prepare=jax.clear_caches, counts=equations)
    yield Case(f"trace, lower, compile, order {order}", compile_,
               enabled(compile_), turns=5, prepare=jax.clear_caches,
               counts=equations)
    yield Case(f"trace with warm caches, order {order}", trace, enabled(trace),
               turns=7, counts=equations)


_PROGRAMS = ("scan", "cond", "silu mlp", "layer norm mlp", "cholesky")


@entry("tracing nested jvp with CSE at order 8, over order 4")
def growth_of_tracing(size: Size) -> Iterator[Case]:
  for name, fun in PROGRAMS.items():
    def trace(order, fun=fun):
      with jax_cse.enabled():
        return jax.jit(order_counts.nested_jvp(fun, order)).trace(POINT)

    with jax_cse.enabled():
      low, high = (
          jax_cse.count_primitives(order_counts.nested_jvp(fun, order))(
              POINT).total() for order in (4, 8))
    assert high <= 10 * low, (name, low, high)
    plain = jax_cse.count_primitives(order_counts.nested_jvp(fun, 4))(
        POINT).total()
    yield Case(name, functools.partial(trace, 4), functools.partial(trace, 8),
               limit=10, turns=3, prepare=jax.clear_caches, ours=False,
               counts={"plain, order 4": plain, "order 4": low,
                       "order 8": high})


@entry("stages of the 4th derivative of one number, every way over plain")
def stages(size: Size) -> Iterator[Contest]:
  for name in _PROGRAMS[:1] if size.quick else _PROGRAMS:
    yield Contest(f"{name}, order 4",
                  {way: make(PROGRAMS[name], 4)
                   for way, make in contenders.DERIVATIVE.items()}, (POINT,),
                  budget=8)
