"""The linear primitives: their linear operands, and sums that go through them.

`GROUPS` has a line for each. The operands of one group are those that it is
linear in together, the others being fixed: a `pad` in the array and the padding
value, a `dot_general` in either operand but not in both. An operand in no group
is fixed: indices, a predicate, the matrix of a solver.

`THROUGH` has a rule for each that a sum over an axis goes into. For an axis of
the result the rule gives the params and the axes of the operands with which the
same primitive gives the sum, that axis having length 1, or another if the sum
is over a part of it; None if there are none.
"""

from collections.abc import Callable, Sequence
import math
from typing import Any

from jax_cse import compat

Groups = tuple[tuple[int, ...], ...]
Inside = tuple[dict[str, Any], dict[int, int | None]]


def _first(avals, params):
  return ((0,),)


def _second(avals, params):
  return ((1,),)


def _each_of_two(avals, params):
  return ((0,), (1,))


def _both(avals, params):
  return ((0, 1),)


def _all(avals, params):
  return (tuple(range(len(avals))),)


def _cases(avals, params):
  return (tuple(range(1, len(avals))),)


def _gather(avals, params):
  """Unless it fills in a number out of bounds, other than 0 and NaN: sums of
  these are the same again."""
  fill = params["fill_value"]
  if fill is None and "FILL" in str(params["mode"]):
    fill = 0 if compat.is_inexact(avals[0].dtype) else 1
  return None if fill and fill == fill else ((0,),)


def _operand_and_updates(avals, params):
  return ((0, 2),)


def _unless_repeated(avals, params):
  """Which of two updates of one element remains is not said."""
  return ((0, 2),) if params["unique_indices"] else None


def _right_hand_sides(avals, params):
  return (tuple(range(sum(params["const_lengths"]), len(avals))),)


GROUPS: dict[Any, Callable[[Sequence[Any], dict[str, Any]], Groups | None]] = {
    compat.broadcast_in_dim_p: _first,
    compat.concatenate_p: _all,
    compat.complex_p: _both,
    compat.conj_p: _first,
    compat.conv_general_dilated_p: _each_of_two,
    compat.convert_element_type_p: _first,
    compat.copy_p: _first,
    compat.cumsum_p: _first,
    compat.dot_general_p: _each_of_two,
    compat.dynamic_slice_p: _first,
    compat.dynamic_update_slice_p: _both,
    compat.fft_p: _first,
    compat.gather_p: _gather,
    compat.imag_p: _first,
    compat.linear_solve_p: _right_hand_sides,
    compat.pad_p: _both,
    compat.real_p: _first,
    compat.reduce_sum_p: _first,
    compat.reduce_window_sum_p: _first,
    compat.reshape_p: _first,
    compat.rev_p: _first,
    compat.scatter_add_p: _operand_and_updates,
    compat.scatter_p: _unless_repeated,
    compat.select_n_p: _cases,
    compat.slice_p: _first,
    compat.squeeze_p: _first,
    compat.stack_p: _all,
    compat.tile_p: _first,
    compat.transpose_p: _first,
    compat.triangular_solve_p: _second,
}

# The result has elements of the operand, in other places.
INDEX_MAPS = frozenset({
    compat.broadcast_in_dim_p, compat.copy_p, compat.dynamic_slice_p,
    compat.reshape_p, compat.rev_p, compat.slice_p, compat.squeeze_p,
    compat.tile_p, compat.transpose_p})

# The result is the operands one after the other; the param that tells the axis.
JOINS = {compat.concatenate_p: "dimension", compat.stack_p: "axis"}


# Rules of THROUGH: they take the params, the types of the operands, an axis of
# the result and the length that is left of it.

def _same_axis(params, avals, axis, length) -> Inside:
  return params, {0: axis}


def _through_dot(params, avals, axis, length):
  contracted, batch = params["dimension_numbers"]
  if params["out_sharding"] is not None or axis < len(batch[0]):
    return None
  axis -= len(batch[0])
  for i, aval in enumerate(avals):
    free = [k for k in range(len(aval.shape))
            if k not in contracted[i] and k not in batch[i]]
    if axis < len(free):
      return params, {i: free[axis]}
    axis -= len(free)
  return None


def _through_conv(params, avals, axis, length):
  numbers = params["dimension_numbers"]
  if axis == numbers.out_spec[0] and params["batch_group_count"] == 1:
    return params, {0: numbers.lhs_spec[0]}
  if axis == numbers.out_spec[1] and params["feature_group_count"] == 1 == (
      params["batch_group_count"]):
    return params, {1: numbers.rhs_spec[0]}
  return None


def _through_broadcast(params, avals, axis, length):
  dimensions = list(params["broadcast_dimensions"])
  if axis not in dimensions or params["sharding"] is not None:
    return None
  k = dimensions.index(axis)
  if avals[0].shape[k] != params["shape"][axis]:
    return None
  return params | {"shape": with_size(params["shape"], axis, length)}, {0: k}


def _through_reshape(params, avals, axis, length):
  sizes, shape = params["new_sizes"], avals[0].shape
  if params["dimensions"] is not None or params["sharding"] is not None:
    return None
  before = math.prod(sizes[:axis])
  for k, n in enumerate(shape):
    if n == sizes[axis] and math.prod(shape[:k]) == before:
      return params | {"new_sizes": with_size(sizes, axis, length)}, {0: k}
  return None


