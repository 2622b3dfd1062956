"""Arrays moved from one table of slots to another, which may be all directions.

A run of slots that stands for the same directions everywhere is padded with
zeros to its place. One that stands for other directions in each element, as
[3i .. 3i+2] does, is laid out once for each run of the target, and chosen by a
constant mask: one selection for each element of the result, which XLA fuses
with what reads it. No elements are gathered.
"""

from typing import Any

from jax import lax
import numpy as np

from jax_cse.primitives.linear import with_size
from jax_cse.rebuild import slots
from jax_cse.rebuild.slots import Layout, Move


def reslotted(x, source: Layout, target: Layout):
  """An array in another table."""
  if source.equals(target):
    return x
  run, moves = slots.moves(source, target)
  total: Any = None
  for move in moves:
    y = (_placed(x, source.axis, move, target.slots) if move.mask is None else
         _chosen(x, source.axis, move, run, target.slots))
    total = y if total is None else _plus(total, y)
  if total is None:
    return lax.full(with_size(x.shape, source.axis, target.slots), 0, x.dtype)
  return total


def price(source: Layout, target: Layout) -> int:
  """How many elements are laid out for each of the result."""
  if source.equals(target):
    return 0
  return len(slots.moves(source, target)[1])


def _plus(a, b):
  return a + b if a.shape == b.shape else lax.add(
      *(lax.broadcast_in_dim(y, np.broadcast_shapes(a.shape, b.shape),
                             range(y.ndim)) for y in (a, b)))


def _placed(x, axis: int, move: Move, length: int):
  y = lax.slice_in_dim(x, move.start, move.stop, axis=axis)
  config = [(0, 0, 0)] * x.ndim
  config[axis] = (move.place, length - move.place - y.shape[axis], 0)
  return lax.pad(y, lax.full((), 0, x.dtype), config)


def _chosen(x, axis: int, move: Move, run: int, length: int):
  y = lax.slice_in_dim(x, move.start, move.stop, axis=axis)
  mask = np.expand_dims(np.moveaxis(move.mask, 0, axis), axis + 1)
  y = lax.expand_dims(y, (axis,))
  shape = np.broadcast_shapes(mask.shape, y.shape)
  wide = lambda z: lax.broadcast_in_dim(z, shape, range(len(shape)))
  chosen = lax.select(wide(mask), wide(y), lax.full(shape, 0, x.dtype))
  return lax.reshape(chosen, (*shape[:axis], length, *shape[axis + 2:]))
