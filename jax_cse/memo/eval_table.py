"""The table of eager evaluation: results are arrays, and arrays have owners.

An owner may donate or delete its array, or make another array of the same
buffer (`device_put`). That must not touch arrays of other owners, so a hit
hands out a copy: a fifth of the time of a product of 512 x 512 matrices. Where
operands and results are small the operation is done again instead, which gives
the same bits; the copy of a scalar can take five times as long.

Copies would be too dear where forward mode nests: the rule of the outer `jvp`
asks for the same results over and over, and only other rules see them. There
arrays are shared. A shared array leaves its transformation as a copy
(`Memo.leaving`), and primitives that donate or make an alias are given copies.

Limits: the results of a `jit` that the user calls are not looked up: it runs
compiled, from the second call on without Python.
"""

from collections.abc import Callable
import weakref

import numpy as np

from jax_cse import compat
from jax_cse.memo.eager_table import EagerTable
from jax_cse.numbering import keys
from jax_cse.primitives import exclusions

_MAX_COMPILED = 4096

# Operands and results up to this are computed again rather than copied. The
# runtime's copy takes 3 us, or 30 on a busy machine, since it runs on another
# thread; an operation on this much takes 4 to 17. A copy that is compiled takes
# 4 us too, but 10 ms the first time for each shape.
_SMALL_BYTES = 4096


