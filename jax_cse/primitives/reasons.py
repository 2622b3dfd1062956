"""Why a bind is made as if there were no table: the reasons beside a
primitive's own, which stand in `exclusions`."""

from typing import Any

from jax_cse import compat
from jax_cse.primitives import exclusions

UNKNOWN_TRACE = "under a trace of a kind that is not known"
NO_NUMBER = "an operand has no number"
NO_KEY = "a param has no key"
COTANGENTS = "keeps the order in which cotangents add up"
CHECKED = "JAX is told to check every result"
FOLDED = "is evaluated while it is traced"
GUARDED = "JAX is told to guard host transfers"
COMPILED = "an eager jit runs compiled"
DONATES = "donates its operands"
ENTERED_INSIDE = "the transformation began outside of enabled()"
INSIDE_BARRIER = "is part of what a barrier computes again"


def against_call(plan, params: dict[str, Any]) -> str | None:
  """Why a primitive that carries jaxprs is not merged, or None if it may be."""
  if plan.is_jit and True in params["donated_invars"]:
    return DONATES
  for jaxpr in compat.jaxprs_in_params(params):
    reason = exclusions.reason_inside(jaxpr)
    if reason is not None:
      return reason
  return None
