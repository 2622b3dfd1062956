"""Calls and loops that are not merged, and what is lost by that.

    changes(comparison)      what was given up, and the program without that

A call, a loop or a branch that calls back, draws by a key or holds a barrier is
left alone, with all that reads its results. The program where such equations
are functions of their operands is merged as well, and counted.

Limits: what reads or writes references stays as it is.
"""

from collections.abc import Iterator
import functools
from typing import Any

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.findings import findings
from jax_cse.findings.comparison import Comparison
from jax_cse.findings.redundancy_report import Line
from jax_cse.findings.traceable import Change
from jax_cse.foundation import counting
from jax_cse.numbering import keys
from jax_cse.primitives import exclusions

# What XLA merges itself, but for loops.
_MERGED_BY_XLA = exclusions.RULE, exclusions.KEYS
_LOOPS = compat.scan_p, compat.while_p


def changes(found: Comparison) -> Iterator[Change]:
  """The calls and loops that are left alone as functions of their operands."""
  alone = [eqn for eqn in counting.equations(found.plain.jaxpr)
           if _reason(eqn) is not None]
  if not alone:
    return
  # The one that is known to be there twice, or the dearest.
  again = {id(duplicate.eqn): finding.first for finding, group in found.findings
           for duplicate in group if finding.reason is not None}
  eqn = max(alone, key=lambda eqn: (id(eqn) in again, findings.work(eqn)))
  yield Change(findings.line_of(eqn),
               _seen(eqn, again.get(id(eqn)), len(set(map(
                   findings.line_of, alone))) - 1),
               _write(_reason(eqn)), lambda: _pure(found.plain), False)


def _reason(eqn) -> str | None:
  """Why a call or a loop is left alone, if it is."""
  if (next(compat.jaxprs_in_params(eqn.params), None) is None
      or eqn.primitive.name in exclusions.NEVER):
    return None
  reason = keys.plan_of(eqn.primitive).reason_against(eqn.params)
  has_loop = any(e.primitive in _LOOPS
                 for e in jaxprs.inner_equations(eqn.params))
  return None if reason in _MERGED_BY_XLA and not has_loop else reason


def _seen(eqn, first: Line | None, others: int) -> str:
  causes = [findings.line_of(e) for e in jaxprs.inner_equations(eqn.params)
            if e.primitive.name in exclusions.NEVER]
  cause = f" ({causes[0]})" if causes and causes[0] else ""
  again = f" though it repeats {first}" if first else ""
  more = f"; so are those of {others} more lines" if others else ""
  return f"{eqn.primitive.name}, left alone{again}: {_reason(eqn)}{cause}{more}"


def _write(reason: Any) -> str:
  return "it once and read the result twice" + {
      exclusions.CALLBACK: "; or take the callback out",
      exclusions.EFFECTS: "; or take the effect out",
      exclusions.RULE: "; or a function without a rule, if nobody "
                       "differentiates it",
  }.get(reason, "")


def _pure(x):
  """A jaxpr, closed or not, in which the equations that are never merged are
  functions of their operands."""
  jaxpr, _ = jaxprs.open_jaxpr(x)
  if any(isinstance(e, compat.JaxprInputEffect) for e in jaxpr.effects):
    return x
  eqns = list(map(_pure_equation, jaxpr.eqns))
  effects = compat.join_effects(*(eqn.effects for eqn in eqns))
  return jaxprs.with_equations(x, eqns, jaxpr.outvars, effects)


def _pure_equation(eqn):
  inside = jaxprs.in_order(eqn.params)
  if eqn.primitive is compat.custom_vjp_call_p:
    return eqn.replace(primitive=compat.closed_call_p, params={
        "call_jaxpr": _pure(eqn.params["call_jaxpr"])})
  if inside:
    params = jaxprs.with_jaxprs(eqn.params, iter(map(_pure, inside)))
    return eqn.replace(params=params, effects=compat.join_effects(
        *(jaxprs.open_jaxpr(x)[0].effects for x in jaxprs.in_order(params))))
  if exclusions.reason_against(eqn.primitive) is None or any(
      isinstance(e, compat.JaxprInputEffect) for e in eqn.effects):
    return eqn
  return eqn.replace(primitive=_function(eqn.primitive),
                     effects=compat.join_effects())


@functools.cache
def _function(primitive):
  """A primitive in the place of one that is never merged."""
  other = compat.Primitive(f"{primitive.name} as a function")
  other.multiple_results = primitive.multiple_results
  other.def_abstract_eval(primitive.abstract_eval)   # 0.10: declares no effects
  return other
