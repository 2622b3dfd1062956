"""What equations do with arrays that are compressed along directions.

A rule takes a plan (see `sparse_directions`), an equation, and the layouts of
its operands; None stands for one that is not compressed. It gives a step; None
if the equation wants the zeros.
"""

from collections.abc import Callable
import math
from typing import Any

from jax import lax
import numpy as np

from jax_cse import compat
from jax_cse.directions import slot_products
from jax_cse.directions import slot_sums
from jax_cse.directions import slots
from jax_cse.directions.axes import Axis
from jax_cse.directions.slot_steps import Layouts, Step
from jax_cse.directions.slots import Layout
from jax_cse.primitives import linear
from jax_cse.primitives.linear import with_size


def rule(plan, eqn, layouts: Layouts) -> Step | None:
  """How an equation goes on without zeros."""
  if len(eqn.outvars) != 1 or not compat.benign(eqn.effects):
    return None
  return _RULES.get(eqn.primitive, _through)(plan, eqn, layouts)


def _only(layouts: Layouts) -> tuple[int, Layout] | None:
  """The operand that is compressed, if there is one."""
  found = [(i, x) for i, x in enumerate(layouts) if x is not None]
  return found[0] if len(found) == 1 else None


# Elementwise: zero where an operand is.

def _beside(plan, atom, layout: Layout):
  """What is wanted of an operand that is not compressed, to be combined with a
  compressed one; False if it has directions."""
  if not getattr(atom.aval, "shape", ()):
    return None
  if atom.aval.shape[layout.axis] == 1:
    return None
  axis = Axis(layout.axis, 1, layout.size, 1)
  return axis if plan.is_same(atom, axis) else False


def _elementwise(plan, eqn, layouts: Layouts, is_free=lambda i, atom: True
                 ) -> Step | None:
  target = slots.united([x for x in layouts if x is not None])
  if target is None:
    return None
  wants: list[Any] = []
  for i, (atom, layout) in enumerate(zip(eqn.invars, layouts)):
    want = target if layout is not None else (
        _beside(plan, atom, target) if is_free(i, atom) else False)
    if want is False:
      return None
    wants.append(want)
  return Step(wants, target, lambda xs: compat.bind_one(
      eqn, xs, eqn.params), target.slots)


def _of_terms(plan, eqn, layouts) -> Step | None:
  return _elementwise(plan, eqn, layouts, lambda i, x: plan.is_zero(x))


def _of_quotient(plan, eqn, layouts) -> Step | None:
  return None if layouts[1] is not None else _elementwise(plan, eqn, layouts)


def _of_power(plan, eqn, layouts) -> Step | None:
  return _elementwise(plan, eqn, layouts) if eqn.params["y"] > 0 else None


def _of_cases(plan, eqn, layouts) -> Step | None:
  if layouts[0] is not None:
    return None
  step = _elementwise(plan, eqn, layouts,
                      lambda i, x: i == 0 or plan.is_zero(x))
  return step and step._replace(emit=lambda xs: compat.bind_one(
      eqn, _one_shape(xs), eqn.params))


def _one_shape(xs):
  which, *cases = xs
  shape = np.broadcast_shapes(*(x.shape for x in xs))
  wide = lambda x: x if x.shape == shape else lax.broadcast_in_dim(
      x, shape, range(len(shape)) if x.ndim else ())
  return [wide(which) if which.ndim else which, *map(wide, cases)]


# Each slice along an axis alone.

def _through(plan, eqn, layouts: Layouts) -> Step | None:
  """An equation that does the same for each slice along all axes along which
  the table varies."""
  found = _only(layouts)
  rule = linear.THROUGH.get(eqn.primitive)
  if found is None or rule is None or _fills(eqn):
    return None
  i, layout = found
  avals = [x.aval for x in eqn.invars]
  places: dict[int, int] = {}
  params = None
  for k in range(len(eqn.outvars[0].aval.shape)):
    inside = rule(eqn.params, avals, k, layout.slots)
    own = None if inside is None else inside[1].get(i)
    if inside is None or own is None:
      continue
    places[own] = k
    if own == layout.axis:
      if any(x is not None for j, x in inside[1].items() if j != i):
        return None
      params = inside[0]
  if params is None or any(layout.varies(k) and k not in places
                           for k in range(layout.table.ndim)):
    return None
  return _moved(eqn, layouts, layout, places, params)


def _fills(eqn) -> bool:
  return "FILL" in str(eqn.params.get("mode"))


