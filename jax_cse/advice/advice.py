"""Which changes to a program pay: the other program is made, and counted.

    of(comparison, flops)      each change that saves a tenth of the flops

A change is looked for where the derivatives that the function takes have its
form, see `derivative_calls`, or a call or a loop is left alone. It is tried:
the function is traced once more, with the change made. What cannot be traced
again, has no count or is no cheaper gives no advice.
"""

from collections.abc import Callable, Iterator
import functools
import itertools
from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.advice import given_up
from jax_cse.advice import hessian_traces
from jax_cse.advice import nested_derivatives
from jax_cse.compat import jaxprs
from jax_cse.findings import comparison
from jax_cse.findings import findings
from jax_cse.findings.comparison import Comparison
from jax_cse.findings.redundancy_report import Advice
from jax_cse.findings.traceable import Change, Traceable
from jax_cse.foundation import counting
from jax_cse.memo import contexts
from jax_cse.rebuild import simplification

# What must be saved, as a part of the flops.
_LEAST = 0.1
# Programs that are made of one kind.
_MOST = 4
# What mode "ring" does by itself, and what else may pay.
IN_RING: tuple[Callable[[Traceable], Iterator[Change]], ...] = (
    nested_derivatives.simplified_before, nested_derivatives.forwards)
KINDS = (*IN_RING, hessian_traces.changes)


class Work(NamedTuple):
  """What a program takes, when duplicates in it are merged."""
  equations: int
  flops: float


@contexts.disabled()
def of(found: Comparison, compiled_flops: float | None,
       mode: str | None = None) -> list[Advice]:
  """The changes that pay, that which saves most first.

  Args:
    found: the program.
    compiled_flops: of it as it is, by XLA; None if nothing is to be compiled.
    mode: that it runs in already.
  """
  # XLA counts one step of a loop.
  by_xla = compiled_flops is not None and not _has_loops(found.plain)
  base = functools.cache(lambda: _work(found.plain))
  advice = []
  for change in _changes(found, mode):
    compiled = compiled_flops if by_xla and change.compiles else None
    try:
      other = jaxprs.drop_dead_equations(change.make())
      work = _work(other)
      if compiled is not None:
        work = work._replace(flops=_compiled_flops(other))
    except (Exception, SystemExit):   # of the program, which is traced again
      continue
    before = base() if compiled is None else base()._replace(flops=compiled)
    saved = before.flops - work.flops
    if saved > 0 and saved >= _LEAST * before.flops:
      advice.append(Advice(
          change.line, change.seen, change.write,
          before.equations - work.equations, round(saved),
          saved / before.flops))
  return sorted(advice, key=lambda x: -x.flops)


def _changes(found, mode) -> Iterator[Change]:
  kinds: list[tuple[Callable, Any]] = [(given_up.changes, found)]
  if found.program is not None:
    kinds += [(kind, found.program) for kind in KINDS
              if mode != "ring" or kind not in IN_RING]
  for look, where in kinds:
    try:
      yield from itertools.islice(look(where), _MOST)
    except (Exception, SystemExit):   # to look for it takes traces as well
      continue


def _has_loops(closed_jaxpr) -> bool:
  return any(eqn.primitive in (compat.scan_p, compat.while_p)
             for eqn in counting.equations(closed_jaxpr.jaxpr))


def _work(closed_jaxpr) -> Work:
  # XLA inlines calls.
  inlined = compat.closed(jaxprs.inlined(closed_jaxpr.jaxpr),
                          closed_jaxpr.consts)
  merged = simplification.simplify(inlined, "exact")
  return Work(comparison.size(merged), findings.flops(merged))


def _compiled_flops(closed_jaxpr) -> float:
  flops = comparison.compiled_flops(closed_jaxpr)
  if flops is None:
    raise ValueError("XLA has no count for it")
  return flops
