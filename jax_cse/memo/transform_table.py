"""The table of a transformation: `jvp`, `linearize` or `vmap`.

The rule of a transformation makes binds one level further in, which are looked
up there. So the table of the outermost would save only the work of running a
rule twice, and is not asked. But the rules of the outermost make the same binds
at the next level again and again; without a table there the work would grow
exponentially although the jaxpr does not. An entry refers to results by
`Value`s, which put a tracer together again from its parts.

A call that JAX inlines is bound equation by equation where forward mode nests.
At each level its rule doubles the operands of the call, and inside the call the
copies can no longer be told to be copies. Where it does not nest JAX's own rule
is kept, which works on the whole call and is cached; equation by equation the
gradient of a transformer takes 2.8 times as long to trace.

Limits: eagerly a call stays whole, since compiled as one it may round
otherwise than its equations one by one.
"""

import functools

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import keys
from jax_cse.numbering.jaxpr_numbering import Scope, number_call
from jax_cse.numbering.narrowing import narrow
from jax_cse.numbering.values import TracerValues
from jax_cse.primitives import exclusions

# A transformation that runs eagerly for a long time has a table that would
# grow with it. Emptying it costs hits and no more.
_MAX_EAGER_ENTRIES = 1 << 16


class TransformTable:
  """Entries and values of one `JVPTrace`, `LinearizeTrace` or `BatchTrace`."""

  __slots__ = ("memo", "traced", "order", "against", "is_outermost", "values",
               "_linearizes", "_entries", "_scope", "reference")

  def __init__(self, memo, trace, parent):
    self.memo = memo
    self.traced = parent.traced
    self.order = parent.order + (type(trace) is compat.JVPTrace)
    self.against = parent.against
    if not self.traced and not memo.sees_exits:
      self.against = exclusions.ENTERED_INSIDE
    self.is_outermost = True
    if isinstance(parent, TransformTable):
      parent.is_outermost = False
    self.values = TracerValues()
    self._entries: dict[tuple, tuple] = {}
    self._scope = Scope(memo.numbering, memo.context_of, memo.mode)
    self._linearizes = type(trace) is compat.LinearizeTrace
    if self._linearizes and not self.traced:
      self.against = exclusions.COTANGENTS
      memo.table(trace.tangent_trace).against = exclusions.COTANGENTS

  def bind(self, plain, primitive, trace, args, avals, params):
    memo = self.memo
    plan = keys.plan_of(primitive)
    if plan.is_jit and self.traced and compat.is_inline_call(params):
      if self.order >= 2 and type(trace) is compat.JVPTrace:
        return compat.evaluate_inline(trace, params["jaxpr"], args)
      return self._run(plain, primitive, trace, args, avals, params)
    if self.is_outermost:
      out = self._run(plain, primitive, trace, args, avals, params)
      return self._to_user(plan, out) if memo.shares_arrays else out
    if (plan.is_structured and self.traced and self.against is None
        and not compat.checks_key_reuse()
        and not jaxprs.uses_references(params)):
      return self._call(plain, plan, primitive, trace, args, avals, params)
    reason = plan.against or self.against
    if reason is None and plan.carries_jaxprs:
      reason = exclusions.against_call(plan, params)
    if reason is None and (
        compat.checks_key_reuse() if self.traced else
        compat.checks_every_result()):
      reason = exclusions.CHECKED
    if reason is None:
      numbering = memo.numbering
      numbering.traced = self.traced
      known = self.values.by_id.get
      numbers = []
      for x in args:
        found = known(id(x))   # most operands are results of this trace
        numbers.append(found[1].number if found and found[0]() is x else
                       numbering.number(x))
      if None in numbers:
        reason = exclusions.NO_NUMBER
      else:
        keys.put_in_order(plan, numbers, avals, eager=not self.traced)
        key, found = keys.find(self._entries.get, plan, memo.context(),
                               numbers, params)
        if key is None:
          reason = exclusions.NO_KEY
    if reason is not None:
      return memo.bypass(functools.partial(self._run, plain), reason,
                         primitive, trace, args, avals, params)
    if found is not None and (outs := self._recall(found, params)) is not None:
      memo.stats.hits_of[plan.name] += 1
      return outs if plan.multiple_results else outs[0]
    memo.stats.misses_of[plan.name] += 1
    out = self._run(plain, primitive, trace, args, avals, params)
    self._store(key, params, out if plan.multiple_results else (out,))
    return out

  def _call(self, plain, plan, primitive, trace, args, avals, params):
    """Results of a call: looked up, or those of what it is narrowed to."""
    memo, scope = self.memo, self._scope
    memo.numbering.traced = True
    numbers = [scope.leaf() if n is None else n
               for n in map(memo.numbering.number, args)]
    scope.repeats = False
    outs, _ = number_call(scope, primitive, params, list(numbers), avals,
                          memo.context())
    reason = plan.against or exclusions.against_call(plan, params)
    key = (plan.number, memo.context(), *outs)
    if reason is not None:
      memo.stats.bypass(plan.name, reason)
    else:
      found = self._entries.get(key)
      if found is not None and (known := self._recall(found, {})) is not None:
        memo.stats.hits_of[plan.name] += 1
        return known
      memo.stats.misses_of[plan.name] += 1
    given = dict(zip(numbers, args))
    keep = [n not in given and n not in outs[:i] for i, n in enumerate(outs)]
    narrowed = narrow(scope, plan, primitive, params, numbers, avals, keep)
    if narrowed is None:
      results = self._run(plain, primitive, trace, args, avals, params)
    else:
      if narrowed.params is not None and (
          any(keep) or jaxprs.has_effects_inside(params)):
        staged = self._run(
            plain, primitive, trace, [args[i] for i in narrowed.operands],
            [avals[i] for i in narrowed.operands], narrowed.params)
        given = {outs[i]: x for i, x in zip(narrowed.results, staged)} | given
      results = [given[n] for n in outs]
    if reason is None:
      self._store(key, {}, results)
    return results

  def _run(self, plain, primitive, trace, args, avals, params):
    """Runs the rule of the transformation, one level deeper."""
    memo = self.memo
    before = memo.depth, memo.linearizing
    try:
      memo.depth += 1
      memo.linearizing += self._linearizes
      return plain(primitive, trace, args, avals, params)
    finally:
      memo.depth, memo.linearizing = before

  def _to_user(self, plan, out):
    own = self.memo.numbering.arrays.own_shared
    return own(out) if plan.multiple_results else own((out,))[0]

  def _recall(self, entry, params):
    if not keys.agree(params, entry[0]):
      return None
    outs = [value.revive() for value in entry[1:]]
    if any(x is None for x in outs):
      return None
    if not self.traced:
      self.memo.shares_arrays = True
      outs = self.memo.numbering.arrays.own(outs)
    return outs

  def _store(self, key, params, outs) -> None:
    if not self.traced and len(self._entries) >= _MAX_EAGER_ENTRIES:
      self._entries.clear()
      self.values.clear()
    numbering = self.memo.numbering
    numbering.traced = self.traced   # the rule may have traced something else
    values = [numbering.of(x) for x in outs]
    if not any(value is None for value in values):
      self._entries[key] = (params, *values)
