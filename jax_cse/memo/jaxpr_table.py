"""The table of a jaxpr under construction.

An equation that was staged before on the same values is not staged again; its
result is looked up. A number leads to the tracer that has it weakly: as long as
the equation is used its tracer lives, and what JAX drops while it traces is not
brought back, so no jaxpr gets larger.

Calls that JAX inlines (`jit(inline=True)`, as `jnp` ufuncs are) are inlined
here, since their equations must be looked up one by one. Every other call, loop
or branch stays one equation: those of its results that are known are looked up,
and for the others it is narrowed to the operands that it really has.

Limits: an equation of whose results none is in use is forgotten, and staged
again if it is asked for again, as it is without CSE.
"""

from collections.abc import Sequence
from typing import Any
import weakref

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import keys
from jax_cse.numbering.jaxpr_numbering import Scope, equations, number_call
from jax_cse.numbering.narrowing import narrow
from jax_cse.primitives import exclusions


class JaxprTable:
  """Results and numbers of one `DynamicJaxprTrace`."""

  traced = True   # results end up in a jaxpr
  order = 0       # of nested forward mode
  __slots__ = ("memo", "against", "variables", "revivable", "_scope",
               "_results", "reference")

  def __init__(self, memo):
    self.memo = memo
    self.against: str | None = None
    # Variable to number; to None where what it stands for can change.
    self.variables: dict[Any, int | None] = {}
    self.revivable: dict[Any, Any] = {}
    self._scope = Scope(memo.numbering, memo.context_of, memo.mode)
    # Number to weak references to the results of the equation that computed it,
    # and to which of them.
    self._results: dict[int, tuple[tuple, int]] = {}

  def bind(self, plain, primitive, trace, args, avals, params):
    memo = self.memo
    plan = keys.plan_of(primitive)
    reason = self.against
    if reason is None and compat.checks_key_reuse():
      reason = exclusions.CHECKED
    if compat.folds_constants() and not any(
        isinstance(x, compat.Tracer) for x in args):
      reason = exclusions.FOLDED
    if reason is None and plan.is_structured:
      if (plan.is_jit and not params["jaxpr"].effects
          and compat.is_inline_call(params)):
        return self._inline(trace, params["jaxpr"], args)
      if not jaxprs.uses_references(params):
        return self._call(
            plan, primitive, trace, args, avals, params,
            lambda args, avals, narrowed: plain(
                primitive, trace, args, avals,
                params if narrowed is None else narrowed.params))
    if reason is None:
      reason = plan.against
    if reason is None and plan.carries_jaxprs:
      reason = exclusions.against_call(plan, params)
    if reason is None:
      memo.numbering.traced = True
      numbers = self._numbers(trace, args)
      if None in numbers:
        reason = exclusions.NO_NUMBER
      else:
        key, found = self._scope.look_up(plan, memo.context(), numbers, avals,
                                         params)
        if key is None:
          reason = exclusions.NO_KEY
    if reason is not None:
      return memo.bypass(plain, reason, primitive, trace, args, avals, params)
    if found is not None and (outs := self._recall(found)) is not None:
      memo.stats.hits_of[plan.name] += 1
      return outs if plan.multiple_results else outs[0]
    memo.stats.misses_of[plan.name] += 1
    out = plain(primitive, trace, args, avals, params)
    self._store(key, found, len(numbers), params,
                out if plan.multiple_results else (out,))
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

  def _recall(self, numbers):
    """Tracers that have these numbers, or None if one is gone."""
    outs = [self._result(n) for n in numbers]
    return None if any(x is None for x in outs) else outs

  def _result(self, number):
    """A tracer that has the number, or None."""
    found = self._results.get(number)
    if found is None:
      return None
    references, i = found
    out = references[i]()
    if out is None and len(references) > 1:
      # One result in use keeps the equation; the others come from it.
      for reference in references:
        known = reference()
        if known is not None:
          eqn = known.parent
          return compat.tracer_of_variable(known._trace, eqn.outvars[i], eqn)
    return out

  def _store(self, key, numbers, arity, params, outs) -> None:
    """Enters what one equation just computed."""
    if not outs or type(outs[0]) is not compat.DynamicJaxprTracer:
      return
    eqn = outs[0].parent
    if eqn is None or (eqn.effects and not compat.benign(eqn.effects)):
      return  # folded to a constant or forwarded, which costs no equation
    if numbers is None:
      numbers = self._scope.expressions.enter(key, arity, len(outs), params)
    if len(outs) > 1:
      self._enter(numbers, outs)
      return
    # One result is the rule, and this runs for every equation.
    x, = outs
    if x.val not in self.variables:
      if type(x.aval) is compat.ShapedArray:
        self.variables[x.val], = numbers
        self._results[numbers[0]] = (weakref.ref(x),), 0
      else:
        self.variables[x.val] = None

  def _enter(self, numbers, outs) -> None:
    """Notes the numbers of the results of one equation."""
    variables, results = self.variables, self._results
    eqn = outs[0].parent
    references: tuple[weakref.ref, ...]
    if len(outs) == 1:
      references = (weakref.ref(outs[0]),)
    else:
      references = tuple(map(weakref.ref, outs))
      if [x.val for x in outs] != eqn.outvars:
        return
    for i, (n, x) in enumerate(zip(numbers, outs)):
      if x.parent is not eqn or x.val in variables:
        return
      if type(x.aval) is compat.ShapedArray:
        variables[x.val] = n
        results[n] = references, i
      else:
        variables[x.val] = None

  def _call(self, plan, primitive, trace, args, avals, params, stage):
    """Results of a call: those that are known, and what `stage` gives."""
    memo, scope = self.memo, self._scope
    memo.numbering.traced = True
    numbers = [scope.leaf() if n is None else n
               for n in self._numbers(trace, args)]
    scope.repeats = False
    outs, _ = number_call(scope, primitive, params, list(numbers), avals,
                          memo.context())
    known: dict[int, Any] = {}
    for n in outs:
      if n not in known:
        x = self._result(n)
        if x is None and n in numbers:
          x = trace.to_jaxpr_tracer(args[numbers.index(n)],
                                    compat.current_source())
        if x is not None:
          known[n] = x
    reason = plan.against or exclusions.against_call(plan, params)
    if outs and len(known) == len(set(outs)) and (
        not jaxprs.has_effects_inside(params)):
      memo.stats.hits_of[plan.name] += 1
      return [known[n] for n in outs]
    if reason is None:
      memo.stats.misses_of[plan.name] += 1
    else:
      memo.stats.bypass(plan.name, reason)
    keep = [n not in known and n not in outs[:i] for i, n in enumerate(outs)]
    narrowed = narrow(scope, plan, primitive, params, numbers, avals, keep)
    given: Sequence[int]
    if narrowed is None:
      results = stage(args, avals, None)
      given = range(len(outs))
    else:
      results = [] if narrowed.params is None else stage(
          [args[i] for i in narrowed.operands],
          [avals[i] for i in narrowed.operands], narrowed)
      given = narrowed.results
    for i, x in zip(given, results):
      known.setdefault(outs[i], x)
    staged = [(outs[i], x) for i, x in zip(given, results)
              if type(x) is compat.DynamicJaxprTracer and x.parent is not None]
    if staged:
      eqn = staged[0][1].parent
      mine = [(n, x) for n, x in staged if x.parent is eqn]
      self._enter(*zip(*mine))
    return [known[n] for n in outs]

  def stage(self, stage, primitive, trace, tracers, params):
    """Results of a `custom_jvp` call whose function was traced just now."""
    memo, plan = self.memo, keys.plan_of(primitive)
    reason = self.against or exclusions.against_call(plan, params)
    if reason is None and compat.checks_key_reuse():
      reason = exclusions.CHECKED
    if reason is not None:
      memo.stats.bypass(plan.name, reason)
      return stage()
    memo.numbering.traced = True
    numbers = [self._scope.leaf() if n is None else n
               for n in self._numbers(trace, tracers)]
    outs, _ = number_call(self._scope, primitive, params, numbers,
                          [x.aval for x in tracers], memo.context())
    known = self._recall(outs)
    if known is not None and outs:
      memo.stats.hits_of[plan.name] += 1
      return known
    memo.stats.misses_of[plan.name] += 1
    results = stage()
    if results:
      self._enter(outs, results)
    return results

  def _inline(self, trace, closed_jaxpr, args):
    """Stages the equations of an effect-free call one by one."""
    memo, jaxpr = self.memo, closed_jaxpr.jaxpr
    look_up = self._scope.look_up
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

    for eqn, plan, excluded, avals, _ in equations(jaxpr):
      tracers = [read(atom) for atom in eqn.invars]
      key = outs = None
      # An equation with a context of its own is the same as nothing else.
      if eqn.ctx is not eqn_context:
        pass
      elif plan.is_structured and not jaxprs.uses_references(eqn.params):
        outs = self._call(
            plan, eqn.primitive, trace, tracers, avals, eqn.params,
            lambda tracers, _, narrowed, eqn=eqn: compat.emit(
                trace, eqn, tracers, source, narrowed))
      elif excluded is not None:
        memo.stats.bypass(plan.name, excluded)
      else:
        numbers = self._numbers(trace, tracers)
        if None not in numbers:
          key, found = look_up(plan, context, numbers, avals, eqn.params)
      if key is not None:
        if found is not None:
          outs = self._recall(found)
        (misses if outs is None else hits)[plan.name] += 1
      if outs is None:
        outs = compat.emit(trace, eqn, tracers, source)
        if key is not None:
          self._store(key, found, len(numbers), eqn.params, outs)
      for var, x in zip(eqn.outvars, outs):
        env[var] = x
    return [read(atom) for atom in jaxpr.outvars]