def _moved(eqn, layouts, layout, places: dict[int, int], params) -> Step:
  """A step whose result has axes of an operand at other places."""
  shape = [1] * len(eqn.outvars[0].aval.shape)
  order = sorted((k for k in places), key=places.__getitem__)
  for k in order:
    shape[places[k]] = layout.table.shape[k]
  rest = [k for k in range(layout.table.ndim) if k not in places]
  table = layout.table.transpose(*order, *rest).reshape(shape)
  return Step(list(layouts), layout.relaid(table, places[layout.axis]),
              lambda xs: compat.bind_one(eqn, xs, params), layout.slots)


def _of_broadcast(plan, eqn, layouts) -> Step | None:
  layout, params = layouts[0], eqn.params
  dims = list(map(int, params["broadcast_dimensions"]))
  if params["sharding"] is not None:
    return None
  k = dims[layout.axis]
  return _moved(eqn, layouts, layout, dict(enumerate(dims)), params | {
      "shape": with_size(params["shape"], k, layout.slots)})


def _of_slice(plan, eqn, layouts) -> Step | None:
  layout, params = layouts[0], eqn.params
  starts, limits = params["start_indices"], params["limit_indices"]
  strides = params["strides"] or (1,) * len(starts)
  k = layout.axis
  if (starts[k], limits[k], strides[k]) != (0, layout.size, 1):
    return None
  table = layout.table[tuple(
      slice(a, b, c) if layout.varies(i) else slice(None)
      for i, (a, b, c) in enumerate(zip(starts, limits, strides)))]
  params = params | {"limit_indices": with_size(limits, k, layout.slots)}
  return Step(list(layouts), layout.relaid(table, k),
              lambda xs: compat.bind_one(eqn, xs, params), layout.slots)


def _of_rev(plan, eqn, layouts) -> Step | None:
  layout, dims = layouts[0], eqn.params["dimensions"]
  if layout.axis in dims:
    return None
  return Step(list(layouts), layout._replace(table=np.flip(
      layout.table, tuple(dims))), lambda xs: compat.bind_one(
          eqn, xs, eqn.params), layout.slots)


def _of_pad(plan, eqn, layouts) -> Step | None:
  layout, config = layouts[0], eqn.params["padding_config"]
  if (layout is None or not plan.is_zero(eqn.invars[1])
      or any(config[layout.axis]) or min(map(min, config)) < 0):
    return None
  table = layout.table
  for k, (low, high, inner) in enumerate(config):
    if layout.varies(k):
      length = table.shape[k]
      new = np.full(with_size(
          table.shape, k, low + high + length + (length - 1) * inner), -1)
      place = [slice(None)] * table.ndim
      place[k] = slice(low, new.shape[k] - high, inner + 1)
      new[tuple(place)] = table
      table = new
  return Step(list(layouts), layout.relaid(table, layout.axis),
              lambda xs: compat.bind_one(eqn, xs, eqn.params), layout.slots)


def _of_reshape(plan, eqn, layouts) -> Step | None:
  layout, params = layouts[0], eqn.params
  shape, sizes = eqn.invars[0].aval.shape, params["new_sizes"]
  if (params["dimensions"] is not None or params["sharding"] is not None
      or 0 in shape):
    return None
  before = math.prod(shape[:layout.axis])
  axis = next((k for k, n in enumerate(sizes) if n == layout.size
               and math.prod(sizes[:k]) == before), None)
  if axis is None:
    return None
  left = _reshaped(layout.first, shape[:layout.axis], sizes[:axis], 1)
  table = None if left is None else _reshaped(
      left, shape[layout.axis + 1:], sizes[axis + 1:], axis + 1)
  if table is None:
    return None
  params = params | {"new_sizes": with_size(sizes, axis, layout.slots)}
  return Step(list(layouts), layout.relaid(np.moveaxis(table, 0, axis), axis),
              lambda xs: compat.bind_one(eqn, xs, params), layout.slots)


def _reshaped(table, shape, sizes, start: int):
  """A table with some axes, from `start` on, of which the array has this shape,
  reshaped; None if it is too large."""
  head, inner = table.shape[:start], table.shape[start:start + len(shape)]
  tail = table.shape[start + len(shape):]
  same = 0   # leading axes that stay
  while same < min(len(shape), len(sizes)) and shape[same] == sizes[same]:
    same += 1
  if all(n == 1 for n in inner[same:]):
    return table.reshape(*head, *inner[:same], *(1,) * (len(sizes) - same),
                         *tail)
  whole = (*head, *inner[:same], *shape[same:], *tail)
  if math.prod(whole) > slots.MAX_TABLE:
    return None
  return np.broadcast_to(table, whole).reshape(
      *head, *inner[:same], *sizes[same:], *tail)


