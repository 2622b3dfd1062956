"""Jaxprs and equations, taken apart and put together: the jaxprs inside, their
effects, and the removal of dead code.

JAX's own rules drop dead code, since they know how each primitive describes its
operands and results. Before 0.12.0 JAX has none for `while` and would keep all
its carries, so this module has one.
"""

from collections.abc import Callable, Iterable, Sequence
import operator
from typing import Any

import numpy as np

from jax_cse import compat
from jax_cse.foundation import counting


def open_jaxpr(x):
  """The jaxpr and the constants of a jaxpr that is closed or has none."""
  if isinstance(x, compat.ClosedJaxpr):
    return x.jaxpr, x.consts
  return x, ()


def interpret(x, operands: Iterable[Any], constant: Callable[[Any], Any],
              literal: Callable[[Any], Any],
              equation: Callable[[Any, list[Any]], Sequence[Any]]) -> list[Any]:
  """The results of a jaxpr in a domain of the caller's: arrays, tracers,
  numbers, or marks.

  Args:
    x: a jaxpr, closed or without constants.
    operands: in the domain.
    constant: takes a constant of the jaxpr into the domain.
    literal: takes a literal into the domain.
    equation: the results of an equation on operands, both in the domain.
  """
  jaxpr, consts = open_jaxpr(x)
  env = dict(zip(jaxpr.constvars, map(constant, consts)))
  env.update(zip(jaxpr.invars, operands))
  for eqn in jaxpr.eqns:
    values = [literal(x) if type(x) is compat.Literal else env[x]
              for x in eqn.invars]
    env.update(zip(eqn.outvars, equation(eqn, values)))
  return [literal(x) if type(x) is compat.Literal else env[x]
          for x in jaxpr.outvars]


def with_calls_inlined(jaxpr, body_of: Callable[[Any], Any]):
  """The same jaxpr, calls replaced by the equations of their bodies.

  `body_of(eqn)` is the body of a call that is nothing but its body, else None.
  """
  eqns: list[Any] = []

  def walk(inside, env, is_copied):
    read = lambda x: x if type(x) is compat.Literal else env.get(x, x)
    for eqn in inside.eqns:
      operands = list(map(read, eqn.invars))
      body, consts = open_jaxpr(body_of(eqn))
      if body is not None and not consts:
        env.update(zip(eqn.outvars, walk(
            body, dict(zip(body.invars, operands)), True)))
        continue
      if is_copied:
        env.update((v, compat.Var(v.aval)) for v in eqn.outvars)
      eqns.append(eqn.replace(invars=operands,
                              outvars=list(map(read, eqn.outvars))))
    return list(map(read, inside.outvars))

  outvars = walk(jaxpr, {}, False)
  return jaxpr.replace(eqns=eqns, outvars=outvars)


def inlined(jaxpr):
  """A jaxpr without calls that are nothing but their bodies."""
  return with_calls_inlined(
      jaxpr, lambda eqn: compat.body_of_plain_call(eqn.primitive, eqn.params))


def substituted(closed_jaxpr, variables: dict):
  """A closed jaxpr that reads other variables, computed before, for some."""
  jaxpr, _ = open_jaxpr(closed_jaxpr)
  read = lambda xs: [x if type(x) is compat.Literal else variables.get(x, x)
                     for x in xs]
  eqns = [eqn.replace(invars=read(eqn.invars)) for eqn in jaxpr.eqns]
  return with_equations(closed_jaxpr, eqns, read(jaxpr.outvars))


def with_equations(x, eqns, outvars, effects=None):
  """The same jaxpr, closed or not, with other equations and results, and other
  effects if any are given."""
  jaxpr, consts = open_jaxpr(x)
  new = jaxpr.replace(eqns=eqns, outvars=outvars,
                      effects=jaxpr.effects if effects is None else effects)
  return compat.closed(new, consts) if x is not jaxpr else new


def with_jaxprs(params: dict[str, Any], jaxprs) -> dict[str, Any]:
  """Params with their jaxprs replaced by those of an iterator.

  They are taken in the alphabetical order of the params, whose own order
  differs from one `while` to another.
  """
  def replace(x):
    if isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
      return next(jaxprs)
    if isinstance(x, tuple):
      new = map(replace, x)
      return type(x)(*new) if hasattr(x, "_fields") else tuple(new)
    return x
  return params | {name: replace(params[name]) for name in sorted(params)}


def in_order(params: dict[str, Any]) -> list:
  """The jaxprs that `with_jaxprs` replaces, in its order."""
  found = []
  def look(x):
    if isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
      found.append(x)
    elif isinstance(x, tuple):
      for y in x:
        look(y)
  for name in sorted(params):
    look(params[name])
  return found


def inner_equations(params: dict[str, Any]):
  """Every equation inside of an equation with these params."""
  for jaxpr in compat.jaxprs_in_params(params):
    yield from counting.equations(jaxpr)


def equation(primitive, params, avals, num_results: int):
  """An equation on new variables of these types; the types of its results do
  not matter."""
  var = lambda _: compat.Var(compat.ShapedArray((), np.float32))
  return compat.new_jaxpr_eqn(
      list(map(compat.Var, avals)), list(map(var, range(num_results))),
      primitive, params, _effects_inside(params))


