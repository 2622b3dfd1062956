"""Derivatives in reverse mode that hold others, and what to write instead.

    simplified_before(program)     a loss with derivatives in it, differentiated
    forwards(program)              nested `grad` by one number

Both give the changes that may pay.
"""

from collections.abc import Iterable, Iterator
import functools

import jax
import jax.numpy as jnp

from jax_cse.findings import derivative_calls
from jax_cse.findings.derivative_calls import Call
from jax_cse.findings.redundancy_report import Line
from jax_cse.findings.traceable import Change, Traceable
from jax_cse.memo import contexts


def simplified_before(program: Traceable) -> Iterator[Change]:
  """The function inside of `enabled("ring")`, if that may pay."""
  losses = [call for call in program.calls
            if call.how == "reverse" and call.size > 1 and call.inside]
  if not losses:
    return
  loss = max(losses, key=lambda call: (call.order, call.size))
  inner = [call.line for call in loss.inside if call.line]
  names = {line.function for line in inner}
  only = names.pop() if len(names) == 1 else "<several>"
  yield Change(
      loss.line or next(iter(inner), None),
      f"a function with derivatives up to order {loss.order - 1} in it"
      f"{_at(inner)} is differentiated by {loss.size:,} numbers",
      '@jax_cse.enabled("ring") on the step, or @jax_cse.cse on the function '
      "with those derivatives in it"
      + (f" ({only})" if only.isidentifier() else ""),
      functools.partial(_in_ring, program))


def _in_ring(program):
  with contexts.merging("ring"):
    return jax.make_jaxpr(lambda *xs, **ks: program.fun(*xs, **ks))(
        *program.args, **program.kwargs)


def forwards(program: Traceable) -> Iterator[Change]:
  """Nested `jvp` in the place of nested `grad`, if there is such."""
  nested = [call for call in program.calls if _is_by_one(call) and any(
      map(_is_by_one, (*call.all_around(), *call.all_inside())))]
  outermost = [call for call in nested if call.around is None
               or not any(map(_is_by_one, call.all_around()))]
  if not nested:
    return
  deepest = max(outermost, key=lambda call: call.order)
  yield Change(
      deepest.line,
      f"nested reverse mode by one number, up to {deepest.order} times"
      + _at([call.line for call in outermost if call.line], deepest.line),
      "nested jax.jvp, jax_cse.derivatives, or "
      '@jax_cse.enabled("ring") around it',
      functools.partial(_by_jvp, program, {call.kind for call in nested}))


def _is_by_one(call: Call) -> bool:
  return call.how == "reverse" and call.size == len(call.shapes) == 1


def _by_jvp(program, kinds):
  def answer(call, plain, fun, args, kwargs):
    if call.kind not in kinds or kwargs.keys() - {"has_aux"}:
      return None
    y, dy, *aux = jax.jvp(fun, args, jax.tree.map(jnp.ones_like, args),
                          **kwargs)
    return y, lambda ct: jax.tree.map(
        lambda x: _product(ct, dy).reshape(jnp.shape(x)), args), *aux
  return derivative_calls.replaced(
      program.fun, program.args, program.kwargs, answer)


def _product(ct, dy):
  return sum(map(jnp.vdot, jax.tree.leaves(ct), jax.tree.leaves(dy)))


def _at(lines: Iterable[Line], but: Line | None = None) -> str:
  """The lines in parentheses, each once, and but one; empty if none is left."""
  places = dict.fromkeys(str(line) for line in lines if line != but)
  some = list(places)[:3] + ["..."] * (len(places) > 3)
  return f" ({', '.join(some)})" if some else ""
