"""How many calls of Python and of C it takes to trace, with CSE over without.

The counts are the same in each run, on a noisy machine too, so they tell a
change of one percent, for which a clock needs an hour. A call is 40 to 100 ns.
"""

from collections.abc import Callable, Iterator
import gc
import sys

import jax

from benchmarks.frame import Count, enabled, entry
from benchmarks.large_networks import resnet, transformer
from benchmarks.sizes import Size
from jax_cse.orders.order_counts import nested_jvp
from programs import POINT, PROGRAMS


def calls(run: Callable[[], object]) -> int:
  """The calls of one run, from cold caches of JAX's."""
  run()   # what is made once is not counted
  jax.clear_caches()
  gc.collect()
  count = 0

  def see(frame, event, _):
    nonlocal count
    count += event in ("call", "c_call")

  before = sys.getprofile()
  sys.setprofile(see)
  try:
    run()
  finally:
    sys.setprofile(before)
  return count


@entry("calls of Python and C to trace, the same in each run")
def calls_of_tracing(size: Size) -> Iterator[Count]:
  layers = 2 if size.quick else 24
  for name, (loss, params, x) in {
      f"value_and_grad of a {layers}-layer transformer": transformer(
          layers=layers),
      "value_and_grad of a ResNet": resnet(
          (1, 1, 1, 1), width=8, classes=10, size=32)}.items():
    yield _compared(name, lambda loss=loss, params=params, x=x: jax.make_jaxpr(
        lambda p, y: jax.value_and_grad(loss)(p, y))(params, x))
  for name in ("scan", "cond", "while_loop"):
    yield _compared(f"{name}, fourth nested jvp", lambda name=name: (
        jax.make_jaxpr(nested_jvp(PROGRAMS[name], 4))(POINT)))


def _compared(name, run) -> Count:
  control, candidate = calls(run), calls(enabled(run))
  return Count(name, control, candidate)
