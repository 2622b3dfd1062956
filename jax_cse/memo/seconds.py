"""What JAX took for each function: seconds to trace, lower and compile it.

JAX tells when a stage begins and how long it took (`jax.monitoring`), on the
thread that does it and by the name of the function. A function that is called
inside of another one is traced as a part of that. But what is evaluated while a
function is traced, as under `jax.ensure_compile_time_eval`, is compiled by
itself: those seconds count for it and not for the function around, so that the
sum over all functions is what passed.

Limits: a name is all that JAX tells, so functions of one name are counted
together. A stage counts where it ends: a `jit` around a function that enters
`enabled()` ends outside of it. After `jax.monitoring.clear_event_listeners()`
nothing is counted.
"""

from collections import Counter
from collections.abc import Callable, Mapping
import dataclasses
import re
import threading

from jax import monitoring

from jax_cse.foundation.active import here

_STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile"}
# Rows of a table; the others are summed.
_MOST_ROWS = 30


@dataclasses.dataclass
class Seconds:
  """What a function took, in all its signatures.

  Attributes:
    trace: seconds to trace it.
    lower: seconds to make what XLA reads of it.
    compile: seconds in XLA, or to find it in a cache of compiled programs.
    stages: how often each of the three was done.
  """
  trace: float = 0.0
  lower: float = 0.0
  compile: float = 0.0
  stages: Counter[str] = dataclasses.field(default_factory=Counter)

  def add(self, stage: str, seconds: float) -> None:
    setattr(self, stage, getattr(self, stage) + seconds)
    self.stages[stage] += 1

  @property
  def total(self) -> float:
    return self.trace + self.lower + self.compile

  @property
  def times(self) -> int:
    """How often it was traced, lowered or compiled, whichever was most."""
    return max(self.stages.values(), default=0)

  def __add__(self, other: "Seconds") -> "Seconds":
    return Seconds(self.trace + other.trace, self.lower + other.lower,
                   self.compile + other.compile, self.stages + other.stages)


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


class _Running(threading.local):
  """The stages that run on this thread: when each began by the clock, and the
  seconds of those inside of it."""

  def __init__(self) -> None:
    self.stages: list[list[float]] = []


def listen(receive: Callable[[str, str, float], None],
           clock: Callable[[], float] | None = None) -> None:
  """From now on calls `receive(stage, function, seconds)` after each stage, on
  the thread that did it, with the seconds that were not another's.

  They are those that JAX tells, or go by `clock`.
  """
  running = _Running()

  def begin(event: str, value: float, **kwargs: str | int) -> None:
    if event in _STAGES:
      running.stages.append([clock() if clock else 0.0, 0.0])

  def end(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event not in _STAGES:
      return
    took, inside = duration_secs, 0.0
    if running.stages:   # or it began before anybody listened
      began, inside = running.stages.pop()
      took = clock() - began if clock else took
    if running.stages:
      running.stages[-1][1] += took
    # "f" when it is traced, "jit(f)" later.
    name = re.sub(r"^jit\((.*)\)$", r"\1", str(kwargs.get("fun_name", "?")))
    receive(_STAGES[event], name, max(took - inside, 0.0))

  # After an interrupt between the two, seconds of others are not taken off.
  monitoring.register_event_duration_secs_listener(end)
  monitoring.register_scalar_listener(begin)


def _count(stage: str, function: str, seconds: float) -> None:
  memo = here.cell.memo
  if memo is not None:
    memo.stats.seconds.setdefault(function, Seconds()).add(stage, seconds)


_lock = threading.Lock()
_is_counting = False


def count() -> None:
  """From now on the memo of the thread counts what a stage took.

  That stays: a listener that is taken away while another thread calls all of
  them would have it miss one. Without a memo it takes a microsecond a stage,
  and no time when what was compiled runs.
  """
  global _is_counting
  with _lock:
    if not _is_counting:
      _is_counting = True   # first: twice would be wrong
      listen(_count)
