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
  return x if source.equals(target) else laid_out([(x, source)], target)


def laid_out(parts: list[tuple[Any, Layout]], target: Layout):
  """Arrays in one other table. No element has a direction in two of them."""
  total: Any = None
  chosen = []
  for x, source in parts:
    run, moves = slots.moves(source, target)
    for move in moves:
      if move.mask is not None:
        chosen.append((x, run, move))
        continue
      y = _placed(x, source.axis, move, target.slots)
      total = y if total is None else _wide(total, y) + _wide(y, total)
  for x, run, move in chosen:
    total = _chosen(total, x, target.axis, move, run, target.slots)
  if total is None:
    x, _ = parts[0]
    return lax.full(with_size(x.shape, target.axis, target.slots), 0, x.dtype)
  return total


def price(source: Layout, target: Layout) -> int:
  """How many elements are laid out for each of the result."""
  if source.equals(target):
    return 0
  return len(slots.moves(source, target)[1])


def _wide(x, other):
  if x.shape == other.shape:
    return x
  shape = np.broadcast_shapes(x.shape, other.shape)
  return lax.broadcast_in_dim(x, shape, range(x.ndim))


def _placed(x, axis: int, move: Move, length: int):
  y = _run(x, axis, move)
  config = [(0, 0, 0)] * x.ndim
  config[axis] = (move.place, length - move.place - y.shape[axis], 0)
  return lax.pad(y, np.zeros((), x.dtype), config)


def _run(x, axis: int, move: Move):
  if (move.start, move.stop) == (0, x.shape[axis]):
    return x
  return lax.slice_in_dim(x, move.start, move.stop, axis=axis)


def _chosen(total, x, axis: int, move: Move, run: int, length: int):
  """A run where it goes, and elsewhere what is there."""
  y = _run(x, axis, move)
  mask = np.repeat(np.moveaxis(move.mask, 0, axis), run, axis)
  shape = np.broadcast_shapes(mask.shape, with_size(y.shape, axis, length))
  if length > 1:
    split = (*shape[:axis], length // run, run, *shape[axis + 1:])
    y = lax.reshape(lax.broadcast_in_dim(
        y, split, [k + (k >= axis) for k in range(y.ndim)]), shape)
  wide = lambda z: z if z.shape == shape else lax.broadcast_in_dim(
      z, shape, range(len(shape)))
  rest = lax.full(shape, 0, x.dtype) if total is None else wide(total)
  return lax.select(wide(mask), wide(y), rest)