def _of_gather(plan, eqn, layouts) -> Step | None:
  """Elements at known places."""
  layout, numbers = layouts[0], eqn.params["dimension_numbers"]
  along = tuple(map(int, numbers.start_index_map))
  sizes = eqn.params["slice_sizes"]
  shape = eqn.invars[0].aval.shape
  if layout is None or layout.axis in along or (
      set(along) != {*numbers.collapsed_slice_dims}) or any(
          sizes[k] != n for k, n in enumerate(shape) if k not in along):
    return None
  places = plan.numbers(eqn.invars[1])
  if places is None or (places < 0).any() or (
      places >= [shape[k] for k in along]).any():
    return None
  table = layout.table
  for k in along:
    if layout.varies(k):
      continue
    table = np.repeat(table, shape[k], k)
  found = np.moveaxis(table, along, range(len(along)))[
      tuple(np.moveaxis(places, -1, 0))]
  rank = len(eqn.outvars[0].aval.shape)
  offset = list(map(int, numbers.offset_dims))
  batch = [k for k in range(rank) if k not in offset]
  kept = [k for k in range(len(shape)) if k not in along]
  params = eqn.params | {"slice_sizes": with_size(
      sizes, layout.axis, layout.slots)}
  return Step(list(layouts), layout.relaid(
      np.moveaxis(found, range(len(batch)), batch),
      offset[kept.index(layout.axis)]),
              lambda xs: compat.bind_one(eqn, xs, params), layout.slots)


def _of_joined(plan, eqn, layouts) -> Step | None:
  axis = eqn.params["dimension"]
  found = [x for x in layouts if x is not None]
  if found[0].axis == axis or len({x[:3] for x in found}) > 1 or not all(
      x is not None or plan.is_zero(atom)
      for atom, x in zip(eqn.invars, layouts)):
    return None
  same = [slots.spread(x, (axis,)) for x in found]
  target = None if None in same else slots.united([x for x in same if x])
  most = max(x.slots for x in found)
  if target is None or target.slots > most:
    return _joined_tables(eqn, layouts, found[0], axis, most)
  return _joining(eqn, layouts, [target] * len(layouts), target)


def _joining(eqn, layouts, wants, target):
  """Zeros get as many slots as the others."""
  def emit(xs):
    return compat.bind_one(eqn, [
        x if layout is not None else lax.full(
            with_size(x.shape, target.axis, target.slots), 0, x.dtype)
        for x, layout in zip(xs, layouts)], eqn.params)
  return Step([want if layout is not None else None
               for want, layout in zip(wants, layouts)], target, emit,
              target.slots)


def _joined_tables(eqn, layouts, some, axis, most) -> Step | None:
  """Each has slots of its own."""
  tables = []
  for atom, x in zip(eqn.invars, layouts):
    table = (some.table.take([], some.axis).take([0], axis) if x is None
             else x.table)
    lack = list(table.shape)
    lack[some.axis] = most - table.shape[some.axis]
    table = np.concatenate([table, np.full(lack, -1)], some.axis)
    tables.append(np.broadcast_to(table, with_size(
        table.shape, axis, atom.aval.shape[axis])))
  shape = np.broadcast_shapes(*(with_size(t.shape, axis, 1) for t in tables))
  wide = [np.broadcast_to(t, with_size(shape, axis, t.shape[axis]))
          for t in tables]
  joined = np.concatenate(wide, axis)
  if joined.size > slots.MAX_TABLE:
    return None
  target = some._replace(table=joined)
  return _joining(eqn, layouts, [some._replace(table=t) for t in wide], target)


def _or_through(own):
  return lambda plan, eqn, layouts: own(plan, eqn, layouts) or _through(
      plan, eqn, layouts)


_RULES: dict[Any, Callable[..., Step | None]] = {
    **dict.fromkeys((
        compat.mul_p, compat.neg_p, compat.copy_p, compat.square_p,
        compat.convert_element_type_p, compat.real_p, compat.imag_p,
        compat.conj_p), _elementwise),
    **dict.fromkeys((compat.add_p, compat.add_any_p, compat.sub_p), _of_terms),
    compat.broadcast_in_dim_p: _of_broadcast,
    compat.concatenate_p: _of_joined,
    compat.div_p: _of_quotient,
    compat.dot_general_p: slot_products.of_dot,
    compat.gather_p: _or_through(_of_gather),
    compat.integer_pow_p: _of_power,
    compat.pad_p: _of_pad,
    compat.reduce_sum_p: _or_through(slot_sums.of_sum),
    compat.reshape_p: _of_reshape,
    compat.rev_p: _of_rev,
    compat.select_n_p: _of_cases,
    compat.slice_p: _of_slice,
}
