"""Second derivatives along directions, whose sum is a weighted one of all.

A matrix of weights is that of the eigenvectors, each times the root of its
value: as many directions as there are values other than 0. Those with a
negative value are summed apart.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
import numpy as np

from jax_cse import compat
from jax_cse.directions.sparse_directions import Coordinates


class Directions(NamedTuple):
  """Pairs of directions, along which a function is derived twice.

  Attributes:
    sign: of their derivatives.
    inner, outer: the directions, one after the other; the same object if they
      are the same.
    shape: that they have one after the other, if they are not summed.
    coordinates: of which they are multiples, if inner and outer are the same
      and each is of one.
    weights: of their derivatives, known when the program runs; None for 1.
  """
  sign: int
  inner: Any
  outer: Any
  shape: tuple[int, ...]
  coordinates: Coordinates | None = None
  weights: Any = None


def directions_of(weights: Any, x: jax.Array, summed: bool) -> list[Directions]:
  """Directions whose second derivatives add up to the weighted sum."""
  n, dtype = x.size, x.dtype
  basis = jnp.eye(n, dtype=dtype).reshape(n, *x.shape)
  units = Coordinates.of(np.eye(n), x.shape) if isinstance(n, int) else None
  if weights is None:
    return [Directions(1, basis, basis, x.shape, units)]
  w = jnp.asarray(weights) if isinstance(weights, compat.Tracer) else (
      np.asarray(weights))
  if not jnp.issubdtype(w.dtype, jnp.number) or jnp.issubdtype(
      w.dtype, jnp.complexfloating):
    raise TypeError(f"weights must be real numbers; got {w.dtype}")
  array = lambda v: jnp.asarray(v, dtype).reshape(len(v), *x.shape)
  is_known = not isinstance(w, compat.Tracer) and np.isfinite(w).all()
  if w.shape == x.shape:
    w = w.reshape(n)
    if not summed or not is_known:
      return [Directions(1, basis, basis, x.shape, units,
                         jnp.asarray(w, dtype))]
    return _by_sign(np.float64(w), np.eye(n), array, x)
  if w.shape == (*x.shape, *x.shape):
    if not summed:
      raise ValueError("the derivatives of a matrix of weights are not of one "
                       "direction each, so they are not given without their "
                       "sum; weights of the shape of x, or a factor, are")
    w = w.reshape(n, n)
    if not is_known:
      return [Directions(1, basis, array(w.astype(dtype)), ())]
    values, vectors = _spectrum(np.float64(w))
    return _by_sign(values, vectors, array, x)
  if w.ndim == x.ndim + 1 and w.shape[:-1] == x.shape:
    columns = array(w.reshape(n, w.shape[-1]).T)
    return [Directions(1, columns, columns, (w.shape[-1],))]
  raise ValueError(
      f"weights must have the shape {x.shape} of x, for a diagonal, that "
      "twice, for a matrix, or that and one more axis, for a factor; got "
      f"{w.shape}")


def _spectrum(matrix):
  """Numbers and vectors, one after the other: a symmetric matrix is the sum of
  the products of each vector with itself, times the number."""
  matrix = (matrix + matrix.T) / 2
  # Coordinates may be of units that are far apart.
  scale = np.sqrt(abs(matrix).max(1, initial=0))
  scale[scale == 0] = 1
  values, vectors = np.linalg.eigh(matrix / scale / scale[:, None])
  rounding = 4 * len(matrix) * np.finfo(matrix.dtype).eps
  values[abs(values) <= rounding * abs(values).max(initial=0)] = 0
  return values, vectors.T * scale


def _by_sign(values, rows, array, x) -> list[Directions]:
  """Those rows with a value other than 0, scaled by its root."""
  found = []
  for sign in (1, -1):
    chosen = sign * values > 0
    if chosen.any():
      scaled = np.sqrt(abs(values[chosen]))[:, None] * rows[chosen]
      along = array(scaled)
      found.append(Directions(sign, along, along, x.shape,
                              Coordinates.of(scaled, x.shape)))
  return found


class Along(NamedTuple):
  """Results of a function, flat, and those that move derived along directions:
  once, one after the other, and twice."""
  values: list[Any]
  first: list[Any]
  second: list[Any]


class SecondDerivatives:
  """A function's values at a point, and its derivatives along directions.

  Attributes:
    operands: the point, and arrays of the directions.
    known: for each operand the coordinates that it is directions of, or None.
    structure: of the function's result, when it was called.
  """

  def __init__(self, fun, x, directions: list[Directions], summed: bool):
    self._fun = fun
    self._directions = directions
    groups = [(d.inner, None if d.inner is d.outer else d.outer, d.weights)
              for d in directions]
    arrays, self._groups = jax.tree.flatten(groups)
    self.known = [None, *(
        known for d, group in zip(directions, groups)
        for known, a in zip((d.coordinates, None, None), group)
        if a is not None)]
    # In a `shard_map` they vary from device to device as the point does.
    self.operands = [x, *(compat.varying(a, compat.typeof(x)) for a in arrays)]
    self._summed = summed
    self.structure: Any = None
    self._avals: list[Any] = []

  def show_known(self) -> None:
    """Has known directions as host arrays: a check draws other values for
    tracers, which are no directions of coordinates then."""
    self.operands = [x if known is None else known.array(x.dtype)
                     for x, known in zip(self.operands, self.known)]

  @property
  def num_values(self) -> int:
    """How many arrays the function's result has."""
    return len(self._avals)

  def of(self, x, *arrays) -> Along:
    """The derivatives, of the operands."""
    groups = jax.tree.unflatten(self._groups, arrays)
    if not groups:   # all weights are 0
      values = self._values(x)
      return Along(values, [], [jnp.zeros(y.shape, y.dtype)
                                for y in self._avals if _moves(y)])
    total: list[Any] = []
    for d, (inner, outer, weights) in zip(self._directions, groups):
      values, first, second = self._group(x, inner, outer)
      if weights is not None:
        second = [y * lax.broadcast_in_dim(
            weights.astype(y.dtype), (len(weights), *[1] * (y.ndim - 1)), (0,))
                  for y in second]
      second = [_sum(y) if self._summed else last(y, d.shape) for y in second]
      if d.sign < 0:
        second = [-y for y in second]
      total = [a + b for a, b in zip(total, second)] if total else second
    return Along(values, first, total)

  def _values(self, x) -> list[Any]:
    leaves, self.structure = jax.tree.flatten(self._fun(x))
    self._avals = [compat.typeof(y) for y in leaves]
    return leaves

  def _group(self, x, inner, outer) -> tuple[list[Any], ...]:
    """Values, and both derivatives, along the directions of a group."""
    def second(u, v):
      first = lambda y: jax.jvp(self._values, (y,), (u,))
      (values, du), (_, ddu) = jax.jvp(first, (x,), (v,))
      return values, *([y for y, a in zip(ys, self._avals) if _moves(a)]
                       for ys in (du, ddu))
    pairs = (inner, inner if outer is None else outer)
    try:
      return jax.vmap(second, out_axes=(None, 0, 0))(*pairs)
    except ValueError as error:
      if "out_axes" not in str(error):
        raise
    # A rule of the user's, or a reference, mixes values with derivatives.
    values, *derived = jax.vmap(second)(*pairs)
    return [y[0] for y in values], *derived

  def result(self, outs, zeros: Callable[[Any], Any]) -> Any:
    """A tree of the structure of the function's result, zeros for integers."""
    rest = iter(outs)
    return jax.tree.unflatten(self.structure, [
        next(rest) if _moves(a) else zeros(a) for a in self._avals])


def _moves(aval) -> bool:
  return compat.is_inexact(aval.dtype)


def _sum(y):
  """Over the first axis. float16 adds up in single precision."""
  return lax.reduce_sum(y, (0,)) if compat.has_range(y.dtype) else y.sum(0)


def last(y, shape):
  """The first axis as the last ones."""
  return jnp.moveaxis(y, 0, -1).reshape(*y.shape[1:], *shape)
