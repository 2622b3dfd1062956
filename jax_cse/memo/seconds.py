"""What JAX took for each function: seconds to trace, lower and compile it.

The seconds are those that `stages` tells, for the name of the function. A
function that is called inside of another one is traced as a part of that.

Limits: a name is all that JAX tells, so functions of one name are counted
together. A stage counts where it ends: a `jit` around a function that enters
`enabled()` ends outside of it. After `jax.monitoring.clear_event_listeners()`
nothing is counted.
"""

from collections.abc import Mapping
import dataclasses
import threading

from jax_cse.foundation import stages
from jax_cse.foundation.active import here

# Rows of a table; the others are summed.
_MOST_ROWS = 30
# Of a program that makes names without end the later ones count together.
_MOST_NAMES = 1_000
_OTHERS = "others"
_TIMES = {"trace": "traced", "lower": "lowered", "compile": "compiled"}


@dataclasses.dataclass
class Seconds:
  """What a function took, in all its signatures.

  Attributes:
    trace: seconds to trace it.
    lower: seconds to make what XLA reads of it.
    compile: seconds in XLA, or to find it in a cache of compiled programs.
    traced, lowered, compiled: how often each of the three was done.
  """
  trace: float = 0.0
  lower: float = 0.0
  compile: float = 0.0
  traced: int = 0
  lowered: int = 0
  compiled: int = 0

  def add(self, stage: str, seconds: float) -> None:
    setattr(self, stage, getattr(self, stage) + seconds)
    times = _TIMES[stage]
    setattr(self, times, getattr(self, times) + 1)

  @property
  def total(self) -> float:
    return self.trace + self.lower + self.compile

  @property
  def times(self) -> int:
    """How often it was traced, lowered or compiled, whichever was most."""
    return max(self.traced, self.lowered, self.compiled)

  def __add__(self, other: "Seconds") -> "Seconds":
    return Seconds(*(a + b for a, b in zip(
        dataclasses.astuple(self), dataclasses.astuple(other))))


def ranked(seconds: Mapping[str, Seconds]) -> list[tuple[str, Seconds]]:
  """Rows of a table: the longest first, the shortest in one, and the total."""
  rows = sorted(seconds.items(), key=lambda row: -row[1].total)
  rest = [row for _, row in rows[_MOST_ROWS:]]
  rows = rows[:_MOST_ROWS]
  if rest:
    rows.append((f"{len(rest)} others", sum(rest, Seconds())))
  return [*rows, ("total", sum(seconds.values(), Seconds()))]


def table(seconds: Mapping[str, Seconds]) -> list[str]:
  """The same as lines of text."""
  rows = ranked(seconds)
  width = max(len("seconds"), *(len(name) for name, _ in rows))
  head = "".join(f"{c:>10}" for c in ("times", "trace", "lower", "compile"))
  return [f"{'seconds':<{width}}{head}"] + [
      f"{name:<{width}}{row.times:>10}{row.trace:>10.3f}{row.lower:>10.3f}"
      f"{row.compile:>10.3f}" for name, row in rows]


def _count(stage: str, function: str, seconds: float) -> None:
  memo = here.cell.memo
  if memo is None:
    return
  known = memo.stats.seconds
  if function not in known and len(known) >= _MOST_NAMES:
    function = _OTHERS
  known.setdefault(function, Seconds()).add(stage, seconds)


_lock = threading.Lock()
_is_counting = False


def count() -> None:
  """From now on the memo of the thread counts what a stage took.

  That stays. Without a memo it takes a microsecond a stage, and no time when
  what was compiled runs.
  """
  global _is_counting
  with _lock:
    if not _is_counting:
      _is_counting = True   # first: twice would be wrong
      stages.listen(_count)