def _through_transpose(params, avals, axis, length):
  return params, {0: params["permutation"][axis]}


def _through_squeeze(params, avals, axis, length):
  return params, {0: _kept(avals[0], params["dimensions"])[axis]}


def _through_sum(params, avals, axis, length):
  if params["out_sharding"] is not None:
    return None
  return params, {0: _kept(avals[0], params["axes"])[axis]}


def _through_slice(params, avals, axis, length):
  strides = params["strides"]
  limits = params["limit_indices"]
  if (params["start_indices"][axis] or limits[axis] != avals[0].shape[axis]
      or (strides is not None and strides[axis] != 1)):
    return None
  return params | {"limit_indices": with_size(limits, axis, length)}, {0: axis}


def _through_dynamic_slice(params, avals, axis, length):
  sizes = params["slice_sizes"]
  if sizes[axis] != avals[0].shape[axis]:
    return None
  return params | {"slice_sizes": with_size(sizes, axis, length)}, {0: axis}


def _through_rev(params, avals, axis, length):
  return None if axis in params["dimensions"] else (params, {0: axis})


def _through_concatenate(params, avals, axis, length):
  return None if axis == params["dimension"] else (
      params, dict.fromkeys(range(len(avals)), axis))


def _through_stack(params, avals, axis, length):
  if axis == params["axis"]:
    return None
  return params, dict.fromkeys(
      range(len(avals)), axis - (axis > params["axis"]))


def _through_tile(params, avals, axis, length):
  return (params, {0: axis}) if params["reps"][axis] == 1 else None


def _through_pad(params, avals, axis, length):
  if any(params["padding_config"][axis]):
    return None
  return params, {0: axis, 1: None}


def _through_cumsum(params, avals, axis, length):
  return None if axis == params["axis"] else (params, {0: axis})


def _through_fft(params, avals, axis, length):
  kept = len(avals[0].shape) - len(params["fft_lengths"])
  return (params, {0: axis}) if axis < kept else None


def _through_complex(params, avals, axis, length):
  return params, {i: axis if aval.shape else None
                  for i, aval in enumerate(avals)}


def _through_select(params, avals, axis, length):
  return None if avals[0].shape else (
      params, dict.fromkeys(range(1, len(avals)), axis))


def _through_triangular_solve(params, avals, axis, length):
  rank = len(avals[1].shape)
  column = rank - 1 if params["left_side"] else rank - 2
  return (params, {1: axis}) if axis == column else None


def _through_gather(params, avals, axis, length):
  """Along an axis that is taken whole."""
  numbers, shape = params["dimension_numbers"], avals[0].shape
  offset = list(map(int, numbers.offset_dims))
  if axis not in offset:
    return None
  dropped = {*numbers.collapsed_slice_dims, *numbers.operand_batching_dims}
  k = _kept(avals[0], dropped)[offset.index(axis)]
  sizes = params["slice_sizes"]
  if sizes[k] != shape[k] or k in numbers.start_index_map:
    return None
  return params | {"slice_sizes": with_size(sizes, k, length)}, {0: k}


def _through_scatter(params, avals, axis, length):
  numbers = params["dimension_numbers"]
  if axis in numbers.scatter_dims_to_operand_dims:
    return None
  dropped = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
  window = _kept(avals[0], dropped)
  if axis not in window:
    return None
  k = int(numbers.update_window_dims[window.index(axis)])
  if avals[2].shape[k] != avals[0].shape[axis]:
    return None
  return params, {0: axis, 2: k}


def _through_dynamic_update_slice(params, avals, axis, length):
  if avals[0].shape[axis] != avals[1].shape[axis]:
    return None
  return params, {0: axis, 1: axis}


def _kept(aval, dropped):
  return [k for k in range(len(aval.shape)) if k not in dropped]


def with_size(sizes: tuple[int, ...], axis: int, size: int
              ) -> tuple[int, ...]:
  """A shape with an axis of another length."""
  return (*sizes[:axis], size, *sizes[axis + 1:])


THROUGH: dict[Any, Callable[..., Inside | None]] = {
    compat.broadcast_in_dim_p: _through_broadcast,
    compat.complex_p: _through_complex,
    compat.concatenate_p: _through_concatenate,
    compat.conj_p: _same_axis,
    compat.conv_general_dilated_p: _through_conv,
    compat.convert_element_type_p: _same_axis,
    compat.copy_p: _same_axis,
    compat.cumsum_p: _through_cumsum,
    compat.dot_general_p: _through_dot,
    compat.dynamic_slice_p: _through_dynamic_slice,
    compat.dynamic_update_slice_p: _through_dynamic_update_slice,
    compat.fft_p: _through_fft,
    compat.gather_p: _through_gather,
    compat.imag_p: _same_axis,
    compat.pad_p: _through_pad,
    compat.real_p: _same_axis,
    compat.reduce_sum_p: _through_sum,
    compat.reshape_p: _through_reshape,
    compat.rev_p: _through_rev,
    compat.scatter_add_p: _through_scatter,
    compat.select_n_p: _through_select,
    compat.slice_p: _through_slice,
    compat.squeeze_p: _through_squeeze,
    compat.stack_p: _through_stack,
    compat.tile_p: _through_tile,
    compat.transpose_p: _through_transpose,
    compat.triangular_solve_p: _through_triangular_solve,
}
