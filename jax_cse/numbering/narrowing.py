"""Narrowing: a call is specialised to the operands that it really has.

    jit(f)(x, x, y) -> a, b, a      becomes      jit(f')(x, y) -> a, b

Operands with the same number enter as one, equations inside that become the
same are computed once, and results that are equal or known already are not
returned. The carries of a loop are such operands and results. Everything else
about the call stays: name, donation and placement, the trip count of a loop and
its unrolling, effects.

First the bodies are rewritten (`rewriting`), which leaves the interface as it
was. Then JAX's own rules drop dead code. Where nothing was rewritten, and every
result is wanted, the call stays.
"""

from collections.abc import Container, Mapping, Sequence
from typing import Any, NamedTuple

from jax_cse.compat import jaxprs
from jax_cse.numbering import congruence
from jax_cse.numbering import keys
from jax_cse.numbering import loop_numbering
from jax_cse.numbering import rewriting
from jax_cse.numbering.jaxpr_numbering import Scope


class Call:
  """A primitive with jaxprs inside, on operands that have numbers.

  Attributes:
    outs: the numbers of its results.
  """

  def __init__(self, scope: Scope, primitive, params: dict[str, Any],
               numbers: Sequence[int], avals: Sequence[Any], context: Any):
    """`avals`: the types of the operands."""
    self._scope = scope
    self._primitive = primitive
    self._params = params
    self._numbers = numbers
    self._avals = avals
    self.outs, self._bodies = scope.call(primitive, params, numbers, avals,
                                         context)
    self._repeats = any(body.repeats for body in self._bodies)

  def rest(self, known: Container[int]) -> "Rest":
    """The rest of it, if the results with these numbers are known."""
    keep = rewriting.wanted(self.outs, known)
    if not any(keep) and not jaxprs.has_effects_inside(self._params):
      return Rest(None, None, [], [])
    if (all(keep) and len(set(self._numbers)) == len(self._numbers)
        and not self._repeats):
      return Rest(self._params, None, range(len(self._numbers)),
                  range(len(keep)))
    return _narrowed(self._scope, self._primitive, self._params, self._numbers,
                     self._avals, keep, self._bodies)

  def results(self, known: Mapping[int, Any], rest: "Rest",
              computed: Sequence[Any]) -> list[Any]:
    """All results: the known ones, and those computed by the rest."""
    found = {self.outs[i]: x for i, x in zip(rest.results, computed)}
    found.update(known)
    return [found[n] for n in self.outs]


class Rest(NamedTuple):
  """A primitive with fewer operands and results.

  Attributes:
    params: its params; None if nothing is left of it.
    effects: its effects; None if it is whole.
    operands: which of the operands it takes.
    results: which of the results it gives.
  """
  params: dict[str, Any] | None
  effects: Any
  operands: Sequence[int]
  results: Sequence[int]

  @property
  def is_whole(self) -> bool:
    """Whether nothing about it was changed."""
    return self.params is not None and self.effects is None


def _narrowed(scope, primitive, params, numbers, avals, keep, bodies) -> Rest:
  """The same call narrowed alike is the same object, so that JAX's caches know
  its jaxprs."""
  # A loop's template has its steps, and knows also which operands are
  # transposes of others.
  is_loop = primitive in loop_numbering.RULES
  pattern = ([n for body in bodies for n in body.binders] if is_loop else
             congruence.index(numbers))
  plan = keys.plan_of(primitive)
  key, found = keys.find(scope.narrowed.get, plan, None, (*pattern, *keep),
                         params)
  if found is not None and keys.agree(params, found[0]):
    return found[1]
  eqn = jaxprs.equation(primitive, params, avals, len(keep))
  if not is_loop:
    local = Scope(scope.numbering, mode=scope.mode, keeps_steps=True)
    leaves = local.leaves(len(set(pattern)))
    _, bodies = local.call(primitive, params, [leaves[c] for c in pattern],
                           avals, None)
  rewritten = rewriting.with_bodies(eqn, bodies)
  # Where nothing inside has changed all that is in it is alive, as before.
  operands, new = (jaxprs.drop_dead(rewritten, keep)
                   if rewritten is not eqn or not all(keep) else ((), eqn))
  if new is eqn:
    rest = Rest(params, None, range(len(numbers)), range(len(keep)))
  elif new is None:
    rest = Rest(None, None, [], [])
  else:
    place = {var: i for i, var in enumerate(eqn.outvars)}
    rest = Rest(new.params, new.effects,
                [i for i, used in enumerate(operands) if used],
                [place[var] for var in new.outvars])
  if key is not None:
    scope.narrowed[key] = params, rest
  return rest
