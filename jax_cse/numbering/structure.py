"""Structure: what of a jaxpr does not depend on the objects it is made of.

    {lambda; a b. let c = add a b; d = sin c in (d,)}

is the primitives, their params, the types, and which variable stands where. Two
jaxprs of one structure compute the same, though their variables differ, and the
lines of the source that they were traced from.

Limits: a jaxpr with a param that has no key has none.
"""

from collections.abc import Callable, Hashable
from typing import Any

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import fingerprint


class Structures:
  """Numbers for the structures of jaxprs that it was asked for, which it
  keeps alive."""

  def __init__(self) -> None:
    self._numbers: dict[tuple, int] = {}
    # By the id of a jaxpr, with the jaxpr.
    self._known: dict[int, tuple[Any, int | None]] = {}

  def number(self, x) -> int | None:
    """The number of the structure of a jaxpr, closed or not; None if it has
    constants, or no structure."""
    jaxpr, consts = jaxprs.open_jaxpr(x)
    if consts:
      return None
    if id(jaxpr) not in self._known:
      try:
        number = self._numbers.setdefault(
            key(jaxpr, self._of_param), len(self._numbers))
      except (fingerprint.Unkeyable, TypeError):   # what has no hash
        number = None
      self._known[id(jaxpr)] = jaxpr, number
    return self._known[id(jaxpr)][1]

  def _of_param(self, x):
    if not isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
      return fingerprint.of_param(x)
    number = self.number(x)
    if number is None:
      raise fingerprint.Unkeyable("jaxpr without a key")
    return type(x), number


def key(jaxpr, of_param: Callable[[Any], Hashable]) -> tuple:
  """A key that is equal for two jaxprs of one structure.

  Args:
    jaxpr: not closed; its constants are like its operands.
    of_param: the key of a jaxpr among the params of an equation, or of anything
      beside one. Tuples are entered.

  Raises:
    fingerprint.Unkeyable: it has none.
  """
  places: dict[Any, int] = {}
  place = lambda v: places.setdefault(v, len(places))
  types = tuple([(place(v), v.aval)
                 for v in (*jaxpr.constvars, *jaxpr.invars)])

  def atom(x):
    if type(x) is compat.Literal:
      return x.aval, fingerprint.of_param(x.val)
    return place(x)

  return types, tuple([
      (eqn.primitive, eqn.ctx, _of_params(eqn.params, of_param),
       tuple(map(atom, eqn.invars)),
       tuple([(place(v), type(v), v.aval) for v in eqn.outvars]),
       frozenset(map(_of_effect, eqn.effects)))
      for eqn in jaxpr.eqns]), tuple(map(atom, jaxpr.outvars))


def _of_effect(effect):
  if isinstance(effect, compat.JaxprInputEffect):
    raise fingerprint.Unkeyable("effect on an operand")
  return effect


def _of_params(params, of_param) -> tuple:
  if not any(compat.jaxprs_in_params(params)):
    return fingerprint.of_params(params)
  return tuple([(name, _of_tree(x, of_param)) for name, x in params.items()])


def _of_tree(x, of_param):
  if isinstance(x, tuple):
    return type(x), tuple([_of_tree(y, of_param) for y in x])
  return of_param(x)
