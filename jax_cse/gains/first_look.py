"""Where to look first in a program that was run.

    computed_again(timing, mode)   the line that computes most again
    would_pay(recorded, mode)      the change that saves most

The first goes by the programs as they were traced in the run. For the second
functions are traced again, on shapes alone, and nothing is compiled.
"""

import heapq
import operator
import traceback

import jax

from jax_cse.advice import advice
from jax_cse.findings import comparison
from jax_cse.findings.redundancy_report import Advice, Redundancy
from jax_cse.gains.timed_calls import Timing
from jax_cse.report.recording import LIMIT, Program, Recording


def computed_again(timing: Timing, mode: str) -> str | None:
  """The line, in the function in which most is; None if it costs nothing."""
  programs = [(function.name, program)
              for function in timing.functions.values()
              for program in function.programs.values()]
  reports = []
  for name, program in heapq.nlargest(
      LIMIT, programs, key=lambda named: named[1].equations):
    try:
      reports.append(comparison.of_jaxpr(
          name, program.jaxpr, mode).report((None,) * 3))
    except Exception:   # a program that cannot be rebuilt has no findings
      traceback.print_exc()
  worst = max(reports, default=None, key=lambda report: (
      sum(f.flops for f in report.findings), report.plain - report.merged))
  return worst and _dearest(worst)


def _dearest(report: Redundancy) -> str | None:
  if not any(finding.flops for finding in report.findings):
    return None
  finding = next((f for f in report.findings if f.line), report.findings[0])
  before = ("it was given" if finding.is_given
            else "it computed before" if finding.first == finding.line
            else f"{finding.first or 'another line'} computed")
  return (f"{finding.line or 'a line that is not known'} computes again what "
          f"{before}: {finding.equations:,} "
          f"equation{'s' * (finding.equations > 1)}, {finding.flops:,} flops"
          + (f"\n    {finding.line.text}" if finding.line else ""))


def would_pay(recorded: Recording, mode: str) -> str | None:
  """The change, of a function that can be traced again; None if none pays."""
  found = [change for program in recorded.programs
           for change in _advice(program, mode)]
  best = max(found, default=None, key=operator.attrgetter("flops"))
  return best and (
      f"{best.line or 'the function as a whole'}: {best.seen}; write "
      f"{best.write} ({best.share:.0%} fewer flops)")


def _advice(program: Program, mode: str) -> list[Advice]:
  try:
    fun, arrays, _ = program.on_arrays()
    with jax.enable_x64(program.x64):
      return advice.of(comparison.of(fun, mode)(*arrays), None, mode)
  except (Exception, SystemExit):   # of the program, which is traced again
    return []
