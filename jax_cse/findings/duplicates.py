"""Which equations of a jaxpr compute again what another computed.

Two values are the same by the numbers that merging goes by. So these are the
equations that merging takes away, and those that it keeps for a reason; not
those that go only since nobody reads them once the others are gone.

Limits: a body of a call or loop is looked at by itself. What is computed in it
and outside of it is not found.
"""

from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import rewriting
from jax_cse.numbering.bodies import equations


class Duplicate(NamedTuple):
  """An equation whose results are known.

  Attributes:
    eqn: the equation.
    first: the one that computed them; None for operands and constants.
    times: how often it runs, a step of a `while` counting as one.
    reason: why it is not merged; None if it is.
  """
  eqn: Any
  first: Any
  times: int
  reason: str | None = None


def find(closed_jaxpr, mode: str) -> list[Duplicate]:
  """All of them in order, also in the bodies of equations that stay."""
  found: list[Duplicate] = []
  _find(closed_jaxpr, rewriting.numbered(closed_jaxpr, mode), 1, found)
  return found


def _find(closed_jaxpr, body, times, found):
  first = dict.fromkeys(body.binders)
  alone: dict[tuple, Any] = {}
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  for equation, (operands, outs, bodies) in zip(equations(jaxpr), body.steps,
                                               strict=True):
    eqn = equation.eqn
    is_known = outs and all(n in first for n in outs)
    if is_known and compat.benign(eqn.effects):
      found.append(Duplicate(eqn, first[outs[0]], times))
      continue
    if equation.excluded is not None:
      key = eqn.primitive, str(eqn.params), *operands
      if key in alone:
        found.append(Duplicate(eqn, alone[key], times, equation.excluded))
      alone.setdefault(key, eqn)
    for n in outs:
      first.setdefault(n, eqn)
    steps = times * eqn.params.get("length", 1)
    for inside, inner in zip(jaxprs.in_order(eqn.params), bodies):
      _find(inside, inner, steps, found)

