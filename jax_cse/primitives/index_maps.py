"""Index maps of what another primitive put together, or put elsewhere.

    slice(concatenate(a, b))      a part of `a`, or of `b`
    slice(stack(a, b))            `a`, or `b`, with an axis of length 1
    slice(slice(a))               a part of `a`
    transpose(transpose(a))       `a`, if they undo each other

Those that keep the order of the elements, as reshapes, are one if their shapes
are: see `keeps_order`.

`read(inner, outer, start)` takes two maps, each with `primitive`, `params`,
`avals` of the operands and `out`, the type of the result. It returns the place
of the operand of `inner` that `outer` reads, and the primitive and the params
of the index map of it, None for the operand itself; None if `outer` reads more.
"""

from typing import Any

from jax_cse import compat

Inner = tuple[Any, dict[str, Any]] | None


def read(inner, outer, start: list[int | None]) -> tuple[int, Inner] | None:
  """`start`: the first indices of a dynamic slice, if they are known."""
  if outer.avals[0].shape != inner.out.shape:
    return None   # `outer` takes what is repeated along an axis
  if inner.primitive in _PARTS:
    window = _window(outer, start)
    return window and _PARTS[inner.primitive](inner, *window)
  if inner.primitive is compat.transpose_p is outer.primitive:
    back = [inner.params["permutation"][i] for i in outer.params["permutation"]]
    return (0, None) if back == sorted(back) else None
  return None


def keeps_order(map_) -> bool:
  """Whether only the shape changes, as in a reshape.

  The broadcasts here add axes of length 1.
  """
  params = map_.params
  if map_.primitive is compat.transpose_p:
    order = [k for k in params["permutation"] if map_.avals[0].shape[k] != 1]
    return order == sorted(order)
  if map_.primitive is compat.broadcast_in_dim_p:
    return list(params["broadcast_dimensions"]) == sorted(
        params["broadcast_dimensions"])
  return map_.primitive is compat.squeeze_p or (
      map_.primitive is compat.reshape_p and params["dimensions"] is None)


def _window(map_, start) -> tuple[list[int], list[int]] | None:
  """The first and the last indices, and one more, that a map reads."""
  if map_.primitive is compat.slice_p:
    if any(stride != 1 for stride in map_.params["strides"] or ()):
      return None
    return (list(map_.params["start_indices"]),
            list(map_.params["limit_indices"]))
  if map_.primitive is not compat.dynamic_slice_p or None in start:
    return None
  sizes, shape = map_.params["slice_sizes"], map_.avals[0].shape
  first = [min(max(i, 0), n - size)   # as JAX clamps them
           for i, n, size in zip(start, shape, sizes)]
  return first, [i + size for i, size in zip(first, sizes)]


def _of_concatenate(map_, first, last):
  axis, offset = map_.params["dimension"], 0
  for i, aval in enumerate(map_.avals):
    end = offset + aval.shape[axis]
    if offset <= first[axis] and last[axis] <= end:
      first[axis] -= offset
      last[axis] -= offset
      return i, _slice(aval, first, last)
    offset = end
  return None


def _of_stack(map_, first, last):
  axis = map_.params["axis"]
  i, aval = first[axis], map_.avals[0]
  if last[axis] != i + 1 or _slice(
      aval, first[:axis] + first[axis + 1:], last[:axis] + last[axis + 1:]):
    return None
  kept = tuple(k for k in range(len(aval.shape) + 1) if k != axis)
  shape = (*aval.shape[:axis], 1, *aval.shape[axis:])
  return i, (compat.broadcast_in_dim_p,
             compat.params_of_broadcast(shape, kept))


def _slice(aval, first, last) -> Inner:
  if not any(first) and tuple(last) == aval.shape:
    return None
  return compat.slice_p, params_of_slice(first, last)


def params_of_slice(first, last) -> dict[str, Any]:
  return {"start_indices": tuple(first), "limit_indices": tuple(last),
          "strides": None}


def _of_slice(map_, first, last):
  offset = map_.params["start_indices"]
  if any(stride != 1 for stride in map_.params["strides"] or ()):
    return None
  return 0, _slice(map_.avals[0], [i + k for i, k in zip(first, offset)],
                   [i + k for i, k in zip(last, offset)])


_PARTS = {compat.concatenate_p: _of_concatenate, compat.stack_p: _of_stack,
          compat.slice_p: _of_slice}
