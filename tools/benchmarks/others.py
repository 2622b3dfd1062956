"""What `enabled()` costs around programs of other people's packages."""

from collections.abc import Iterator
import importlib.util
import time

import jax

from benchmarks.frame import Case, Line, enabled, entry
from benchmarks.sizes import Size
from workloads.packages import PROGRAMS


@entry("programs of other packages, to trace and to trace and lower, CPU time")
def others(size: Size) -> Iterator[Case | Line]:
  for name, program in PROGRAMS.items():
    missing = [package for package in program.packages
               if importlib.util.find_spec(package) is None]
    if missing:
      yield Line(name, {"ratio": f"{', '.join(missing)} is not installed"})
      continue
    fun, operands = program.make()

    def trace(fun=fun, operands=operands):
      # A new function each time, so that no cache has the jaxpr.
      return jax.jit(lambda *xs: fun(*xs)).trace(*operands)

    lower = lambda trace=trace: trace().lower()
    ways = (("traced", trace, 1.3), ("traced and lowered", lower, None))
    for what, run, limit in ways if size.full else ways[:1]:
      yield Case(f"{name}, {what}", run, enabled(run), limit, turns=5,
                 prepare=jax.clear_caches, clock=time.process_time)
