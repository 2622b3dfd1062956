"""What is known of the elements of a result, from those of the operands.

    concatenate([0], [1, ?])      [0, 1, ?]
    slice([0, 1, ?], 0:1)         [0]
    [0, 1, ?] @ [?, 0, 0]         0

Numbers are floats of 64 bits, a NaN for one that is not known. They are whole
and small, so sums and products of theirs are exact, and 0 times what is not
known is 0. `RULES` has a rule for each linear primitive of which parts may be
known though the whole is not; it takes the params, the shapes of the operands
that the primitive is linear in, and what is known of these.
"""

from collections.abc import Callable
import math
from typing import Any

import numpy as np

from jax_cse import compat


def product(x, y):
  """Of what is known of two arrays."""
  return np.where((x == 0) | (y == 0), 0., x * y)


def _slice(params, x):
  return x[tuple(map(slice, params["start_indices"], params["limit_indices"],
                     params["strides"] or [1] * x.ndim))]


def _reshape(params, x):
  return (None if params["dimensions"] is not None
          else x.reshape(params["new_sizes"]))


def _broadcast(params, x):
  shape = [1] * len(params["shape"])
  for k, axis in enumerate(params["broadcast_dimensions"]):
    shape[axis] = x.shape[k]
  return np.broadcast_to(x.reshape(shape), params["shape"])


def _pad(params, x, padding):
  config = params["padding_config"]
  if any(low < 0 or high < 0 for low, high, _ in config):
    return None
  shape = [low + high + n + inner * max(n - 1, 0)
           for n, (low, high, inner) in zip(x.shape, config)]
  padded = np.full(shape, padding)
  padded[tuple(
      slice(low, low + n + inner * max(n - 1, 0), inner + 1)
      for n, (low, _, inner) in zip(x.shape, config))] = x
  return padded


def _cumsum(params, x):
  axis = params["axis"]
  if params["reverse"]:
    return np.flip(np.cumsum(np.flip(x, axis), axis), axis)
  return np.cumsum(x, axis)


def _select(params, *cases):
  """The predicate is not known: what is the same in all cases."""
  first, *others = cases
  return np.where(np.all([first == x for x in others], 0), first, math.nan)


def _dot(params, x, y):
  (contracted, others), (batch, of_other) = params["dimension_numbers"]
  new = iter(range(x.ndim + y.ndim))
  left = [next(new) for _ in range(x.ndim)]
  pairs = dict(zip((*of_other, *others), (*batch, *contracted)))
  right = [left[pairs[axis]] if axis in pairs else next(new)
           for axis in range(y.ndim)]
  out = [left[axis] for axis in batch] + [
      label for label in left if label not in right] + [
          label for label in right if label not in left]
  dot = lambda a, b: np.einsum(a, left, b, right, out)
  # A number that is not known stands in a product with one that is not 0.
  is_unknown = dot(_is_unknown(x), _may_count(y)) + dot(
      _may_count(x), _is_unknown(y))
  return np.where(is_unknown > 0, math.nan,
                  dot(np.nan_to_num(x), np.nan_to_num(y)))


def _is_unknown(x):
  return np.isnan(x).astype(float)


def _may_count(x):
  return (x != 0).astype(float)


def _same(params, x):
  return x


RULES: dict[Any, Callable[..., Any]] = {
    compat.broadcast_in_dim_p: _broadcast,
    compat.concatenate_p: lambda params, *xs: np.concatenate(
        xs, params["dimension"]),
    compat.convert_element_type_p: _same,
    compat.copy_p: _same,
    compat.cumsum_p: _cumsum,
    compat.dot_general_p: _dot,
    compat.pad_p: _pad,
    compat.reduce_sum_p: lambda params, x: np.sum(x, tuple(params["axes"])),
    compat.reshape_p: _reshape,
    compat.rev_p: lambda params, x: np.flip(x, params["dimensions"]),
    compat.select_n_p: _select,
    compat.slice_p: _slice,
    compat.squeeze_p: lambda params, x: np.squeeze(
        x, tuple(params["dimensions"])),
    compat.stack_p: lambda params, *xs: np.stack(xs, params["axis"]),
    compat.tile_p: lambda params, x: np.tile(x, params["reps"]),
    compat.transpose_p: lambda params, x: np.transpose(
        x, params["permutation"]),
}


# The same where the first indices are known, which come first.

def _dynamic_slice(start, params, x):
  return x[_window(start, x.shape, params["slice_sizes"])]


def _dynamic_update_slice(start, params, x, update):
  result = np.array(x)
  result[_window(start, x.shape, update.shape)] = update
  return result


def _window(start, shape, sizes):
  first = [min(max(i, 0), n - size)   # as JAX clamps them
           for i, n, size in zip(start, shape, sizes)]
  return tuple(slice(i, i + size) for i, size in zip(first, sizes))


def _scatter(start, params, x, update):
  window = _only_window(start, params, x, update)
  if window is None:
    return None
  result = np.array(x)
  result[window] = update
  return result


def _scatter_add(start, params, x, update):
  window = _only_window(start, params, x, update)
  if window is None:
    return None
  result = np.array(x)
  result[window] += update
  return result


def _only_window(start, params, x, update):
  """Where the update of a scatter with one vector of indices goes; None if it
  is not all inside."""
  numbers = params["dimension_numbers"]
  if numbers.operand_batching_dims or update.ndim != len(
      numbers.update_window_dims):
    return None
  first = dict(zip(numbers.scatter_dims_to_operand_dims, start))
  sizes = iter(update.shape)
  window: list[int | slice] = []
  for axis, n in enumerate(x.shape):
    i = first.get(axis, 0)
    size = 1 if axis in numbers.inserted_window_dims else next(sizes)
    if i < 0 or i + size > n:
      return None
    window.append(i if axis in numbers.inserted_window_dims
                  else slice(i, i + size))
  return tuple(window)


AT_INDICES: dict[Any, Callable[..., Any]] = {
    compat.dynamic_slice_p: _dynamic_slice,
    compat.dynamic_update_slice_p: _dynamic_update_slice,
    compat.scatter_p: _scatter, compat.scatter_add_p: _scatter_add}
