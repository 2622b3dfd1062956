"""What a row of a benchmark is, and how it is measured.

Control and candidate take turns, so that a slow minute of the machine hits
both. A row shows the ratio of the medians, the range of the ratios of the
turns, and the limit that the project holds itself to, if there is one.
"""

from collections.abc import Callable, Iterator
import gc
import statistics
import time
from typing import Any, NamedTuple

import jax

import jax_cse


class Case(NamedTuple):
  """One row: two functions without arguments, and the highest ratio allowed.

  `prepare` runs before each of them and is not timed.
  """
  name: str
  control: Callable[[], object]
  candidate: Callable[[], object]
  limit: float | None = None
  turns: int = 15
  prepare: Callable[[], object] = lambda: None


class Count(NamedTuple):
  """One row: two numbers, and the highest ratio allowed."""
  name: str
  control: float
  candidate: float
  limit: float | None = None


ENTRIES: dict[str, tuple[str, Callable[[], Iterator[Case | Count]]]] = {}


def entry(what: str):
  """Enters a generator function under its name, with `-` for `_`."""
  def register(function):
    ENTRIES[function.__name__.replace("_", "-")] = (what, function)
    return function
  return register


def seconds(function: Callable[[], object]) -> float:
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def enabled(function: Callable[[], object]) -> Callable[[], object]:
  """`function` with CSE, in a context of its own each time."""
  def run():
    with jax_cse.enabled():
      return function()
  return run


def compare(case: Case | Count) -> tuple[float, float, float]:
  """Ratio of the medians, and the least and the greatest of the turns."""
  if isinstance(case, Count):
    return (case.candidate / case.control,) * 3
  case.control()
  case.candidate()
  # What earlier entries left is not walked by the collections that a case sets
  # off; what the case itself allocates is.
  gc.collect()
  gc.freeze()
  controls, candidates = [], []
  pair = [(case.control, controls), (case.candidate, candidates)]
  for turn in range(case.turns):
    # Who is second is 1 to 3 % slower where both are in processes of their own.
    for function, times in pair[::-1] if turn % 2 else pair:
      case.prepare()
      times.append(seconds(function))
  ratios = [b / a for a, b in zip(controls, candidates)]
  return (statistics.median(candidates) / statistics.median(controls),
          min(ratios), max(ratios))


def runs(rows: Iterator[tuple[str, Callable, Callable, Any]], turns: int = 15
         ) -> Iterator[Case]:
  """Run times: rows of a name, candidate, control and what both are given."""
  for name, ours, theirs, x in rows:
    a, b = jax.jit(ours), jax.jit(theirs)
    yield Case(name, lambda b=b, x=x: jax.block_until_ready(b(x)),
               lambda a=a, x=x: jax.block_until_ready(a(x)), turns=turns)
