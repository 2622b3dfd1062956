"""Axes that are summed, and equations through which sums of them go.

An equation that acts on each slice along an axis alone gives, of summed
operands, the sum of its result. `through` tells with which params, and along
which axes of the operands. A summed axis stays, with length 1, so the axes of
other operands keep their places.
"""

import math
from typing import NamedTuple

from jax import lax

from jax_cse import compat
from jax_cse.primitives import linear
from jax_cse.primitives.linear import with_size


# Sums over axes of this length are of slices: XLA:CPU fused the reductions of a
# biharmonic operator into one loop that took 11 times as long.
_SHORT = 8


class Axis(NamedTuple):
  """An axis, or the middle one of three that were merged to one."""
  place: int
  before: int
  size: int
  after: int

  @property
  def left(self) -> int:
    """The length that is left when it is summed."""
    return self.before * self.after

  @property
  def is_whole(self) -> bool:
    return self.left == 1

  def at(self, place: int) -> "Axis":
    return self._replace(place=place)

  def shape_left(self, shape: tuple[int, ...]) -> tuple[int, ...]:
    """A shape, with what is left of the axis."""
    return with_size(shape, self.place, self.left)


def has(atom, axis: Axis) -> bool:
  """Whether an operand has an axis of its own, not of length 1."""
  return type(atom) is not compat.Literal and bool(atom.aval.shape) and (
      atom.aval.shape[axis.place] != 1)


def is_added(eqn, axis: Axis) -> bool:
  """Whether a broadcast made an axis of its result."""
  dims = list(map(int, eqn.params["broadcast_dimensions"]))
  return axis.place not in dims or (
      eqn.invars[0].aval.shape[dims.index(axis.place)] == 1)


def may_move(aval) -> bool:
  """Whether sums of a type may be taken elsewhere: not of small floats, whose
  scale is chosen, nor of what is placed on several devices."""
  return (type(aval) is compat.ShapedArray and compat.is_inexact(aval.dtype)
          and compat.is_plain_type(aval) and compat.has_range(aval.dtype))


def through(eqn, axis: Axis):
  """The params and axes of the operands with which an equation gives what is
  left of an axis of its result; None if there are none."""
  avals = [x.aval for x in eqn.invars]
  if eqn.primitive is compat.reshape_p:
    return _through_reshape(eqn.params, avals[0].shape, axis)
  rule = linear.THROUGH.get(eqn.primitive)
  inside = rule and rule(eqn.params, avals, axis.place, axis.left)
  if not inside:
    return None
  params, axes = inside
  return params, {i: None if k is None else axis.at(k)
                  for i, k in axes.items()}


def _through_reshape(params, shape, axis):
  """As `linear` has it of whole axes; here axes may have been merged."""
  sizes = params["new_sizes"]
  if (params["dimensions"] is not None or params["sharding"] is not None
      or not all(isinstance(n, int) and n for n in (*shape, *sizes))):
    return None
  before = math.prod(sizes[:axis.place]) * axis.before
  for k, length in enumerate(shape):
    own, rest = divmod(before, math.prod(shape[:k]))
    if not rest and own and not length % (own * axis.size):
      if length == 1:
        continue
      inner = Axis(k, own, axis.size, length // (own * axis.size))
      return params | {"new_sizes": with_size(
          sizes, axis.place, axis.left)}, {0: inner}
  return None


def _split(x, axis):
  shape = x.shape
  return lax.reshape(x, (*shape[:axis.place], axis.before, axis.size,
                         axis.after, *shape[axis.place + 1:]))


def summed(x, axis: Axis, weight=None):
  """The sum of an array over an axis, that left. `weight`: of the slices."""
  shape = axis.shape_left(x.shape)
  place = axis.place if axis.is_whole else axis.place + 1
  x = x if axis.is_whole else _split(x, axis)
  if weight is not None:
    x = x * lax.broadcast_in_dim(weight, [
        axis.size if k == place else 1 for k in range(x.ndim)], (place,))
  if not isinstance(axis.size, int) or not 0 < axis.size <= _SHORT:
    return lax.reshape(lax.reduce_sum(x, (place,)), shape)
  first, *others = [lax.slice_in_dim(x, i, i + 1, axis=place)
                    for i in range(axis.size)]
  for y in others:
    first = first + y
  return first if axis.is_whole else lax.reshape(first, shape)


def one(x, axis: Axis):
  """One of the slices of an array along an axis, that left."""
  if not axis.is_whole:
    shape = with_size(x.shape, axis.place, axis.left)
    return lax.reshape(lax.index_in_dim(_split(x, axis), 0, axis.place + 1,
                                        keepdims=False), shape)
  return lax.slice_in_dim(x, 0, 1, axis=axis.place)
