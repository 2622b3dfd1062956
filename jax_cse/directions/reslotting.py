"""Arrays moved from one table of slots to another, which may be all directions.

A run of slots that stands for the same directions everywhere is padded with
zeros to its place. One that stands for other directions in each element, as
[3i .. 3i+2] does, is laid out once for each run of the target, times a constant
mask: one product for each element of the result, which XLA fuses with what
reads it. No elements are gathered.
"""

from collections.abc import Iterator
from typing import Any

from jax import lax
import numpy as np

from jax_cse.directions import slots
from jax_cse.directions.slots import Layout, Move
from jax_cse.primitives.linear import with_size

# Of more runs that are laid out, or placed, another way is cheaper.
_MAX_MOVES = 8


def reslotted(x, source: Layout, target: Layout):
  """An array in another table."""
  return x if source.equals(target) else laid_out([(x, source)], target)


def laid_out(parts: list[tuple[Any, Layout]], target: Layout):
  """The sum of arrays, in one other table."""
  total: Any = None
  for x, source in parts:
    for y in _moved(x, source, target):
      total = y if total is None else total + y
  if total is None:
    x, _ = parts[0]
    return lax.full(with_size(x.shape, target.axis, target.slots), 0, x.dtype)
  return total


def _moved(x, source: Layout, target: Layout) -> Iterator[Any]:
  run, moves = slots.moves(source, target)
  placed = [move for move in moves if move.mask is None]
  chosen = [(move, move.mask) for move in moves if move.mask is not None]
  if len(placed) > _MAX_MOVES:
    yield _summed(x, source.axis, placed, run, target.slots)
    placed = []
  for move in placed:
    yield _placed(x, source.axis, move, target.slots)
  for move, mask in chosen:
    yield _chosen(x, source.axis, move, mask, run)


def is_cheap(source: Layout, target: Layout) -> bool:
  """Whether few runs are laid out everywhere."""
  if source.table.size * target.slots > 16 * slots.MAX_TABLE:
    return False
  _, moves = slots.moves(source, target)
  return sum(move.mask is not None for move in moves) <= _MAX_MOVES


def price(source: Layout, target: Layout) -> int:
  """How many elements are laid out for each of the result."""
  if source.equals(target):
    return 0
  return len(slots.moves(source, target)[1])


def _placed(x, axis: int, move: Move, length: int):
  y = _run(x, axis, move)
  config = [(0, 0, 0)] * x.ndim
  config[axis] = (move.place, length - move.place - y.shape[axis], 0)
  return lax.pad(y, np.zeros((), x.dtype), config)


def _summed(x, axis: int, moves: list[Move], run: int, length: int):
  """Many runs, some of which go to one place: a product with ones and zeros."""
  ones = np.zeros((length // run, x.shape[axis] // run))
  for move in moves:
    for k in range((move.stop - move.start) // run):
      ones[move.place // run + k, move.start // run + k] = 1
  y = lax.reshape(x, (*x.shape[:axis], ones.shape[1], run,
                      *x.shape[axis + 1:]))
  y = lax.dot_general(ones.astype(x.dtype), y, (((1,), (axis,)), ((), ())),
                      precision=lax.Precision.HIGHEST,
                      preferred_element_type=x.dtype)
  y = lax.transpose(y, (*range(1, axis + 1), 0, *range(axis + 1, y.ndim)))
  return lax.reshape(y, with_size(x.shape, axis, length))


def _run(x, axis: int, move: Move):
  if (move.start, move.stop) == (0, x.shape[axis]):
    return x
  return lax.slice_in_dim(x, move.start, move.stop, axis=axis)


def _chosen(x, axis: int, move: Move, mask: slots.Table, run: int):
  """A run laid out to all places, times 1 where it goes, else 0.

  A selection would do too. That takes XLA longer to compile: a quarter more for
  a FermiNet, where this takes a tenth more.
  """
  y = lax.expand_dims(_run(x, axis, move), (axis,))
  ones = np.expand_dims(np.moveaxis(mask, 0, axis), axis + 1)
  z = y * ones.astype(y.dtype)
  return lax.reshape(z, (*z.shape[:axis], z.shape[axis] * run,
                         *z.shape[axis + 2:]))
