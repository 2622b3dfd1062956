"""Products of matrices of which one or both are compressed along directions."""

from typing import Any

from jax_cse import compat
from jax_cse.directions import slots
from jax_cse.directions.slot_steps import Layouts, Step
from jax_cse.directions.slots import Layout


def of_dot(plan, eqn, layouts: Layouts) -> Step | None:
  """See `slot_rules`. The directions of both operands are contracted or go side
  by side, or those of one are free."""
  contracted, batch = eqn.params["dimension_numbers"]
  if eqn.params["out_sharding"] is not None:
    return None
  if None not in layouts:
    return _of_two(eqn, layouts, contracted, batch)
  i = 0 if layouts[0] is not None else 1
  layout: Any = layouts[i]
  if layout.axis in contracted[i] or layout.axis in batch[i]:
    return None
  layout = slots.spread(layout, tuple(contracted[i]))
  if layout is None:
    return None
  wants: list[Any] = [None, None]
  wants[i] = layout
  return Step(wants, _of_result(eqn, i, layout), lambda xs: compat.bind_one(
      eqn, xs, eqn.params), layout.slots)


def _of_result(eqn, i: int, layout: Layout) -> Layout:
  """The layout of a product, of one of its operands."""
  contracted, batch = eqn.params["dimension_numbers"]
  ndims = [len(x.aval.shape) for x in eqn.invars]
  free = [[k for k in range(n) if k not in c and k not in b]
          for n, c, b in zip(ndims, contracted, batch)]
  places = {k: place for place, k in enumerate(batch[i])}
  start = len(batch[i]) + (len(free[0]) if i else 0)
  places |= {k: start + place for place, k in enumerate(free[i])}
  order = sorted(places, key=places.__getitem__)
  shape = [1] * len(eqn.outvars[0].aval.shape)
  for k in order:
    shape[places[k]] = layout.table.shape[k]
  table = layout.table.transpose(*order, *contracted[i]).reshape(shape)
  return layout.relaid(table, places[layout.axis])


def _of_two(eqn, layouts, contracted, batch) -> Step | None:
  """Both have the same slots, all along the axes that they do not share, and
  unless all slots are summed, along those that are contracted."""
  a, b = layouts
  pairs = list(zip(*batch))
  is_sum = (a.axis, b.axis) in zip(*contracted)
  if is_sum:
    pairs += zip(*contracted)
  if a.group != b.group or (a.axis, b.axis) not in pairs:
    return None
  own = []
  for layout, shared in zip(layouts, zip(*pairs)):
    same = slots.spread(layout, tuple(
        k for k in range(layout.table.ndim) if k not in shared))
    if same is None:
      return None
    own.append(same)
  firsts = [x.table.transpose(
      *shared, *(k for k in range(x.table.ndim) if k not in shared)).reshape(
          [x.table.shape[k] for k in shared])
            for x, shared in zip(own, zip(*pairs))]
  place = [k for k, _ in pairs].index(a.axis)
  joint = slots.united([a._replace(axis=place, table=t) for t in firsts])
  if joint is None:
    return None
  wants: list[Any] = [_laid(x, shared, joint.table)
                      for x, shared in zip(own, zip(*pairs))]
  layout = None if is_sum else _of_result(eqn, 0, wants[0])
  return Step(wants, layout, lambda xs: compat.bind_one(eqn, xs, eqn.params),
              joint.slots)


def _laid(layout, shared, table) -> Layout:
  """A layout from a table that has the shared axes alone."""
  order = sorted(range(len(shared)), key=shared.__getitem__)
  shape = [1] * layout.table.ndim
  for k in order:
    shape[shared[k]] = table.shape[k]
  return layout._replace(table=table.transpose(order).reshape(shape))
