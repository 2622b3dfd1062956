"""Primitives with several results, each of them a part of the operand.

    split(x)        slices of x
    unstack(x)      slices of length 1, without that axis

`parts(number, params, aval)` has, for each result, the primitives and params
that give it one after the other. `number` is that of the primitive's plan.
"""

from collections.abc import Sequence
from typing import Any

from jax_cse import compat
from jax_cse.numbering import keys
from jax_cse.primitives import index_maps

Steps = list[tuple[Any, dict[str, Any]]]


def numbers(algebra, plan: keys.Plan, context, operands: Sequence[int], avals,
            params) -> tuple[int, ...] | None:
  """The numbers of the results by an algebra of linear maps, None for any other
  primitive."""
  if algebra.maps is None or plan.number not in (_SPLIT, _UNSTACK):
    return None
  outs = []
  for steps in parts(plan.number, params, avals[0]) or ():
    n, aval = operands[0], avals[0]
    for primitive, inner in steps:
      found = algebra.number(keys.plan_of(primitive), context, [n], [aval],
                             inner)
      if found is None:
        return None
      n, aval = found
    outs.append(n)
  return tuple(outs)


def parts(number: int, params, aval) -> list[Steps] | None:
  """None for any other primitive."""
  axis = params.get("axis")
  if number == _SPLIT:
    sizes = list(map(int, params["sizes"]))
    return [[_slice(aval, axis, sum(sizes[:i]), size)]
            for i, size in enumerate(sizes)]
  if number == _UNSTACK:
    return [[_slice(aval, axis, i, 1),
             (compat.squeeze_p, {"dimensions": (axis,)})]
            for i in range(aval.shape[axis])]
  return None


def _slice(aval, axis, start, size):
  first, last = [0] * len(aval.shape), list(aval.shape)
  first[axis], last[axis] = start, start + size
  return compat.slice_p, index_maps.params_of_slice(first, last)


_SPLIT, _UNSTACK = (keys.plan_of(p).number
                    for p in (compat.split_p, compat.unstack_p))
