"""Which changes to a program pay: the other program is made, and counted.

    of(comparison, flops)      each change that saves a tenth of the flops

A change is looked for where the derivatives that the function takes have its
form, see `derivative_calls`. It is tried: the function is traced once more, with
the change made. What cannot be traced again or is no cheaper gives no advice.
"""

from collections.abc import Callable, Iterator
import itertools
from typing import NamedTuple

from jax_cse.compat import jaxprs
from jax_cse.foundation import counting
from jax_cse.memo import contexts
from jax_cse.rebuild import simplification
from jax_cse.report import comparison
from jax_cse.report import findings
from jax_cse.report import hessian_traces
from jax_cse.report import nested_derivatives
from jax_cse.report.comparison import Comparison
from jax_cse.report.redundancy_report import Advice
from jax_cse.report.traceable import Change, Traceable

# What must be saved, as a part of the flops.
_LEAST = 0.1
# Programs that are made of one kind.
_MOST = 4
KINDS: tuple[Callable[[Traceable], Iterator[Change]], ...] = (
    nested_derivatives.simplified_before, nested_derivatives.forwards,
    hessian_traces.changes)


class Work(NamedTuple):
  """What a program takes, when duplicates in it are merged."""
  equations: int
  flops: float


def of(found: Comparison, compiled_flops: float | None) -> list[Advice]:
  """The changes that pay, that which saves most first.

  Args:
    found: the program.
    compiled_flops: of it as it is, by XLA; None if nothing is to be compiled.
  """
  if found.program is None:
    return []
  # XLA counts one step of a loop.
  by_xla = compiled_flops is not None and not _has_loops(found.plain)
  base = _work(found.plain, compiled_flops if by_xla else None)
  advice = []
  for change in _changes(found.program):
    try:
      other = jaxprs.drop_dead_equations(change.make())
      flops = comparison.compiled_flops(other) if by_xla else None
      work = _work(other, flops)
    except Exception:   # of the program, which may not be traced again
      continue
    saved = base.flops - work.flops
    if saved > 0 and saved >= _LEAST * base.flops:
      advice.append(Advice(
          change.line, change.seen, change.write,
          base.equations - work.equations, round(saved), saved / base.flops))
  return sorted(advice, key=lambda x: -x.flops)


def _changes(program) -> Iterator[Change]:
  for kind in KINDS:
    changes = itertools.islice(kind(program), _MOST)
    while True:
      try:
        change = next(changes, None)
      except Exception:   # to look for it takes traces as well
        break
      if change is None:
        break
      yield change


def _has_loops(closed_jaxpr) -> bool:
  return any(eqn.primitive.name in ("scan", "while")
             for eqn in counting.equations(closed_jaxpr.jaxpr))


def _work(closed_jaxpr, flops) -> Work:
  with contexts.disabled():
    merged = simplification.simplify(closed_jaxpr, "exact")
  return Work(comparison.size(merged),
              findings.flops(merged) if flops is None else flops)
