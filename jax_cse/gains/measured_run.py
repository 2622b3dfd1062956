"""One run of a program, measured: a process that `run_comparison` starts.

    python -m jax_cse.gains.measured_run SETTINGS [ARGS...]

`SETTINGS` are `Settings` as JSON. What was measured is written as JSON, a
`Figures`. The environment says with which mode the program runs.
"""

from collections.abc import Sequence
import json
import pathlib
import sys
import time
import traceback
from typing import Any, NamedTuple

from jax import monitoring

from jax_cse.findings import comparison
from jax_cse.findings.redundancy_report import Redundancy
from jax_cse.gains import timed_calls
from jax_cse.memo import contexts
from jax_cse.memo import seconds
from jax_cse.report import running

_CACHE_HIT = "/jax/compilation_cache/cache_hits"


class Settings(NamedTuple):
  """What to run.

  Attributes:
    out: the file for the figures.
    program: a script, or a module if `is_module`.
    modes: in which to look for what is computed again, at the end.
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
  """
  ended: str
  parts: dict[str, float]
  clock: float
  functions: dict[str, dict[str, Any]]
  entered: list[str]
  cache_hits: int
  lines: dict[str, str | None]


def main(argv: Sequence[str]) -> None:
  settings = Settings(**json.loads(argv[0]))
  entered: list[str] = []
  hits: list[str] = []
  _watch(entered)
  monitoring.register_event_listener(
      lambda event, **_: hits.append(event) if event == _CACHE_HIT else None)
  with timed_calls.timed() as timing:
    began, clock = time.process_time(), time.perf_counter()
    ended = _ended(settings, argv[1:])
    took = time.process_time() - began - timing.apart
    clock = time.perf_counter() - clock - timing.apart_clock
  lines = {mode: _line(timing, mode) for mode in settings.modes
           if ended == "well"}
  pathlib.Path(settings.out).write_text(json.dumps(Figures(
      ended, _parts(timing, took), clock,
      {name: _figures(f) for name, f in timing.functions.items()
       if f.took.times or f.later_calls},
      sorted(set(entered)), len(hits), lines)._asdict()))


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


def _line(timing: timed_calls.Timing, mode: str) -> str | None:
  reports = []
  for function in timing.functions.values():
    for program in function.programs.values():
      try:
        reports.append(comparison.of_jaxpr(
            function.name, program.jaxpr, mode).report((None,) * 3))
      except Exception:   # a program that cannot be rebuilt has no findings
        traceback.print_exc()
  worst = max(reports, default=None, key=lambda report: (
      sum(f.flops for f in report.findings), report.plain - report.merged))
  return worst and _dearest(worst)


def _dearest(report: Redundancy) -> str | None:
  """Where most is gained in a function; None if nothing is."""
  advice = getattr(report, "advice", ())
  if advice:
    return str(advice[0])
  if not report.findings:
    return None
  finding = next((f for f in report.findings if f.line), report.findings[0])
  before = ("it was given" if finding.is_given
            else "it computed before" if finding.first == finding.line
            else f"{finding.first or 'another line'} computed")
  return (f"{finding.line or 'a line that is not known'} computes again what "
          f"{before}: {finding.equations:,} equations, {finding.flops:,} flops"
          + (f"\n    {finding.line.text}" if finding.line else ""))


if __name__ == "__main__":
  main(sys.argv[1:])
