"""The table of a jaxpr under construction.

An equation that was staged before on the same values is not staged again; its
result is looked up. An entry refers to the tracer of the result weakly: as long
as the equation is used its tracer lives, and what JAX drops while it traces is
not brought back, so no jaxpr gets larger.

Calls that JAX inlines (`jit(inline=True)`, as `jnp` ufuncs are) are inlined
here, since their equations must be looked up one by one.

Limits: an equation of whose results none is in use is forgotten, and staged
again if it is asked for again, as it is without CSE.
"""

from typing import Any
import weakref

from jax_cse import compat
from jax_cse import keys
from jax_cse import reasons


class JaxprTable:
  """Entries and numbers of one `DynamicJaxprTrace`."""

  traced = True   # results end up in a jaxpr
  order = 0       # of nested forward mode
  __slots__ = ("memo", "against", "variables", "revivable", "_entries",
               "reference")

  def __init__(self, memo):
    self.memo = memo
    self.against: str | None = None
    # Variable to number; to None where what it stands for can change.
    self.variables: dict[Any, int | None] = {}
    self.revivable: dict[Any, Any] = {}
    # Key to a weak reference to the result, or a tuple of them.
    self._entries: dict[tuple, Any] = {}

  def bind(self, plain, primitive, trace, args, avals, params):
    memo = self.memo
    plan = keys.plan_of(primitive)
    reason = plan.against or self.against
    if reason is None and compat.checks_key_reuse():
      reason = reasons.CHECKED
    if compat.folds_constants() and not any(
        isinstance(x, compat.Tracer) for x in args):
      reason = reasons.FOLDED
    if reason is None and plan.carries_jaxprs:
      if (plan.is_jit and not params["jaxpr"].effects
          and compat.is_inline_call(params)):
        return self._inline(trace, params["jaxpr"], args)
      reason = reasons.against_call(plan, params)
    if reason is None:
      memo.numbering.traced = True
      numbers = self._numbers(trace, args)
      if None in numbers:
        reason = reasons.NO_NUMBER
      else:
        keys.put_in_order(plan, numbers, avals, eager=False)
        key, found = keys.find(self._entries.get, plan, memo.context(),
                               numbers, params)
        if key is None:
          reason = reasons.NO_KEY
    if reason is not None:
      return memo.bypass(plain, reason, primitive, trace, args, avals, params)
    if found is not None and (outs := _recall(found, params)) is not None:
      memo.stats.hits_of[plan.name] += 1
      return outs if plan.multiple_results else outs[0]
    memo.stats.misses_of[plan.name] += 1
    out = plain(primitive, trace, args, avals, params)
    self._store(key, out if plan.multiple_results else (out,))
    return out

  def _numbers(self, trace, operands) -> list[int | None]:
    variables, number = self.variables, self.memo.numbering.number
    numbers = []
    for x in operands:
      if type(x) is compat.DynamicJaxprTracer and x._trace is trace:
        var = x.val
        n = None if type(var) is compat.Literal else variables.get(var)
        numbers.append(number(x) if n is None else n)
      else:
        numbers.append(number(x))
    return numbers

  def _store(self, key, outs) -> None:
    """Enters what one equation just computed."""
    if not outs or type(outs[0]) is not compat.DynamicJaxprTracer:
      return
    eqn = outs[0].parent
    if eqn is None or (eqn.effects and not compat.benign(eqn.effects)):
      return  # folded to a constant or forwarded, which costs no equation
    variables, fresh = self.variables, self.memo.numbering.fresh
    for x in outs:
      var = x.val
      if x.parent is not eqn or var in variables:
        return
      variables[var] = fresh() if type(x.aval) is compat.ShapedArray else None
    self._entries[key] = (weakref.ref(outs[0]) if len(outs) == 1 else
                          tuple(map(weakref.ref, outs)))

  def _inline(self, trace, closed_jaxpr, args):
    """Stages the equations of an effect-free call one by one."""
    memo, jaxpr, entries = self.memo, closed_jaxpr.jaxpr, self._entries
    source = compat.current_source()
    context, eqn_context = memo.context(), compat.current_eqn_context()
    hits, misses = memo.stats.hits_of, memo.stats.misses_of
    memo.numbering.traced = True
    env = {}
    for var, x in zip(jaxpr.constvars, closed_jaxpr.consts):
      env[var] = trace.to_jaxpr_tracer(x, source)
    for var, x in zip(jaxpr.invars, args):
      env[var] = trace.to_jaxpr_tracer(x, source)

    def read(atom):
      if type(atom) is compat.Literal:
        return compat.literal_tracer(trace, atom, source)
      return env[atom]

    for eqn, plan, excluded, avals in _equations(jaxpr):
      tracers = [read(atom) for atom in eqn.invars]
      key = outs = None
      # An equation with a context of its own is the same as nothing else.
      if excluded is not None:
        memo.stats.bypass(plan.name, excluded)
      elif eqn.ctx is eqn_context:
        numbers = self._numbers(trace, tracers)
        if None not in numbers:
          keys.put_in_order(plan, numbers, avals, eager=False)
          key, found = keys.find(entries.get, plan, context, numbers,
                                 eqn.params)
      if key is not None:
        if found is not None:
          outs = _recall(found, eqn.params)
        (misses if outs is None else hits)[plan.name] += 1
      if outs is None:
        outs = compat.emit(trace, eqn, tracers, source)
        if key is not None:
          self._store(key, outs)
      for var, x in zip(eqn.outvars, outs):
        env[var] = x
    return [read(atom) for atom in jaxpr.outvars]


def _recall(found, params):
  """The results of an equation with these params, or None if they are gone."""
  if type(found) is not tuple:
    out = found()
    if out is None or not keys.agree(params, out.parent.params):
      return None
    return [out]
  outs = [reference() for reference in found]
  known = next((x for x in outs if x is not None), None)
  if known is None or not keys.agree(params, known.parent.params):
    return None
  # One result in use keeps the equation; the others come from it.
  eqn, trace = known.parent, known._trace
  return [compat.tracer_of_variable(trace, var, eqn) if x is None else x
          for x, var in zip(outs, eqn.outvars)]


# What no call of a jaxpr changes about its equations.
_plans: weakref.WeakKeyDictionary[Any, list] = weakref.WeakKeyDictionary()


def _equations(jaxpr):
  """The equations with plan, reason of exclusion or None, operand types."""
  equations = _plans.get(jaxpr)
  if equations is None:
    equations = []
    for eqn in jaxpr.eqns:
      plan = keys.plan_of(eqn.primitive)
      excluded = plan.against
      if excluded is None and plan.carries_jaxprs:
        excluded = reasons.against_call(plan, eqn.params)
      equations.append((eqn, plan, excluded,
                        [atom.aval for atom in eqn.invars]))
    _plans[jaxpr] = equations
  return equations
