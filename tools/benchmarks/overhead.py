"""What CSE costs where nothing, or almost nothing, is to be gained."""

from collections.abc import Iterator

import jax
from jax import lax
import jax.numpy as jnp

from benchmarks.frame import Case, enabled, entry
from benchmarks.large_networks import resnet, transformer
from benchmarks.sizes import Size
import jax_cse


@entry("tracing a program in which almost nothing is redundant")
def overhead_of_tracing(size: Size) -> Iterator[Case]:
  networks = ({"2-layer transformer": transformer(layers=2),
               "ResNet-14": resnet((1, 1, 1, 1), width=8, classes=10, size=32)}
              if size.quick else {"24-layer transformer": transformer(),
                             "ResNet-50": resnet()})
  for name, (loss, params, x) in networks.items():
    def trace(loss=loss, params=params, x=x):
      # A new function each time, so that no cache has the jaxpr.
      return jax.make_jaxpr(
          lambda p, y: jax.value_and_grad(loss)(p, y))(params, x)

    plain, merged = len(trace().eqns), len(enabled(trace)().eqns)
    assert 0.85 * plain < merged <= plain, (name, plain, merged)
    yield Case(f"value_and_grad of a {name}", trace, enabled(trace), limit=1.25,
               counts={"equations": plain})


@entry("eager lax calls that miss, each on an array not seen before")
def overhead_of_an_eager_miss(size: Size) -> Iterator[Case]:
  calls = 50 if size.quick else 2000
  scalars = [jnp.float32(i) for i in range(calls)]
  rows = [jnp.arange(3.0) + i for i in range(calls)]
  matrices = [jnp.full((64, 64), 1.0 + i) for i in range(calls)]
  for name, operation, operands in (
      ("sin of a scalar", lax.sin, scalars),
      ("add of two scalars", lambda x: lax.add(x, x), scalars),
      ("sum of a row of 3", lambda x: lax.reduce_sum(x, (0,)), rows),
      ("product of 64 x 64 matrices", lambda x: lax.dot(x, x), matrices)):

    def run(operation=operation, operands=operands):
      for x in operands:
        operation(x)

    with jax_cse.enabled() as memo:
      run()
    assert (memo.stats.hits, memo.stats.misses) == (0, calls), memo.stats
    yield Case(name, run, enabled(run), limit=1.5)
