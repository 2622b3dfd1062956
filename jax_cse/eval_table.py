"""The table of eager evaluation: results are arrays, and arrays have owners.

An owner may donate or delete its array, or make another array of the same
buffer (`device_put`), and that must not touch what belongs to someone else:

- to the user a hit hands out a copy;
- inside a transformation arrays are shared; where one with two owners leaves
  the transformation, it leaves as a copy (`Memo.leaving`), and what donates or
  makes an alias there is given copies (`Numbering.own`).

A copy of a scalar takes 3 us where the cheapest eager operation takes 7.

Limits: the results of a `jit` that the user calls are not looked up: it runs
compiled, from the second call on without Python.
"""

from jax_cse import commutative
from jax_cse import compat
from jax_cse import keys
from jax_cse import reasons
from jax_cse.active import here
from jax_cse.eager_table import EagerTable
from jax_cse.value_numbering import HeldArray

class EvalTable:
  """Entries of the `EvalTrace`, on one thread."""

  traced = False
  order = 0
  __slots__ = ("memo", "against", "is_outermost", "results", "reference")

  def __init__(self, memo, max_bytes: int):
    self.memo = memo
    self.against: str | None = None
    self.is_outermost = True
    self.results = EagerTable(max_bytes, self._evicted)

  def bind(self, plain, primitive, trace, args, avals, params):
    # An eager operation takes 7 us in all, so what happens for each is written
    # out here: calls of small functions would take another one.
    memo = self.memo
    plan = keys.plans.get(primitive) or keys.plan_of(primitive)
    reason = plan.against_eager or self.against
    if reason is None and plan.carries_jaxprs:
      if plan.is_jit and memo.depth == 0:
        reason = reasons.COMPILED
      else:
        reason = reasons.against_call(plan, params)
    if reason is None and compat.checks_every_result():
      reason = reasons.CHECKED
    if reason is not None:
      if memo.depth and (reason is reasons.DONATES or plan.makes_aliases):
        args = memo.numbering.own(args)
      return memo.bypass(plain, reason, primitive, trace, args, avals, params)

    numbering = memo.numbering
    numbering.traced = False
    arrays = numbering.arrays
    numbers, known = [], plan.runs_directly
    for x in args:
      value = arrays.get(id(x))
      if value is None or not (type(value) is HeldArray or value() is x):
        value = numbering.of(x)
        if type(x) is not compat.ArrayImpl:
          known = known and not isinstance(x, compat.Tracer)
          if compat.guards_host_transfers():
            reason = reasons.GUARDED
        if value is None:
          reason = reasons.NO_NUMBER
        if reason is not None:
          return memo.bypass(plain, reason, primitive, trace, args, avals,
                             params)
      numbers.append(value.number)
    if (plan.commutes and numbers[0] > numbers[1]
        and commutative.may_swap(primitive, avals[0].dtype, eager=True)):
      numbers.reverse()
    key = keys.of(plan, memo.context(), numbers, params)
    try:
      entry = self.results.get(key)
    except TypeError:
      key = keys.of_fingerprint(plan, memo.context(), numbers, params)
      if key is None:
        return memo.bypass(plain, reasons.NO_KEY, primitive, trace, args, avals,
                           params)
      entry = self.results.get(key)
    if entry is not None:
      outs = self._recall(entry, params, args)
      if outs is not None:
        memo.stats.hits_of[plan.name] += 1
        return outs if plan.multiple_results else outs[0]
      self.results.discard(key)
    memo.stats.misses_of[plan.name] += 1
    # What `plain` would look at before it comes to `impl` is known by now;
    # without looking again an operation takes 1.3, not 1.45 times as long.
    out = (self._run(primitive.impl, args, params) if known else
           plain(primitive, trace, args, avals, params))
    self._store(key, plan, params, args, out)
    return out

  def _run(self, impl, args, params):
    """Runs one primitive, compiled as JAX compiles it without CSE.

    There is nothing in it to merge, so what was compiled outside serves inside.
    """
    cell, before = here.cell, compat.user_context.swap(None)
    cell.memo = None
    try:
      return impl(*args, **params)
    finally:
      cell.memo = self.memo
      compat.user_context.set(before)

  def _recall(self, entry, params, args):
    if not keys.agree(params, entry[2]) or any(
        type(x) is compat.ArrayImpl and x.is_deleted() for x in args):
      return None
    recall = self._share if self.memo.depth else self._copy
    outs = [recall(value) for value in entry[3:]]
    return None if None in outs else outs

  def _share(self, value):
    array = value.revive()
    if array is not None:
      value.shared = self.memo.shares_arrays = True
    return array

  def _copy(self, value):
    array = value.revive()
    if array is None:
      return None
    return self.memo.numbering.copy(array, value.number)

  def _store(self, key, plan, params, args, out) -> None:
    outs = out if plan.multiple_results else (out,)
    nbytes = 0
    for x in outs:
      if type(x) is not compat.ArrayImpl:
        return
      for a in args:
        if x is a:
          return  # forwarded, not computed
      nbytes += compat.nbytes(x)
    hold = self.memo.numbering.hold
    self.results.put(key, (nbytes, plan.name, params, *map(hold, outs)))

  def _evicted(self, entry, nbytes) -> None:
    self.memo.stats.evict(entry[1], nbytes)
    for value in entry[3:]:
      self.memo.numbering.release(value)
