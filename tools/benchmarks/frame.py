"""What a row of a benchmark is, and how it is measured.

Control and candidate take turns, so that a slow minute of the machine hits
both. A figure is the ratio of the medians, with the range of the ratios of the
turns. What an entry yields has `lines(size)`, which measures it in one of the
`sizes`.

A count is the same in each run, so it is a number and not a `Ratio`.

A figure of jax_cse that is over 1 is a loss. It is marked where it stands and
counted at the end, however small.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
import gc
import statistics
import time
from typing import Any, NamedTuple, Protocol

import jax

from benchmarks.sizes import Size
import jax_cse


class Ratio(NamedTuple):
  """Of medians, and the least and the greatest of the turns."""
  median: float
  low: float
  high: float

  def __str__(self) -> str:
    if self.low == self.high:
      return f"{self.median:.3g}"
    return f"{self.median:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(candidates: Sequence[float], controls: Sequence[float]) -> Ratio:
  """Of times that were taken in turns."""
  turns = [a / b for a, b in zip(candidates, controls)]
  return Ratio(statistics.median(candidates) / statistics.median(controls),
               min(turns), max(turns))


class Line(NamedTuple):
  """What is printed: cells by the name of their column.

  `losses` says in which columns jax_cse is slower, and than what: `SLOWER`,
  `BEHIND` or both. `ours` says that the line is about jax_cse beside others.
  """
  name: str
  cells: dict[str, Ratio | float | str]
  losses: dict[str, str] = {}
  missed: bool = False
  ours: bool = True

  def lines(self, size: Size) -> Iterator["Line"]:
    del size
    yield self


SLOWER = "*"   # than the control
BEHIND = "+"   # slower than the best of the others


class Measurable(Protocol):
  def lines(self, size: Size) -> Iterator[Line]: ...


class Case(NamedTuple):
  """One row: two functions without arguments, and the highest ratio allowed.

  `prepare` runs before each of them and is not timed. `ours` says that the
  candidate is jax_cse and the control is not. `clock` is the time taken.
  `counts` are cells beside the ratio.
  """
  name: str
  control: Callable[[], object]
  candidate: Callable[[], object]
  limit: float | None = None
  turns: int = 15
  prepare: Callable[[], object] = lambda: None
  ours: bool = True
  clock: Callable[[], float] = time.perf_counter
  counts: dict[str, int] = {}

  def lines(self, size: Size) -> Iterator[Line]:
    yield _line(self, compare(self, size), self.counts)


class Count(NamedTuple):
  """One row: two numbers, and the highest ratio allowed."""
  name: str
  control: float
  candidate: float
  limit: float | None = None
  ours: bool = True

  def lines(self, size: Size) -> Iterator[Line]:
    del size
    counts = {"control": self.control, "candidate": self.candidate}
    yield _line(self, self.candidate / self.control, counts)


def _line(case, found, counts) -> Line:
  limit = "" if case.limit is None else f"{case.limit:.2f}"
  median = middle(found)
  return Line(case.name, {**counts, "ratio": found, "limit": limit},
              {"ratio": SLOWER} if case.ours and median > 1 else {},
              case.limit is not None and median > case.limit, case.ours)


def middle(found: Ratio | float) -> float:
  return found.median if isinstance(found, Ratio) else found


ENTRIES: dict[str, tuple[str, Callable[[Size], Iterator[Measurable]]]] = {}


def entry(what: str):
  """Enters a generator function under its name, with `-` for `_`.

  It is called with the size of the run. In the default one no row should take
  more than some seconds.
  """
  def register(function):
    ENTRIES[function.__name__.replace("_", "-")] = (what, function)
    return function
  return register


def seconds(function: Callable[[], object],
            clock: Callable[[], float] = time.perf_counter) -> float:
  start = clock()
  function()
  return clock() - start


def enabled(function: Callable[[], object]) -> Callable[[], object]:
  """`function` with CSE, in a context of its own each time."""
  def run():
    with jax_cse.enabled():
      return function()
  return run


def settle() -> None:
  """Before something is timed.

  What was there before is not walked by the collections that it sets off; what
  it allocates itself is.
  """
  gc.collect()
  gc.freeze()


def compare(case: Case, size: Size) -> Ratio:
  """Times control and candidate after a run of each that is not timed."""
  case.control()
  case.candidate()
  settle()
  controls, candidates = [], []
  pair = [(case.control, controls), (case.candidate, candidates)]
  for turn in size.turns(case.turns):
    # Who is second is 1 to 3 % slower where both are in processes of their own.
    for function, times in pair[::-1] if turn % 2 else pair:
      case.prepare()
      times.append(seconds(function, case.clock))
  return ratio(candidates, controls)


def runs(rows: Iterable[tuple[str, Callable, Callable, Any]], turns: int = 15
         ) -> Iterator[Case]:
  """Run times: rows of a name, candidate, control and what both are given."""
  for name, ours, theirs, x in rows:
    a, b = jax.jit(ours), jax.jit(theirs)
    yield Case(name, lambda b=b, x=x: jax.block_until_ready(b(x)),
               lambda a=a, x=x: jax.block_until_ready(a(x)), turns=turns)
