"""Sums over axes of arrays that are compressed along directions.

The sum over the directions is that over the slots, whatever they stand for. Over
another axis, slots that stand for the same direction all along are summed. The
others become slots of the sum, one after the other: nothing is added.

    sum of e[i, j] over j      i: a sum      j: a transposition
"""

import math

from jax import lax
import numpy as np

from jax_cse.rebuild import slots
from jax_cse.rebuild import sum_rules
from jax_cse.rebuild.reslotting import reslotted
from jax_cse.rebuild.slot_steps import Layouts, Step
from jax_cse.rebuild.slots import Layout


def of_sum(plan, eqn, layouts) -> Step | None:
  layout, params = layouts[0], eqn.params
  over = tuple(map(int, params["axes"]))
  if params["out_sharding"] is not None:
    return None
  if layout.axis in over:
    return Step(list(layouts), None, lambda xs: sum_rules.bind(
        eqn, xs, params), layout.slots)
  vary = tuple(k for k in over if layout.varies(k))
  if not vary:
    return None
  merging = slots.merging(layout, vary)
  parts = [x for x in merging.layouts if x is not None]
  shape = np.broadcast_shapes(*(x.first.shape[1:] for x in parts))
  whole = np.concatenate([np.broadcast_to(x.first, (x.slots, *shape))
                          for x in parts])
  joint = layout._replace(table=np.moveaxis(whole, 0, layout.axis))
  # The slots of one place each must be of different directions.
  if not all(slots.is_distinct(x.first) for x in parts):
    return None
  dropped = lambda x: x.relaid(np.squeeze(x.table, over), layout.axis - sum(
      k < layout.axis for k in over))
  stays = joint.pays and slots.is_distinct(whole)
  emit = lambda xs: _summed(xs[0], merging, layout.axis, over, vary,
                            None if stays else layout.dense)
  return Step(list(layouts), dropped(joint) if stays else None, emit,
              layout.slots)


def _summed(x, merging, axis, over, vary, dense: Layout | None):
  """The kept slots summed, the merged ones one after the other; if so wanted
  laid out to all directions."""
  others = tuple(k for k in over if k not in vary)
  results = []
  for numbers, layout, is_kept in zip(
      (merging.kept, merging.merged), merging.layouts, (True, False)):
    if layout is None:
      continue
    y = _taken(x, numbers, axis)
    y = lax.reduce_sum(y, over if is_kept else others)
    y = lax.expand_dims(y, over if is_kept else others)
    if not is_kept:
      y = _merged(y, axis, vary)
    results.append(y if dense is None else reslotted(y, layout, dense))
  if dense is None:
    total = (results[0] if len(results) == 1 else
             lax.concatenate(results, axis))
  else:
    total = results[0] if len(results) == 1 else results[0] + results[1]
  return lax.squeeze(total, over)


def _taken(x, numbers: list[int], axis: int):
  if len(numbers) == x.shape[axis]:
    return x
  runs = np.split(numbers, np.flatnonzero(np.diff(numbers) > 1) + 1)
  parts = [lax.slice_in_dim(x, int(r[0]), int(r[-1]) + 1, axis=axis)
           for r in runs]
  return parts[0] if len(parts) == 1 else lax.concatenate(parts, axis)


def _merged(x, axis: int, vary: tuple[int, ...]):
  """Elements along axes as slots."""
  order = [k for k in range(x.ndim) if k not in vary]
  place = order.index(axis)
  moved = lax.transpose(x, (*order[:place], *vary, *order[place:]))
  shape = [1 if k in vary else n for k, n in enumerate(x.shape)]
  shape[axis] = x.shape[axis] * math.prod(x.shape[k] for k in vary)
  return lax.reshape(moved, shape)
