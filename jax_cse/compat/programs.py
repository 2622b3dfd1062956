"""Jaxprs: made, closed, and freed of dead code."""

from typing import Any

import jax
from jax._src import ad_checkpoint
from jax._src import api_util
from jax._src import core
from jax._src import linear_util as lu
from jax._src.interpreters import partial_eval as pe
from jax._src.state import discharge

from jax_cse.compat.arrays import is_inexact
from jax_cse.compat.calls import scan_p
from jax_cse.compat.settings import VERSION, JaxprInputEffect

if VERSION >= (0, 11):
  from jax._src import flattree

Jaxpr = core.Jaxpr
Literal = core.Literal
saved_residuals = ad_checkpoint.saved_residuals
jaxprs_in_params = core.jaxprs_in_params
# 0.11.0: there is one class of jaxprs, which have constants or none.
ClosedJaxpr: Any = core.ClosedJaxpr if VERSION < (0, 11) else core.Jaxpr


def closed(jaxpr, consts):
  """A jaxpr with its constants; the same if it has them."""
  if ClosedJaxpr is not Jaxpr:
    return ClosedJaxpr(jaxpr, consts)
  return jaxpr if consts is jaxpr.consts or not (
      consts or jaxpr.consts) else jaxpr.with_consts(consts)


# The parts of JAX's dead-code elimination.
Var, DropVar, dce_jaxpr = core.Var, core.DropVar, pe.dce_jaxpr


def drop_dead(eqn, keep: list[bool]):
  """Drops results that are not kept, by JAX's rule for the primitive.

  Returns which operands are read then, and the equation or None.
  """
  rule = pe.dce_rules.get(eqn.primitive, pe._default_dce_rule)
  # 0.12.0: a rule for dead code is told which of the operands, if they are
  # references, are read afterwards.
  alive = () if VERSION < (0, 12) else ([True] * len(eqn.invars),)
  used, new = rule(keep, *alive, eqn)
  if VERSION < (0, 11) or new is None or new is eqn:
    return used, new
  # 0.11.0: a `scan` describes its operands and results by trees. They remember
  # dropped ones, so they would grow as the operands do without CSE, and differ
  # each time even if nothing is dropped. 0.12.0: if nothing is
  # dropped, rules for dead code return the equation itself.
  if VERSION < (0, 12) and _size(new) == _size(eqn):
    return used, eqn
  if eqn.primitive is scan_p:
    new = new.replace(params=_forget_dropped(new.params))
  return used, new


def _size(eqn) -> int:
  """The number of equations, operands and results, those inside included."""
  return 1 + len(eqn.invars) + len(eqn.outvars) + sum(
      map(_size, (e for j in jaxprs_in_params(eqn.params) for e in j.eqns)))


def _forget_dropped(params):
  plain = lambda tree: flattree.pack(tuple(
      flattree.nones(len(kind)) for kind in tree.unpack()))
  return params | {name: plain(params[name]) for name in ("ft_in", "ft_out")}


new_jaxpr_eqn = core.new_jaxpr_eqn


def on_operands(effects, jaxpr, invars, places):
  """The effects of a jaxpr as those of an equation with these `invars`, of
  which the inputs of the jaxpr are at `places`."""
  # 0.10.2: an effect names its input, and no longer the input's place.
  if VERSION < (0, 10, 2):
    first = len(jaxpr.constvars)
    on = lambda e: e.replace(input_index=places[e.input_index - first])
  else:
    outer = {v: invars[i] for v, i in zip(jaxpr.invars, places, strict=True)}
    on = lambda e: e.replace(outer[e.input])
  return {on(e) if isinstance(e, JaxprInputEffect) else e for e in effects}


def debug_info_of(fun):
  """What JAX says of a function in errors."""
  return lu.DebugInfo("linearize", api_util.fun_sourceinfo(fun) or "", None,
                      None)


def trace_to_jaxpr(fun, avals, debug_info):
  """The closed jaxpr of a function of flat operands."""
  jaxpr, _, consts = pe.trace_to_jaxpr_dynamic(
      lu.wrap_init(fun, debug_info=debug_info), avals)
  return closed(jaxpr, consts)


def jvp_of_equation(eqn):
  """A closed jaxpr that computes an equation's results twice: plainly, and by
  its `jvp`. It takes the operands, and the tangents of those that have one."""
  avals = [v.aval for v in eqn.invars]
  moving = [i for i, aval in enumerate(avals) if is_inexact(aval.dtype)]

  def apply(*operands):
    results = eqn.primitive.bind(
        *operands, **eqn.primitive.get_bind_params(eqn.params))
    return list(results) if eqn.primitive.multiple_results else [results]

  def both(operands, tangents):
    def of_moving(*primals):
      xs = list(operands)
      for i, x in zip(moving, primals):
        xs[i] = x
      return apply(*xs)
    again, _ = jax.jvp(of_moving, [operands[i] for i in moving], tangents)
    return [*apply(*operands), *again]

  return jax.make_jaxpr(both)(avals, [avals[i] for i in moving])


def without_references(primitive, params: dict[str, Any], avals, which):
  """One application of a primitive, as a closed jaxpr that takes values in
  place of some references.

  The values held afterwards follow the results, except of references that are
  gone. A result that is a reference becomes the value that it holds.
  """
  def apply(*operands):
    results = primitive.bind(*operands, **primitive.get_bind_params(params))
    return results if primitive.multiple_results else [results]

  nothing = lu.DebugInfo("references", "", None, None)
  traced = trace_to_jaxpr(apply, avals, nothing)
  # 0.10.2: `discharge_state` takes and gives a closed jaxpr.
  discharge_state: Any = discharge.discharge_state
  if VERSION < (0, 10, 2):
    jaxpr, consts = discharge_state(traced.jaxpr, traced.consts,
                                    should_discharge=which)
    return closed(_with_names(jaxpr), consts)
  return discharge_state(traced, should_discharge=which)


def _with_names(jaxpr):
  """A jaxpr inside of which the operands of jaxprs have names, though empty:
  before 0.10.2 references that became values have none, and a rule adds to
  them."""
  def named(x):
    if isinstance(x, tuple):
      return tuple(map(named, x)) if type(x) is tuple else x
    if not isinstance(x, ClosedJaxpr):
      return x
    inside = _with_names(x.jaxpr)
    names = inside.debug_info._replace(arg_names=("",) * len(inside.invars))
    return x.replace(jaxpr=inside.replace(debug_info=names))

  return jaxpr.replace(eqns=[
      eqn.replace(params={k: named(v) for k, v in eqn.params.items()})
      for eqn in jaxpr.eqns])
