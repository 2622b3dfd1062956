"""One run of a program, measured: a process that `run_comparison` starts.

    python -m jax_cse.gains.measured_run SETTINGS [ARGS...]

`SETTINGS` are `Settings` as JSON. What was measured is written as JSON, a
`Figures`. The environment says with which mode the program runs.
"""

import atexit
from collections.abc import Sequence
import contextlib
import json
import os
import pathlib
import sys
import time
import traceback
from typing import Any, NamedTuple

from jax import monitoring

from jax_cse.gains import first_look
from jax_cse.gains import timed_calls
from jax_cse.memo import contexts
from jax_cse.memo import seconds
from jax_cse.report import recording
from jax_cse.report import running

_CACHE_HIT = "/jax/compilation_cache/cache_hits"


class Settings(NamedTuple):
  """What to run.

  Attributes:
    out: the file for the figures.
    program: a script, or a module if `is_module`.
    modes: in which to look for what is computed again and what would pay, at
      the end, besides those that the program enters; none for not at all.
  """
  out: str
  program: str
  is_module: bool
  modes: list[str]


class Figures(NamedTuple):
  """What a run took.

  Attributes:
    ended: how: "well", "failed" or, with the reason, "no program: ...".
    parts: seconds of the whole program by part, of processor time; see
      `timed_calls`.
    clock: seconds by the clock.
    functions: those that were jitted: name to figures by name.
    entered: modes of the `enabled()`s that the program entered.
    cache_hits: how many programs were found compiled, on disk.
    lines: by mode, what is computed again at most cost; None for nothing.
    advice: by mode, what would pay most; None for nothing.
  """
  ended: str
  parts: dict[str, float]
  clock: float
  functions: dict[str, dict[str, Any]]
  entered: list[str]
  cache_hits: int
  lines: dict[str, str | None]
  advice: dict[str, str | None]


def main(argv: Sequence[str]) -> None:
  settings = Settings(**json.loads(argv[0]))
  if settings.modes:
    with contexts.disabled():   # it takes a thread, and none can start later
      pass
  run = _Run(settings)
  # Called when Python has waited for the threads that the program left, and
  # after what the program registered itself.
  atexit.register(run.write)
  run.ended = _ended(settings, argv[1:])


class _Run:
  """A run that is measured from now on, until it is written down."""

  def __init__(self, settings: Settings):
    self.ended = "well"
    self._settings = settings
    self._entered: list[str] = []
    self._hits: list[str] = []
    self._process = os.getpid()
    self._open = contextlib.ExitStack()
    _watch(self._entered)
    monitoring.register_event_listener(self._note)
    self._recorded = (
        self._open.enter_context(recording.jitted(objects=False))
        if settings.modes else None)
    self._timing = self._open.enter_context(timed_calls.timed())
    self._exit, os._exit = os._exit, self._leave   # type: ignore[assignment]
    self._began, self._clock = time.process_time(), time.perf_counter()

  def _note(self, event: str, **_: Any) -> None:
    if event == _CACHE_HIT:
      self._hits.append(event)

  def _leave(self, status: int) -> None:
    """`os._exit`, after which Python calls nothing."""
    try:
      if status == 0:
        self.write()
    finally:
      self._exit(status)

  def write(self) -> None:
    if os.getpid() != self._process:   # one that the program forked
      return
    timing = self._timing
    took = time.process_time() - self._began - timing.apart
    clock = time.perf_counter() - self._clock - timing.apart_clock
    self._open.close()
    os._exit = self._exit
    entered = sorted(set(self._entered))   # before functions are traced again
    lines: dict[str, str | None] = {}
    advice: dict[str, str | None] = {}
    if self.ended == "well" and self._recorded is not None:
      for mode in sorted({*self._settings.modes, *entered}):
        lines[mode] = first_look.computed_again(timing, mode)
        advice[mode] = first_look.would_pay(self._recorded, mode)
    pathlib.Path(self._settings.out).write_text(json.dumps(Figures(
        self.ended, _parts(timing, took), clock,
        {name: _figures(f) for name, f in timing.functions.items()
         if f.took.times or f.later_calls},
        entered, len(self._hits), lines, advice)._asdict()))


def _watch(entered: list[str]) -> None:
  """Notes each mode of an `enabled()` that is entered, also an inert one."""
  enter = contexts.enabled._enter

  def noted(context, entry):
    entered.append(context._mode)
    return enter(context, entry)

  contexts.enabled._enter = noted   # type: ignore[method-assign]


def _ended(settings: Settings, args: Sequence[str]) -> str:
  try:
    running.run(settings.program, args, settings.is_module)
  except running.NoProgram as e:
    return f"no program: {e}"
  except SystemExit as e:
    if e.code not in (None, 0):
      print(f"SystemExit: {e.code}", file=sys.stderr)
      return "failed"
  except BaseException:
    traceback.print_exc()
    return "failed"
  return "well"


def _parts(timing: timed_calls.Timing, whole: float) -> dict[str, float]:
  """What jitted functions took, and the rest: operations that are evaluated by
  themselves, imports, and all that is not JAX."""
  functions = timing.functions.values()
  took = sum((f.took for f in functions), seconds.Seconds())
  first = sum(f.first for f in functions)
  return {"to trace": took.trace, "to lower": took.lower,
          "to compile": took.compile, "in first calls": first,
          "in later calls": sum(f.later for f in functions),
          "in the rest": max(whole - took.total - first - timing.later, 0.0)}


def _figures(function: timed_calls.Function) -> dict[str, Any]:
  programs = function.programs.values()
  known = not function.error and programs
  return {
      "to the first results": function.took.total + function.first,
      "a call": (function.later / function.later_calls
                 if function.later_calls else None),
      "later calls": function.later_calls,
      "equations": sum(p.equations for p in programs) if known else None,
      "flops": _sum([p.flops for p in programs]) if known else None,
      "temporary bytes": (_sum([p.temp_bytes for p in programs]) if known
                          else None),
      "error": function.error}


def _sum(numbers: list[Any]) -> Any:
  return None if None in numbers else sum(numbers)


if __name__ == "__main__":
  main(sys.argv[1:])
