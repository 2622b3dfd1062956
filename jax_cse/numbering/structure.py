"""Structure: what of a jaxpr does not depend on the objects it is made of.

    {lambda; a b. let c = add a b; d = sin c in (d,)}

is the primitives, their params, the types, and which variable stands where. Two
jaxprs of one structure compute the same, though their variables differ, and the
lines of the source that they were traced from.

Limits: a jaxpr with constants, or with a param that has no key, has none.
"""

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
    none."""
    jaxpr, consts = jaxprs.open_jaxpr(x)
    if consts:
      return None
    if id(jaxpr) not in self._known:
      try:
        key = self._key(jaxpr)
        number = self._numbers.setdefault(key, len(self._numbers))
      except (fingerprint.Unkeyable, TypeError):   # what has no hash
        number = None
      self._known[id(jaxpr)] = jaxpr, number
    return self._known[id(jaxpr)][1]

  def _key(self, jaxpr) -> tuple:
    places: dict[Any, int] = {}
    place = lambda v: places.setdefault(v, len(places))
    types = tuple([v.aval for v in jaxpr.invars])
    for v in (*jaxpr.constvars, *jaxpr.invars):
      place(v)

    def atom(x):
      if type(x) is compat.Literal:
        return x.aval, fingerprint.of_param(x.val)
      return place(x)

    return types, tuple([
        (eqn.primitive, eqn.ctx, self._params(eqn.params),
         tuple(map(atom, eqn.invars)),
         tuple([(place(v), type(v), v.aval) for v in eqn.outvars]),
         frozenset(map(self._effect, eqn.effects)))
        for eqn in jaxpr.eqns]), tuple(map(atom, jaxpr.outvars))

  def _effect(self, effect):
    if isinstance(effect, compat.JaxprInputEffect):
      raise fingerprint.Unkeyable("effect on an operand")
    return effect

  def _params(self, params) -> tuple:
    if not any(compat.jaxprs_in_params(params)):
      return fingerprint.of_params(params)
    return tuple([(name, self._param(x)) for name, x in params.items()])

  def _param(self, x):
    if isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
      number = self.number(x)
      if number is None:
        raise fingerprint.Unkeyable("jaxpr without a key")
      return type(x), number
    if isinstance(x, tuple):
      return type(x), tuple(map(self._param, x))
    return fingerprint.of_param(x)
