"""Sums over axes of arrays that are compressed along directions.

The sum over the directions is that over the slots, whatever they stand for.
Over another axis, slots that stand for the same direction all along are summed.
The others become slots of the sum, one after the other: nothing is added.

    sum of e[i, j] over j      i: a sum      j: a transposition
"""

import math
from typing import Any

from jax import lax
import numpy as np

from jax_cse import compat
from jax_cse.directions import reslotting
from jax_cse.directions import slots
from jax_cse.directions.slot_steps import Step
from jax_cse.directions.slots import Layout


def of_sum(plan, eqn, layouts) -> Step | None:
  layout, params = layouts[0], eqn.params
  over = tuple(map(int, params["axes"]))
  if params["out_sharding"] is not None:
    return None
  if layout.axis in over:
    return Step(list(layouts), None, lambda xs: compat.bind_one(
        eqn, xs, params), layout.slots)
  vary = tuple(k for k in over if layout.varies(k))
  if not vary:
    return None
  parts = slots.merged(layout, vary)
  if not all(reslotting.is_cheap(x.layout, layout.dense) for x in parts):
    return None
  whole = slots.joint(parts)
  result = layout._replace(table=np.moveaxis(whole, 0, layout.axis))
  emit = lambda xs: _parts(xs[0], parts, layout, over)
  if not result.pays or not slots.is_distinct(whole):
    return Step(list(layouts), None, lambda xs: lax.squeeze(
        reslotting.laid_out(emit(xs), layout.dense), over), layout.slots)
  return Step(list(layouts), result.relaid(
      np.squeeze(result.table, over), layout.axis - sum(
          k < layout.axis for k in over)),
              lambda xs: lax.squeeze(_joined(emit(xs), layout.axis), over),
              layout.slots)


def _parts(x, parts: list[slots.Merged], layout: Layout, over
           ) -> list[tuple[Any, Layout]]:
  """The sum of each part, with axes of length 1."""
  always = tuple(k for k in over if not layout.varies(k))
  results = []
  for part in parts:
    y = _taken(x, part.numbers, layout.axis)
    summed = sorted((*always, *part.over))
    if summed:
      y = lax.expand_dims(lax.reduce_sum(y, summed), summed)
    results.append((_merged(y, layout.axis, part.others), part.layout))
  return results


def _joined(parts, axis: int):
  arrays = [y for y, _ in parts]
  return arrays[0] if len(arrays) == 1 else lax.concatenate(arrays, axis)


def _taken(x, numbers: list[int], axis: int):
  if len(numbers) == x.shape[axis]:
    return x
  steps = np.diff(numbers)
  if len(set(steps)) == 1:   # a slot of each coordinate
    return lax.slice_in_dim(x, numbers[0], numbers[-1] + 1, int(steps[0]), axis)
  # XLA compiles what an operand is made of once for each part.
  runs = np.split(numbers, np.flatnonzero(steps > 1) + 1)
  parts = [lax.slice_in_dim(x, int(r[0]), int(r[-1]) + 1, axis=axis)
           for r in runs]
  return parts[0] if len(parts) == 1 else lax.concatenate(parts, axis)


def _merged(x, axis: int, vary: tuple[int, ...]):
  """Elements along axes as slots."""
  if not vary:
    return x
  order = [k for k in range(x.ndim) if k not in vary]
  place = order.index(axis)
  moved = lax.transpose(x, (*order[:place], *vary, *order[place:]))
  shape = [1 if k in vary else n for k, n in enumerate(x.shape)]
  shape[axis] = x.shape[axis] * math.prod(x.shape[k] for k in vary)
  return lax.reshape(moved, shape)
