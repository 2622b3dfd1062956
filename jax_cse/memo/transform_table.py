"""The table of a transformation: `jvp`, `linearize` or `vmap`.

The rule of a transformation makes binds one level further in, which are looked
up there. So the table of the outermost level would save only a second run of a
rule, and is not asked. But the rules of the outermost level make the same binds
at the next level again and again. Without a table there the work would grow
exponentially although the jaxpr does not. An entry refers to results by
`Value`s, which put a tracer together again from its parts.

A call that JAX inlines is bound equation by equation where forward mode nests.
There its rule doubles the operands of the call at each level, and inside the
call nothing shows that they are copies. Elsewhere JAX's own rule is kept, which
works on the whole call and is cached: equation by equation the gradient of a
transformer takes 2.8 times as long to trace.

Limits: eagerly a call stays whole, since compiled as one it may round
otherwise than its equations one by one.
"""

import functools

from jax_cse import compat
from jax_cse.memo import gate
from jax_cse.numbering import keys
from jax_cse.numbering.jaxpr_numbering import Scope
from jax_cse.numbering.narrowing import Call
from jax_cse.numbering.values import TracerValues
from jax_cse.primitives import exclusions

# A transformation that runs eagerly for a long time has a table that would
# grow with it. Emptying it costs hits and no more.
_MAX_EAGER_ENTRIES = 1 << 16


