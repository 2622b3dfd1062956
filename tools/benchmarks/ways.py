"""Ways to compute one thing, from cold caches to a compiled function that runs.

The first way is the control: its result is what the others have to give, and
its figures are what theirs are over.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.frame import Line, middle, ratio, seconds, settle

_COUNTS = "flops", "temporary memory"


class Way(NamedTuple):
  name: str
  step: Callable
  context: Callable[[], Any] = contextlib.nullcontext


def _first(way, params):
  """The compiled step, and processor seconds to trace, and to the first result.
  """
  jax.clear_caches()
  start = time.process_time()
  with way.context():
    traced = jax.jit(lambda p: way.step(p)).trace(params)
    traced_at = time.process_time()
    compiled = traced.lower().compile()
  result = jax.block_until_ready(compiled(params))
  return compiled, result, (traced_at - start, time.process_time() - start)


def measured(ways, params, turns, runs, size):
  """Of each way: its name, its result, and by column flops, bytes of temporary
  memory, and times of the turns."""
  found, cold, warm = {}, {}, {}
  settle()
  for turn in size.turns(turns, 1):
    for way in ways[::-1] if turn % 2 else ways:
      compiled, result, times = _first(way, params)
      found[way.name] = compiled, result
      cold.setdefault(way.name, []).append(times)
  for _ in size.turns(runs, 5):
    for name, (compiled, _) in found.items():
      warm.setdefault(name, []).append(seconds(
          lambda c=compiled: jax.block_until_ready(c(params))))
  for way in ways:
    compiled, result = found[way.name]
    trace, first = zip(*cold[way.name])
    yield way.name, result, {
        # XLA leaves out zeros.
        "flops": [(compiled.cost_analysis() or {}).get("flops", 0.0)],
        "temporary memory": [compiled.memory_analysis().temp_size_in_bytes],
        "trace": trace, "first result": first, "run": warm[way.name]}


def compared(title: str, found: Sequence[tuple[str, Any, dict]], mark: str,
             tolerance: tuple[float, float], is_ours: Callable[[str], bool]
             ) -> Iterator[Line]:
  """Lines of what was `measured`, over the first. `mark`: of what loses by
  that. `tolerance`: of results, relative to the greatest element and absolute.
  """
  _, wanted, control = found[0]
  relative, absolute = tolerance
  for way, result, figures in found:
    for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(wanted)):
      assert np.abs(a - b).max() <= relative * np.abs(b).max() + absolute, (
          title, way)
    ratios = {column: (_over if column in _COUNTS else ratio)(
        figures[column], control[column]) for column in control}
    yield Line(f"{title}, {way}", dict(ratios), {
        column: mark for column, r in ratios.items()
        if is_ours(way) and (isinstance(r, str) or middle(r) > 1)},
        ours=is_ours(way))


def _over(found: Sequence[float], control: Sequence[float]) -> float | str:
  """Of counts; of a word if the control takes nothing and this something."""
  (n,), (base,) = found, control
  if base:
    return n / base
  return f"{n:,} over 0" if n else 1.0
