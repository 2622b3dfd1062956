"""Jaxprs inside of equations: their properties, and their numbers.

Many calls have one jaxpr, so properties of its equations that no call changes
are found once for each jaxpr.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple
import weakref

from jax_cse import compat
from jax_cse.numbering import keys


class Equation(NamedTuple):
  """The properties of an equation that no call of its jaxpr changes.

  Attributes:
    eqn: the equation.
    plan: of its primitive.
    excluded: why it is not merged, if it is not.
    avals: the types of its operands.
    looks_inside: whether its results are known by the jaxprs inside of it.
    is_opaque: whether nothing is known of its results.
  """
  eqn: Any
  plan: keys.Plan
  excluded: str | None
  avals: list[Any]
  looks_inside: bool
  is_opaque: bool


class Step(NamedTuple):
  """An equation of a body: the numbers of its operands and results, and the
  bodies inside of it."""
  operands: list[int]
  results: Sequence[int]
  bodies: list["Body"]


class Body(NamedTuple):
  """A jaxpr in the params of an equation, numbered.

  Bodies stand in the order of the names of the params. They do not hold the
  jaxprs, so that they may be kept as long as those live.

  Attributes:
    binders: the numbers of its constants and operands.
    steps: its equations, if the scope keeps them.
    outs: the numbers of its results.
    repeats: whether it, or a body inside of it, computes something twice.
  """
  binders: list[int]
  steps: list[Step]
  outs: list[int]
  repeats: bool


_equations: weakref.WeakKeyDictionary[Any, list[Equation]] = (
    weakref.WeakKeyDictionary())


def equations(jaxpr) -> list[Equation]:
  """The equations of a jaxpr with the properties that no call changes."""
  found = _equations.get(jaxpr)
  if found is None:
    found = _equations[jaxpr] = [_look_at(eqn) for eqn in jaxpr.eqns]
  return found


_sizes: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


def size(params: dict[str, Any]) -> int:
  """The number of equations in the jaxprs among params, and inside of these."""
  return sum(map(_size, compat.jaxprs_in_params(params)))


def _size(jaxpr):
  found = _sizes.get(jaxpr)
  if found is None:
    found = _sizes[jaxpr] = len(jaxpr.eqns) + sum(
        size(eqn.params) for eqn in jaxpr.eqns)
  return found


def _look_at(eqn):
  plan = keys.plan_of(eqn.primitive)
  excluded = plan.reason_against(eqn.params)
  looks_inside = plan.looks_inside(eqn.params)
  is_opaque = (any(type(v.aval) is not compat.ShapedArray for v in eqn.outvars)
               or (not looks_inside if plan.is_structured
                   else excluded is not None))
  return Equation(eqn, plan, excluded, [atom.aval for atom in eqn.invars],
                  looks_inside, is_opaque)
