"""The gate: the steps of every bind that is looked up.

    a reason against it        if there is one, plain JAX and no more
    numbers of the operands    or a reason
    a key                      or a reason
    an entry under the key     a hit, if its results can be had again
    plain JAX                  a miss, whose results are entered

A table decides the form of its results and how long they are held:

    numbers(trace, args)         None for an operand without one
    look_up(plan, context, numbers, avals, params)   the key, and its entry
    recall(found, params)        results, or None if one is gone
    store(key, found, numbers, params, results)

Eager evaluation has a gate of its own (`eval_table`): an operation takes 7 us
there in all, and calls of these functions would take a tenth more.
"""

from jax_cse.primitives import exclusions


def answer(table, plan, reason, plain, primitive, trace, args, avals, params):
  """The results of `plain` on the arguments after it, or those of an equal
  bind before. `reason`: one against looking it up, if any."""
  key = found = None
  if reason is None:
    numbers = table.numbers(trace, args)
    if None in numbers:
      reason = exclusions.NO_NUMBER
    else:
      key, found = table.look_up(plan, table.memo.context(), numbers, avals,
                                 params)
      if key is None:
        reason = exclusions.NO_KEY
  memo = table.memo
  if reason is not None:
    return memo.bypass(plain, reason, primitive, trace, args, avals, params)
  if found is not None and (outs := table.recall(found, params)) is not None:
    memo.stats.hits_of[plan.name] += 1
    return outs if plan.multiple_results else outs[0]
  memo.stats.misses_of[plan.name] += 1
  out = plain(primitive, trace, args, avals, params)
  table.store(key, found, numbers, params,
              out if plan.multiple_results else (out,))
  return out
