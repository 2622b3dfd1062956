"""Rewriting: each value is read from the first that has it.

    a = f x; b = f x; c = g b      becomes      a = f x; c = g a

The interface of a jaxpr stays, and dead equations are left out. Jaxprs inside
of an equation are rewritten alike, and its operands and results narrowed by
JAX's own rules for dead code. That is mode `"exact"` from jaxpr to jaxpr.

Limits: a function of the user's with a rule of its own (`custom_jvp`) keeps its
operands, since its rule takes them; inside, its body is rewritten.
"""

from collections.abc import Container, Sequence
import operator
from typing import Any

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering.bodies import Body
from jax_cse.numbering.jaxpr_numbering import Scope
from jax_cse.numbering.value_numbering import Numbering


class _Alone(Numbering):
  """Numbers in a jaxpr by itself, which may close over tracers: these are
  constants of which nothing is known."""

  def number(self, x: Any) -> int | None:
    return None if isinstance(x, compat.Tracer) else super().number(x)


def _no_table(trace: Any) -> Any:
  raise AssertionError(f"a tracer of {trace} was to have a number")


def numbered(closed_jaxpr, mode: str) -> Body:
  """A closed jaxpr by itself, numbered, with its steps."""
  scope = Scope(_Alone(_no_table), mode=mode, keeps_steps=True)
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  return scope.body(closed_jaxpr, scope.leaves(len(jaxpr.invars)))


def rewrite(closed_jaxpr, mode: str):
  """A closed jaxpr that computes everything once; its interface is kept."""
  return _rewrite(closed_jaxpr, numbered(closed_jaxpr, mode))


def with_bodies(eqn, bodies: list[Body]):
  """An equation with the jaxprs inside of it rewritten."""
  inside = jaxprs.in_order(eqn.params)
  new = list(map(_rewrite, inside, bodies))
  if all(map(operator.is_, new, inside)):
    return eqn
  return eqn.replace(params=jaxprs.with_jaxprs(eqn.params, iter(new)))


def wanted(outs: Sequence[int], known: Container[int],
           dropped: Container[int] = ()) -> list[bool]:
  """Which results are to be computed: the first of each number, unless it is
  known. `dropped`: the places of those that have no variable."""
  first = {n: i for i, n in reversed(list(enumerate(outs)))
           if i not in dropped}
  return [n not in known and first.get(n) == i for i, n in enumerate(outs)]


def _rewrite(closed_jaxpr, body):
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  first: dict[int, Any] = {}   # number to its first variable
  for n, var in zip(body.binders, (*jaxpr.constvars, *jaxpr.invars)):
    first.setdefault(n, var)
  eqns, changed = [], False
  for eqn, (operands, outs, bodies) in zip(jaxpr.eqns, body.steps,
                                          strict=True):
    keep = wanted(outs, first, [i for i, var in enumerate(eqn.outvars)
                                if type(var) is compat.DropVar])
    stays = not compat.benign(eqn.effects) or not outs
    if not any(keep) and not stays:
      changed = True
      continue
    invars = [first.get(n, atom) for n, atom in zip(operands, eqn.invars)]
    new = eqn
    if any(a is not b for a, b in zip(invars, eqn.invars)):
      new = eqn.replace(invars=invars)
    if bodies:
      before, new = new, with_bodies(new, bodies)
      if not all(keep) or (
          new is not before and len(set(operands)) < len(operands)):
        _, new = jaxprs.drop_dead(new, keep)
    changed = changed or new is not eqn
    if new is not None:
      eqns.append(new)
    for n, var, is_kept in zip(outs, eqn.outvars, keep):
      if is_kept:
        first[n] = var
  outvars = [atom if type(atom) is compat.Literal else first[n]
             for n, atom in zip(body.outs, jaxpr.outvars)]
  if not changed and all(a is b for a, b in zip(outvars, jaxpr.outvars)):
    return closed_jaxpr
  return jaxprs.with_equations(closed_jaxpr, eqns, outvars)