class TransformTable:
  """Entries and values of one `JVPTrace`, `LinearizeTrace` or `BatchTrace`."""

  __slots__ = ("memo", "traced", "order", "base", "against", "is_outermost",
               "root", "values", "_linearizes", "_drops_zeros", "_numbering",
               "_entries", "_scope", "reference")

  def __init__(self, memo, trace, parent):
    self.memo = memo
    self.traced = parent.traced
    self.order = parent.order + (type(trace) is compat.JVPTrace)
    self.base = parent.base
    self.root = parent.root
    if self.root is not None and self.base + compat.differentiations(
        compat.transformations()) > 1:
      self.root.note_nested()
    self.against = parent.against
    if not self.traced and not memo.sees_exits:
      self.against = exclusions.ENTERED_INSIDE
    self.is_outermost = True
    if isinstance(parent, TransformTable):
      parent.is_outermost = False
    self.values = TracerValues()
    self._numbering = (memo.numbering if self.traced
                       else memo.eager_numbering)
    self._entries: dict[tuple, tuple] = {}
    self._scope = Scope(memo.numbering, memo.context_of, memo.mode)
    self._drops_zeros = (type(trace) is compat.JVPTrace and self.traced
                         and memo.mode == "ring")
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
    if plan.is_jit and self._drops_zeros and self.order >= 2 and (
        self._enters(primitive, args, params)):
      return compat.evaluate_inline(trace, params["jaxpr"], args)
    if self.is_outermost:
      out = self._run(plain, primitive, trace, args, avals, params)
      return self._to_user(plan, out) if memo.shares_arrays else out
    reason = self._reason_against()
    if primitive is compat.convert_element_type_p and (
        compat.literal_to_integer(args, params)):
      reason = exclusions.FOLDED   # or not: the table of the jaxpr knows
    if (reason is None and self.traced and plan.looks_inside(params)
        and not memo.leaves_whole(self, plan, params)):
      return self._call(plain, plan, primitive, trace, args, avals, params)
    return gate.answer(
        self, plan, plan.reason_against(params) or reason,
        functools.partial(self._run, plain), primitive, trace, args, avals,
        params)

  def _reason_against(self) -> str | None:
    """Why no primitive is looked up now, or None if any may be."""
    if self.against is None and (
        compat.checks_key_reuse() if self.traced else
        compat.checks_every_result()):
      return exclusions.CHECKED
    return self.against

  def _call(self, plain, plan, primitive, trace, args, avals, params):
    """Results of a call: looked up, or computed by the narrowed call."""
    memo, scope = self.memo, self._scope
    numbers = [scope.leaf() if n is None else n
               for n in self.numbers(trace, args)]
    call = Call(scope, primitive, params, numbers, avals, memo.context())
    reason = plan.reason_against(params)
    key = (plan.number, memo.context(), *call.outs)
    found = None if reason else self._entries.get(key)
    results = None if found is None else self.recall(found, {})
    memo.count(plan, results is not None, reason)
    if results is not None:
      return results
    # A rule gives results of one type, weak or not; operands need not be.
    known = {n: x for n, x in zip(numbers, args) if compat.is_of_one_type(x)}
    rest = call.rest(known)
    computed = [] if rest.params is None else self._run(
        plain, primitive, trace, [args[i] for i in rest.operands],
        [avals[i] for i in rest.operands], rest.params)
    results = call.results(known, rest, computed)
    if reason is None:
      self.store(key, None, numbers, {}, results)
    return results

  def _run(self, plain, primitive, trace, args, avals, params):
    """Runs the rule of the transformation, one level deeper."""
    memo = self.memo
    before = memo.depth, memo.linearizing, memo.around
    try:
      memo.around = self.base, compat.transformations()
      memo.depth += 1
      memo.linearizing += self._linearizes
      out = plain(primitive, trace, args, avals, params)
    finally:
      memo.depth, memo.linearizing, memo.around = before
    if not self._drops_zeros:
      return out
    return ([self._without_zero(trace, x) for x in out]
            if primitive.multiple_results else self._without_zero(trace, out))

  def _enters(self, primitive, args, params) -> bool:
    """Whether the body of a call would know zeros beside other numbers in a
    tangent, which its own trace does not."""
    body = compat.body_of_plain_call(primitive, params)
    return body is not None and compat.benign(body.effects) and any(
        map(self._has_zeros_in_part, args))

  def _has_zeros_in_part(self, x) -> bool:
    x = x.tangent if type(x) is compat.JVPTracer else None
    while type(x) in (compat.JVPTracer, compat.BatchTracer):
      x = x.primal if type(x) is compat.JVPTracer else x.val
    return type(x) is compat.DynamicJaxprTracer and self.memo.table(
        x._trace).knows_part(x)

  def _without_zero(self, trace, x):
    """A result without its tangent where that is known to be zeros, as JAX
    has it where its own rules know."""
    return x.primal if type(x) is compat.JVPTracer and (
        x._trace is trace and self._is_zero(x.tangent)) else x

  def _is_zero(self, tangent) -> bool:
    tangent, _ = compat.unbatched(tangent)
    return type(tangent) is compat.DynamicJaxprTracer and self.memo.table(
        tangent._trace).is_zero(tangent)

  def _to_user(self, plan, out):
    own = self.memo.numbering.arrays.own_shared
    return own(out) if plan.multiple_results else own((out,))[0]

  # The questions of the gate.

  def numbers(self, trace, args) -> list[int | None]:
    known, number = self.values.by_id.get, self._numbering.number
    numbers = []
    for x in args:
      found = known(id(x))   # most operands are results of this trace
      numbers.append(found[1].number if found and found[0]() is x else
                     number(x))
    return numbers

  def look_up(self, plan, context, numbers, avals, params):
    if plan.commutes:
      keys.put_in_order(plan, numbers, avals, eager=not self.traced)
    return keys.find(self._entries.get, plan, context, numbers, params)

  def recall(self, entry, params):
    if not keys.agree(params, entry[0]):
      return None
    outs = [value.revive() for value in entry[1:]]
    if any(x is None for x in outs):
      return None
    if not self.traced:
      self.memo.shares_arrays = True
      outs = self.memo.numbering.arrays.own(outs)
    return outs

  def store(self, key, found, numbers, params, outs) -> None:
    if not self.traced and len(self._entries) >= _MAX_EAGER_ENTRIES:
      self._entries.clear()
      self.values.clear()
    values = [self._numbering.of(x) for x in outs]
    if not any(value is None for value in values):
      self._entries[key] = (params, *values)
