"""Narrowing: a call is specialised to the operands that it really has.

    jit(f)(x, x, y) -> a, b, a      becomes      jit(f')(x, y) -> a, b

Operands with the same number enter as one, inside what becomes the same is
computed once, and results that are equal or known already are not returned.
The carries of a loop are such operands and results. Everything else about the
call stays: its name, what it donates and where it is placed, how often a loop
runs and how it is unrolled, its effects.

First the bodies are rewritten so that each value is read from the first that
has it, which leaves the interface as it was, then what nobody reads is dropped
by JAX's own rules for dead code.

Limits: a function of the user's with a rule of its own (`custom_jvp`) keeps its
operands, since its rule takes them; inside, its body is rewritten.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import call_numbering  # noqa: F401, for the rules
from jax_cse.numbering import keys
from jax_cse.numbering import loop_numbering  # noqa: F401, for the rules
from jax_cse.numbering.jaxpr_numbering import (
    Body, Scope, number_body, number_call)
from jax_cse.numbering.value_numbering import Numbering


class Narrowed(NamedTuple):
  """A primitive with fewer operands and results.

  Attributes:
    params: its params; None if nothing is left of it.
    effects: what it does beside.
    operands: which of the operands it takes.
    results: which of the results it gives.
  """
  params: dict[str, Any] | None
  effects: Any
  operands: list[int]
  results: list[int]


def narrow(scope: Scope, plan, primitive, params: dict[str, Any],
           numbers: Sequence[int], avals: Sequence[Any], keep: Sequence[bool]
           ) -> Narrowed | None:
  """Specialises a primitive that has jaxprs inside, if there is anything to it.

  The same call narrowed alike is the same object, so that what JAX caches for
  its jaxprs is found.

  Args:
    scope: where what was narrowed is kept.
    plan: the plan of the primitive.
    primitive: the primitive.
    params: its params.
    numbers: of the operands; equal ones are the same value.
    avals: their types.
    keep: which of the results are wanted.

  Returns:
    None if its operands are distinct, its results all wanted, and nothing is
    computed twice inside, as `scope.repeats` says after numbering it.
  """
  if all(keep) and len(set(numbers)) == len(numbers) and not scope.repeats:
    return None
  classes: dict[int, int] = {}
  pattern = [classes.setdefault(n, len(classes)) for n in numbers]
  key, found = keys.find(scope.narrowed.get, plan, None, (*pattern, *keep),
                         params)
  if found is not None and keys.agree(params, found[0]):
    return found[1]
  local = Scope(scope.numbering, mode=scope.mode, keeps_steps=True)
  leaves = [local.leaf() for _ in classes]
  eqn = jaxprs.equation(primitive, params, len(numbers), len(keep))
  _, bodies = number_call(local, primitive, params,
                          [leaves[c] for c in pattern], avals, None)
  operands, new = jaxprs.drop_dead(_with_bodies(eqn, bodies), keep)
  if new is None:
    narrowed = Narrowed(None, None, [], [])
  else:
    place = {var: i for i, var in enumerate(eqn.outvars)}
    narrowed = Narrowed(new.params, new.effects,
                        [i for i, used in enumerate(operands) if used],
                        [place[var] for var in new.outvars])
  if key is not None:
    scope.narrowed[key] = params, narrowed
  return narrowed


class _Alone(Numbering):
  """Numbers in a jaxpr by itself, which may close over tracers: they are what
  any constant is of which nothing is known."""

  def number(self, x: Any) -> int | None:
    return None if isinstance(x, compat.Tracer) else super().number(x)


def _no_table(trace: Any) -> Any:
  raise AssertionError(f"a tracer of {trace} was to have a number")


def numbered(closed_jaxpr, mode: str) -> Body:
  """A closed jaxpr by itself, numbered, with its steps."""
  numbering = _Alone(_no_table)
  numbering.traced = True
  scope = Scope(numbering, mode=mode, keeps_steps=True)
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  return number_body(scope, closed_jaxpr, [scope.leaf() for _ in jaxpr.invars])


def rewrite(closed_jaxpr, mode: str):
  """A closed jaxpr that computes everything once; its interface is kept."""
  return _rewrite(numbered(closed_jaxpr, mode))


def _with_bodies(eqn, bodies):
  new = list(map(_rewrite, bodies))
  if all(x is body.closed_jaxpr for x, body in zip(new, bodies)):
    return eqn
  return eqn.replace(params=jaxprs.with_jaxprs(eqn.params, iter(new)))


def _rewrite(body):
  jaxpr, _ = jaxprs.open_jaxpr(body.closed_jaxpr)
  first: dict[int, Any] = {}   # number to what has it first
  for n, var in zip(body.binders, (*jaxpr.constvars, *jaxpr.invars)):
    first.setdefault(n, var)
  eqns, changed = [], False
  for eqn, (operands, outs, bodies) in zip(jaxpr.eqns, body.steps,
                                          strict=True):
    keep = [n not in first and n not in outs[:i] for i, n in enumerate(outs)]
    stays = not compat.benign(eqn.effects) or not outs
    if not any(keep) and not stays:
      changed = True
      continue
    invars = [first.get(n, atom) for n, atom in zip(operands, eqn.invars)]
    new = eqn
    if any(a is not b for a, b in zip(invars, eqn.invars)):
      new = eqn.replace(invars=invars)
    if bodies:
      new = _with_bodies(new, bodies)
      if not all(keep) or len(set(operands)) < len(operands):
        _, new = jaxprs.drop_dead(new, keep)
    changed = changed or new is not eqn
    if new is not None:
      eqns.append(new)
    for n, var, wanted in zip(outs, eqn.outvars, keep):
      if wanted:
        first[n] = var
  outvars = [atom if type(atom) is compat.Literal else first[n]
             for n, atom in zip(body.outs, jaxpr.outvars)]
  if not changed and all(a is b for a, b in zip(outvars, jaxpr.outvars)):
    return body.closed_jaxpr
  return jaxprs.with_equations(body.closed_jaxpr, eqns, outvars)