def _effects_inside(params):
  return compat.join_effects(
      *(j.effects for j in compat.jaxprs_in_params(params)))


def uses_references(params: dict[str, Any]) -> bool:
  """Whether an effect inside is on one of the operands."""
  return any(isinstance(e, compat.JaxprInputEffect)
             for j in compat.jaxprs_in_params(params) for e in j.effects)


def has_effects_inside(params: dict[str, Any]) -> bool:
  """Whether the jaxprs inside have effects other than naming axes."""
  return not all(
      compat.benign(j.effects) for j in compat.jaxprs_in_params(params))


def drop_dead(eqn, keep):
  """Drops results that are not kept, and operands that are dead then.

  Returns which operands are left, and the equation or None.
  """
  if eqn.primitive is compat.while_p:
    return _drop_dead_in_while(list(keep), eqn)
  used, new = compat.drop_dead(eqn, list(keep))
  return list(used), new


def drop_dead_equations(closed_jaxpr):
  """Drops dead equations; the operands stay."""
  jaxpr = closed_jaxpr.jaxpr
  eqns = _live(jaxpr, lambda eqn, keep: drop_dead(eqn, keep)[1])
  return (closed_jaxpr if eqns is None
          else with_equations(closed_jaxpr, eqns, jaxpr.outvars))


def _without_unread(jaxpr):
  """A jaxpr without the equations whose results nobody reads, and without
  such results of calls. Nothing that has effects goes, a read neither."""
  def drop(eqn, keep):
    if all(keep):
      return eqn
    left = drop_dead(eqn, keep)[1]
    return eqn if left is None and not compat.benign(eqn.effects) else left

  eqns = _live(jaxpr, drop)
  return jaxpr if eqns is None else jaxpr.replace(eqns=eqns)


def _live(jaxpr, drop):
  """The equations that are left of a jaxpr; None if all of them are.

  `drop` takes an equation and which of its results are read, and gives what is
  left of it, or None.
  """
  is_read = {v for v in jaxpr.outvars if type(v) is not compat.Literal}
  eqns = []
  for eqn in reversed(jaxpr.eqns):
    left = drop(eqn, [v in is_read for v in eqn.outvars])
    if left is not None:
      eqns.append(left)
      is_read.update(v for v in left.invars if type(v) is not compat.Literal)
  eqns.reverse()
  is_whole = len(eqns) == len(jaxpr.eqns) and all(
      map(operator.is_, eqns, jaxpr.eqns))
  return None if is_whole else eqns


class _Frame(compat.JaxprStackFrame):
  """Where a jaxpr is gathered that has no unread equations when it is closed,
  whichever mode is in force then."""
  __slots__ = ()

  def to_jaxpr(self, trace, *args, **kwargs):
    jaxpr, consts = super().to_jaxpr(trace, *args, **kwargs)
    try:
      return _without_unread(jaxpr), consts
    except BaseException:
      # JAX keeps what is left of custom rules, which refer to the trace.
      trace.invalidate()
      raise


def drop_unread(trace) -> None:
  """Has a jaxpr under construction end without equations that nobody reads."""
  trace.frame.__class__ = _Frame


def _drop_dead_in_while(keep, eqn):
  """The rule for `while`, which JAX has since 0.12.0."""
  params = eqn.params
  test, body = params["cond_jaxpr"], params["body_jaxpr"]
  num_test, num_body = params["cond_nconsts"], params["body_nconsts"]
  _, used_test = compat.dce_jaxpr(test.jaxpr, True)
  carry = [a or b for a, b in zip(keep, used_test[num_test:])]
  while True:
    _, used_body = compat.dce_jaxpr(body.jaxpr, carry)
    wider = [a or b for a, b in zip(carry, used_body[num_body:])]
    if wider == carry:
      break
    carry = wider
  used_test, used_body = used_test[:num_test], used_body[:num_body]
  new_test, _ = compat.dce_jaxpr(test.jaxpr, True, used_test + carry)
  new_body, _ = compat.dce_jaxpr(body.jaxpr, carry, used_body + carry)
  used = used_test + used_body + carry
  if all(used):
    return used, eqn
  new = dict(params, cond_nconsts=sum(used_test), body_nconsts=sum(used_body),
             cond_jaxpr=compat.closed(new_test, test.consts),
             body_jaxpr=compat.closed(new_body, body.consts))
  invars = [v for v, u in zip(eqn.invars, used) if u]
  num_test, num_body = new["cond_nconsts"], new["body_nconsts"]
  places = list(range(len(invars)))
  carried = places[num_test + num_body:]
  return used, eqn.replace(
      invars=invars, outvars=[v for v, u in zip(eqn.outvars, carry) if u],
      params=new, effects=compat.join_effects(*[
          compat.on_operands(jaxpr.effects, jaxpr, invars, own + carried)
          for jaxpr, own in (
              (new_test, places[:num_test]),
              (new_body, places[num_test:num_test + num_body]))]))
