"""The key of a bind: binds whose keys agree are the same.

    (primitive, context, numbers of operands..., names and values of params...)

`Plan` holds the properties of one primitive: its own number, whether it is
excluded and why, and whether its operands may be swapped.

Most lookups miss, so a key is made cheaply, of the params as they are. Python's
equality is too coarse for them (`1 == True`, `0.0 == -0.0`), so `agree`
compares the fingerprints when a key is found. Params without a hash go into the
key as their fingerprint. In a profile of tracing a transformer, 890 ms in all,
fingerprinting every bind took 31 ms, and these keys 5 ms.
"""

from collections.abc import Callable, Sequence
from functools import partial
from itertools import count
import operator
from typing import Any
import weakref

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import fingerprint
from jax_cse.primitives import commutative
from jax_cse.primitives import exclusions

_numbers = count()


class Plan:
  """The properties that all binds of one primitive share."""
  __slots__ = ("number", "name", "against", "against_eager", "carries_jaxprs",
               "is_jit", "is_structured", "commutes", "multiple_results",
               "makes_aliases", "impl", "is_compiled", "reference")
  reference: weakref.ref

  def __init__(self, primitive: compat.Primitive):
    self.number = next(_numbers)
    self.name = primitive.name
    self.against = exclusions.reason_against(primitive)
    self.against_eager = self.against or exclusions.EAGER.get(primitive.name)
    self.makes_aliases = primitive.name in exclusions.EAGER
    self.carries_jaxprs = primitive in compat.CARRIES_JAXPRS
    self.is_jit = primitive is compat.jit_p
    # Results are numbered by the jaxprs inside (`jaxpr_numbering`).
    self.is_structured = primitive in compat.STRUCTURED
    # Kinds of dtype on which the two operands may be swapped.
    self.commutes = commutative.kinds(primitive)
    self.multiple_results = primitive.multiple_results
    # The function registered to evaluate it eagerly. JAX lets it be replaced.
    self.impl = vars(primitive).get("impl")
    # An eager application only calls the program that JAX compiles for it.
    self.is_compiled = (
        not self.carries_jaxprs and compat.runs_compiled(primitive))

  def reason_against(self, params: dict[str, Any]) -> str | None:
    """Why an application with these params is not merged, or None if it may
    be."""
    if self.against is None and self.carries_jaxprs:
      return exclusions.against_call(self.is_jit, params)
    return self.against

  def looks_inside(self, params: dict[str, Any]) -> bool:
    """Whether results are known by the jaxprs among these params."""
    return self.is_structured and not jaxprs.uses_references(params)


# By id of the primitive. A plan dies with its primitive, so that the id is its
# own.
plans: dict[int, Plan] = {}


def plan_of(primitive: compat.Primitive) -> Plan:
  """The plan of a primitive; a new one if its `impl` was replaced."""
  plan = plans.get(id(primitive))
  if plan is None or plan.impl is not vars(primitive).get("impl"):
    key = id(primitive)
    plan = Plan(primitive)
    plan.reference = weakref.ref(primitive, partial(plans.pop, key))
    plans[key] = plan
  return plan


def may_swap(plan: Plan, avals) -> bool:
  """Whether the two operands of what commutes may be swapped while tracing."""
  return commutative.may_swap(plan.commutes, avals[0].dtype, eager=False)


def put_in_order(plan: Plan, numbers: list[int], avals, eager: bool) -> None:
  """Sorts the numbers of two operands that commute, if that changes no bit."""
  if numbers[0] > numbers[1] and commutative.may_swap(
      plan.commutes, avals[0].dtype, eager):
    numbers.reverse()


def find(get: Callable[[tuple], Any], plan: Plan, context: Any,
         numbers: Sequence[int], params: dict[str, Any]
         ) -> tuple[tuple | None, Any]:
  """The key of a bind whose operands have `numbers`, in the order to compare,
  and the result of `get` for it; `None, None` if it has no key."""
  key = ((plan.number, context, *numbers, *params, *params.values()) if params
         else (plan.number, context, *numbers))
  try:
    return key, get(key)
  except TypeError:  # one of the params has no hash
    return find_exactly(get, plan, context, numbers, params)


def find_exactly(get: Callable[[tuple], Any], plan: Plan, context: Any,
                 numbers: Sequence[int], params: dict[str, Any]
                 ) -> tuple[tuple | None, Any]:
  """`find` by a key that no bind with other params has."""
  try:
    key = (plan.number, context, *numbers, fingerprint.of_params(params))
  except fingerprint.Unkeyable:
    return None, None
  return key, get(key)


def agree(params: dict[str, Any], others: dict[str, Any]) -> bool:
  """Whether two binds with equal keys have the same params to the last bit.

  Their keys have the names of the params, so those agree.
  """
  if all(map(operator.is_, params.values(), others.values())):
    return True
  try:
    return fingerprint.of_params(params) == fingerprint.of_params(others)
  except fingerprint.Unkeyable:
    return False