class EvalTable:
  """Entries of the `EvalTrace`, on one thread."""

  traced = False
  root = None
  order = base = 0
  __slots__ = ("memo", "against", "results", "_compiled", "reference")

  def __init__(self, memo, max_bytes: int):
    self.memo = memo
    self.against: str | None = None
    self.results = EagerTable(max_bytes, self._evicted)
    # Primitive, context and params to JAX's compiled program for them, which
    # its own cache holds and `jax.clear_caches` drops.
    self._compiled: dict[tuple, weakref.ref[Callable]] = {}

  def bind(self, plain, primitive, trace, args, avals, params):
    # Calls of small functions would take a tenth of the time of an operation,
    # so the steps of each are written out here.
    memo = self.memo
    plan = keys.plans.get(id(primitive))
    if plan is None or plan.impl is not primitive.__dict__.get("impl"):
      plan = keys.plan_of(primitive)
    reason = plan.against_eager or self.against
    if plan.carries_jaxprs or compat.checks_every_result():
      reason = reason or self._reason_against(plan, params)
    numbers: list[int] = []
    known = plan.is_compiled
    if reason is None:
      entry_of = memo.numbering.arrays.known.get
      for x in args:
        entry = entry_of(id(x))
        if type(entry) is tuple:
          numbers.append(entry[0])
        elif entry is not None and entry() is x:
          numbers.append(entry.number)
        else:
          args, reason = self._number_other(x, args, numbers)
          if reason is not None:
            break
          known = known and not isinstance(x, compat.Tracer)
    if reason is None:
      if plan.commutes:
        keys.put_in_order(plan, numbers, avals, eager=True)
      context = memo.context()
      key, entry = keys.find(self.results.get, plan, context, numbers, params)
      if key is None:
        reason = exclusions.NO_KEY
    if reason is not None:
      return self._bypass(plain, plan, reason, primitive, trace, args, avals,
                          params)
    run = None
    if known:
      # `plain` would look all of that up again: not doing so took a miss from
      # 1.43 to 1.31 times plain (`sin`, scalar).
      which, found = keys.find(self._compiled.get, plan, context, (), params)
      run = (found and found()) or self._compile(which, primitive, params)
    return self._answer(key, entry, plan, run, plain, primitive, trace, args,
                        avals, params)

  def _answer(self, key, entry, plan, run, plain, primitive, trace, args, avals,
              params):
    """The held results, if their arrays are there, or computed ones; `run`, if
    it is not None, computes them without a look-up."""
    stats = self.memo.stats
    if entry is not None:
      outs = self._recall(entry, params, args, run)
      if outs is not None:
        stats.hits_of[plan.name] += 1
        return outs if plan.multiple_results else outs[0]
      self.results.discard(key)
      self._release(entry)
    stats.misses_of[plan.name] += 1
    out = (plain(primitive, trace, args, avals, params) if run is None else
           compat.plainly(run, args))
    self._store(key, plan, params, args, out)
    return out

  def _reason_against(self, plan, params) -> str | None:
    if plan.is_jit and self.memo.depth == 0:
      return exclusions.COMPILED
    return (plan.reason_against(params) or
            (exclusions.CHECKED if compat.checks_every_result() else None))

  def _bypass(self, plain, plan, reason, primitive, trace, args, avals, params):
    memo = self.memo
    if memo.depth and memo.shares_arrays and (
        reason is exclusions.DONATES or plan.makes_aliases):
      args = memo.numbering.arrays.own(args)
    return memo.bypass(plain, reason, primitive, trace, args, avals, params)

  def _number_other(self, x, args, numbers):
    """Numbers an operand that was not seen before, or is no array. Returns the
    operands to compute with, and why it has no number or None."""
    numbering = self.memo.eager_numbering
    if type(x) is compat.ArrayImpl:
      numbers.append(numbering.arrays.see(x, numbering.fresh()))
      return args, None
    value = numbering.of(x)
    if value is None:
      return args, exclusions.NO_NUMBER
    if compat.guards_host_transfers():
      return args, exclusions.GUARDED
    if isinstance(x, np.ndarray):
      # The runtime may read it after this returns, and after it was changed.
      # A held result must belong to the bits in the key.
      args = list(args)
      args[len(numbers)] = value.revive()
    numbers.append(value.number)
    return args, None

  def _compile(self, key, primitive, params):
    if len(self._compiled) >= _MAX_COMPILED:
      self._compiled.clear()
    run = compat.compiled(primitive, params)
    self._compiled[key] = weakref.ref(run)
    return run

  def _recall(self, entry, params, args, run):
    """The results of an entry for this caller, or None if they are gone."""
    nbytes, held = entry[0], entry[3:]
    if not keys.agree(params, entry[2]) or any(x.is_deleted() for x in held):
      return None
    for x in args:
      if type(x) is compat.ArrayImpl:
        if x.is_deleted():
          return None
        nbytes += compat.nbytes(x)
    memo, arrays = self.memo, self.memo.numbering.arrays
    # One rule deep the user is near; residuals of `linearize` are the user's.
    if memo.depth >= 2 and not memo.linearizing and memo.sees_exits:
      memo.shares_arrays = True
      arrays.shared.update(map(id, held))
      return list(held)
    if run is None or nbytes > _SMALL_BYTES:
      return [arrays.copy(x) for x in held]
    out = compat.plainly(run, args)
    again = out if isinstance(out, (list, tuple)) else (out,)
    for x, y in zip(again, held):
      arrays.see(x, arrays.number(y))
    return list(again)

  def _store(self, key, plan, params, args, out) -> None:
    outs = out if plan.multiple_results else (out,)
    arrays = self.memo.numbering.arrays
    nbytes = 0
    for x in outs:
      if type(x) is not compat.ArrayImpl:
        return
      for a in args:
        if x is a:
          return  # forwarded, not computed
      nbytes += compat.nbytes(x)
    for x in outs:
      arrays.hold(x)
    entry = (nbytes, plan.name, params, *outs)
    if not self.results.put(key, entry):
      self._release(entry)

  def _evicted(self, entry, nbytes) -> None:
    self.memo.stats.evict(entry[1], nbytes)
    self._release(entry)

  def _release(self, entry) -> None:
    for x in entry[3:]:
      self.memo.numbering.arrays.release(x)

  def clear(self) -> None:
    self.results.clear()
    self._compiled.clear()
