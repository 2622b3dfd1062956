"""`cse` and `cse_jaxpr`: what they cost to apply."""

from collections.abc import Iterator
import functools

import jax
from jax import lax
import jax.numpy as jnp

from benchmarks.frame import Case, enabled, entry
from benchmarks.sizes import Size
import jax_cse
from jax_cse.orders import blowup
from jax_cse.orders.order_counts import nested_jvp
from specs import SMOOTH


def _long_program(length):
  """Sums, products and others, each used again some equations later."""
  operations = (None, lax.add, lax.mul, lax.sub)
  def fun(x):
    recent = [x, lax.sin(x), lax.mul(x, 0.5)]
    for i in range(length):
      a, b = recent[-1], recent[-3]
      y = lax.sin(a) if i % 4 == 0 else operations[i % 4](a, b)
      recent = [*recent[-2:], y]
    return recent[-1]
  return fun


@entry("cse_jaxpr of ten times as many equations, 10,000 or in full 100,000")
def linear_time(size: Size) -> Iterator[Case]:
  small, large = (jax.make_jaxpr(_long_program(n))(jnp.ones(3))
                  for n in size.of((100, 1_000), (1_000, 10_000),
                                   (10_000, 100_000)))
  for mode in ("exact", "reassociate", "ring"):
    simplify = lambda jaxpr, mode=mode: jax_cse.cse_jaxpr(jaxpr, mode)
    yield Case(mode, functools.partial(simplify, small),
               functools.partial(simplify, large), limit=12, turns=1,
               ours=False)


@entry("tracing and cse_jaxpr over tracing alone, 10,000 equations")
def over_tracing(size: Size) -> Iterator[Case]:
  length = 100 if size.quick else 10_000
  trace = lambda: jax.make_jaxpr(lambda x: _long_program(length)(x))(
      jnp.ones(3))
  for mode, limit in (("exact", 2.0), ("reassociate", None), ("ring", None)):
    # A new jaxpr each time: what was simplified is left as it is.
    yield Case(mode, trace, lambda mode=mode: jax_cse.cse_jaxpr(trace(), mode),
               limit=limit, turns=3, ours=False)


@entry("the explicit trace over the memoized bind, nested jvp, cold caches")
def explicit_over_memo(size: Size) -> Iterator[Case]:
  for name, fun in (("thread", blowup.function), *[
      (spec.name, spec.fun) for spec in SMOOTH
      if spec.name in ("tanh mlp", "attention")]):
    for order in (4, 6):
      make = lambda order=order, fun=fun: nested_jvp(fun, order)
      plain = lambda make=make: jax.jit(make())
      explicit = lambda make=make: jax.jit(jax_cse.cse(make()))
      for stage, run in (("trace", lambda f: f.trace(0.3)),
                         ("trace, lower, compile",
                          lambda f: f.trace(0.3).lower().compile())):
        yield Case(f"{name}, order {order}, {stage}",
                   enabled(lambda run=run, f=plain: run(f())),
                   lambda run=run, f=explicit: run(f()), turns=3,
                   prepare=jax.clear_caches, ours=False)
