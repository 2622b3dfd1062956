"""Sums of second derivatives: `laplacian`, `value_grad_laplacian`."""

from collections.abc import Callable
import functools
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import lax
import numpy as np

from jax_cse import compat
from jax_cse.checking import verification
from jax_cse.foundation import inputs
from jax_cse.rebuild import sparse_directions
from jax_cse.rebuild.sparse_directions import Coordinates

_Result = TypeVar("_Result")


def laplacian(fun: Callable[[Any], _Result], *, weights: Any = None,
              summed: bool = True, check: bool = False
              ) -> Callable[[Any], _Result]:
  """The Laplacian of a function of an array, or another sum of its second
  derivatives.

      y = jax_cse.laplacian(fun)(x)    # the traces of the Hessians
      y = jax_cse.laplacian(fun, weights=w)(x)

  It is plain nested `jvp` along the coordinates, of which the sum is taken
  early: it enters what is linear, so each layer of a network is passed once for
  the value, once for each coordinate and once for the Laplacian. Nested `jvp`
  passes it twice for each coordinate. It composes with `jit`, `vmap`, `grad`
  and itself.

  Args:
    fun: a function of one array of real numbers, of any shape. Its result is
      any pytree of arrays.
    weights: the coefficients w[i, j] of the derivatives by x[i] and x[j], all
      of which are 0 or, if not given, 1 for i = j and else 0. An array of
      numbers, or a function that gives one for x. Of the shape of x it is the
      diagonal; of that shape twice, the matrix, of which the symmetric part
      counts; of that shape and one more axis, a factor `b` of the matrix
      `b @ b.T`, which costs as many coordinates as it has columns. One that
      fits as a matrix is taken for that.
    summed: whether the derivatives are summed. If not, there is one for each
      coordinate, or for each column of a factor, and no matrix is taken.
    check: whether to compare the result with that of plain nested `jvp`, as
      `cse` does.

  Returns:
    A function of `x` whose result has the structure, shapes and dtypes of that
    of `fun`: for each number in it, the sum over the elements of `x` of the
    second derivative with respect to the element. Its unit is that of the
    number over that of `x` squared. If not `summed`, the shape of `x` follows
    that of each result, or the number of columns. For integers and booleans it
    is zeros of dtype `float0`, as `jvp` has them.

  Raises:
    TypeError: `fun` is not callable; `x` is not an array of real floating-point
      numbers, or the weights are not of real numbers.
    ValueError: `fun` cannot be checked; the weights have a shape that is none
      of those; a matrix is not to be summed.
    CheckFailed: the results differ; names the equation and its line.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: Li et al. 2023, "Forward Laplacian", for the scheme; Dangel et al.
  2025, who call it collapsing, for its derivation from nested `jvp` and for
  weights.
  """
  inputs.require_callable(fun, "laplacian")

  @functools.wraps(fun)
  def laplacian_of(x: Any) -> _Result:
    x = _real(x, "laplacian")
    coefficients = weights(x) if callable(weights) else weights
    directions = _directions(coefficients, x, summed)
    operator = _Operator(fun, x, directions, summed)
    outs = operator.apply(lambda along: along.second, check, "laplacian")
    result: _Result = operator.result(outs, zeros=_float0)
    return result

  return laplacian_of


def value_grad_laplacian(fun: Callable[[Any], _Result], *, check: bool = False
                         ) -> Callable[[Any], tuple[_Result, Any, _Result]]:
  """A function's value, gradient and Laplacian, from one pass.

      f, df, ddf = jax_cse.value_grad_laplacian(fun)(x)

  The derivatives along the coordinates, which the Laplacian needs, are the
  gradient. So there is no backward pass, and the rounding of gradient and
  Laplacian is of one kind, which cancels near the nodes of a wavefunction.

  Args:
    fun: a function of one array of real numbers, of any shape. Its result is
      any pytree of arrays.
    check: whether to compare with plain nested `jvp`, as `cse` does.

  Returns:
    A function of `x` that returns three trees of the structure of `fun(x)`:
    that itself; its derivatives by the elements of `x`, whose shape follows
    that of each array, as `jax.jacfwd` has them; and the Laplacian, see
    `laplacian`. Of integers and booleans both are zeros of dtype `float0`.

  Raises:
    TypeError, ValueError, CheckFailed, UnsupportedJaxVersion: as `laplacian`.

  Source: that of `laplacian`.
  """
  inputs.require_callable(fun, "value_grad_laplacian")

  @functools.wraps(fun)
  def all_of(x: Any) -> tuple[_Result, Any, _Result]:
    x = _real(x, "value_grad_laplacian")
    operator = _Operator(fun, x, _directions(None, x, True), True)
    outs = operator.apply(
        lambda along: [
            *along.values, *(_last(y, x.shape) for y in along.first),
            *along.second], check, "value_grad_laplacian")
    n = operator.num_values
    moving = (len(outs) - n) // 2
    value: _Result = jax.tree.unflatten(operator.structure, outs[:n])
    second: _Result = operator.result(outs[n + moving:], zeros=_float0)
    return value, operator.result(outs[n:n + moving], zeros=lambda y: _float0(
        jax.ShapeDtypeStruct((*y.shape, *x.shape), y.dtype))), second

  return all_of


def _real(x: Any, name: str) -> jax.Array:
  return jnp.asarray(inputs.require_dtype(
      x, jnp.floating, f"{name} requires a real-valued array (a dtype that is a "
      "sub-dtype of np.floating)"))


def _float0(y: Any) -> np.ndarray:
  return np.zeros(y.shape, jax.dtypes.float0)


class _Directions(NamedTuple):
  """Pairs of directions, along which a function is derived twice.

  Attributes:
    sign: of their derivatives.
    inner, outer: the directions, one after the other; the same object if they
      are the same.
    shape: that they have one after the other, if they are not summed.
    known: which coordinates inner and outer are along, if each is along one.
  """
  sign: int
  inner: Any
  outer: Any
  shape: tuple[int, ...]
  known: tuple[Coordinates | None, ...] = (None, None)


def _directions(weights: Any, x: jax.Array, summed: bool) -> list[_Directions]:
  """Directions whose second derivatives add up to the weighted sum."""
  n, dtype = x.size, x.dtype
  basis = jnp.eye(n, dtype=dtype).reshape(n, *x.shape)
  units = Coordinates.of(np.eye(n), x.shape)
  if weights is None:
    return [_Directions(1, basis, basis, x.shape, (units, units))]
  w = jnp.asarray(weights) if isinstance(weights, compat.Tracer) else (
      np.asarray(weights))
  if not jnp.issubdtype(w.dtype, jnp.number) or jnp.issubdtype(
      w.dtype, jnp.complexfloating):
    raise TypeError(f"weights must be real numbers; got {w.dtype}")
  array = lambda v: jnp.asarray(v, dtype).reshape(len(v), *x.shape)
  if w.shape == x.shape:
    w = w.reshape(n)
    if not summed or isinstance(w, compat.Tracer):
      outer = w.astype(dtype).reshape(n, *(1,) * x.ndim) * basis
      scaled = units and units._replace(numbers=None)
      return [_Directions(1, basis, outer, x.shape, (units, scaled))]
    return _by_sign(np.float64(w), np.eye(n), array, x)
  if w.shape == (*x.shape, *x.shape):
    if not summed:
      raise ValueError("the derivatives of a matrix of weights are not of one "
                       "direction each, so they are not given without their "
                       "sum; weights of the shape of x, or a factor, are")
    w = w.reshape(n, n)
    if isinstance(w, compat.Tracer):
      return [_Directions(1, basis, array(w.astype(dtype)), ())]
    w = np.float64(w)
    values, vectors = np.linalg.eigh((w + w.T) / 2)
    values[abs(values) <= 4 * n * np.finfo(w.dtype).eps * abs(
        values).max(initial=0)] = 0
    return _by_sign(values, vectors.T, array, x)
  if w.ndim == x.ndim + 1 and w.shape[:-1] == x.shape:
    columns = array(w.reshape(n, w.shape[-1]).T)
    return [_Directions(1, columns, columns, (w.shape[-1],))]
  raise ValueError(
      f"weights must have the shape {x.shape} of x, for a diagonal, that twice, "
      f"for a matrix, or that and one more axis, for a factor; got {w.shape}")


def _by_sign(values, rows, array, x) -> list[_Directions]:
  """Those rows with a value other than 0, scaled by its root."""
  found = []
  for sign in (1, -1):
    chosen = sign * values > 0
    if chosen.any():
      scaled = np.sqrt(abs(values[chosen]))[:, None] * rows[chosen]
      along, known = array(scaled), Coordinates.of(scaled, x.shape)
      found.append(_Directions(sign, along, along, x.shape, (known, known)))
  return found


class _Along(NamedTuple):
  """Results of a function, flat, and those that move derived along directions:
  once, one after the other, and twice."""
  values: list[Any]
  first: list[Any]
  second: list[Any]


class _Operator:
  """A sum of second derivatives of a function at a point.

  Attributes:
    structure: of the function's result, when it was applied.
    num_values: how many arrays that has.
  """

  def __init__(self, fun, x, directions: list[_Directions], summed: bool):
    self._fun = fun
    self._x = x
    self._directions = directions
    self._summed = summed
    self.structure: Any = None
    self._avals: list[Any] = []

  @property
  def num_values(self) -> int:
    return len(self._avals)

  def apply(self, chosen: Callable[[_Along], list[Any]], check: bool, name: str
            ) -> list[Any]:
    """What is `chosen`, simplified."""
    vectors = [v for d in self._directions for v in (
        (d.inner,) if d.inner is d.outer else (d.inner, d.outer))]

    def flat(x, *vectors):
      rest = iter(vectors)
      parts = []
      for d in self._directions:
        inner = next(rest)
        parts.append((d, inner, inner if d.inner is d.outer else next(rest)))
      return chosen(self._along(x, parts))

    known = [None, *(k for d in self._directions for k in (
        d.known[:1] if d.inner is d.outer else d.known))]
    early = lambda flat: sparse_directions.early(flat, known)
    operands = [self._x, *vectors]
    if check:
      # A tracer is drawn anew, and is no direction of a coordinate then.
      arrays = [None if k is None else k.array(self._x.dtype) for k in known]
      known = [None if a is None else k for a, k in zip(arrays, known)]
      operands = [x if a is None else a for a, x in zip(arrays, operands)]
      found: list[Any] = verification.checked(flat, operands, verification.Road(
          name, lambda flat: flat, early))
      return found
    return early(flat)(*operands)

  def _along(self, x, parts) -> _Along:
    first: list[Any] = []
    values: list[Any] = self._values(x) if not parts else []
    total: list[Any] = [
        jnp.zeros(y.shape, y.dtype) for y in self._avals if _moves(y)
    ] if not parts else []
    for d, inner, outer in parts:
      values, first, second = self._group(x, inner, outer)
      if self._summed:
        second = [_sum(y) for y in second]
      else:
        second = [_last(y, d.shape) for y in second]
      if d.sign < 0:
        second = [-y for y in second]
      total = ([a + b for a, b in zip(total, second)] if total else second)
    return _Along(values, first, total)

  def _values(self, x) -> list[Any]:
    leaves, self.structure = jax.tree.flatten(self._fun(x))
    self._avals = [compat.typeof(y) for y in leaves]
    return leaves

  def _group(self, x, inner, outer) -> list[list[Any]]:
    """Values, and both derivatives, along the directions of a group."""
    def second(u, v):
      first = lambda y: jax.jvp(self._values, (y,), (u,))
      (values, du), (_, ddu) = jax.jvp(first, (x,), (v,))
      return values, *([y for y, a in zip(ys, self._avals) if _moves(a)]
                       for ys in (du, ddu))
    if inner is outer:
      return jax.vmap(lambda v: second(v, v), out_axes=(None, 0, 0))(inner)
    return jax.vmap(second, out_axes=(None, 0, 0))(inner, outer)

  def result(self, outs, zeros: Callable[[Any], Any]) -> Any:
    """A tree of the structure of the function's result, zeros for integers."""
    rest = iter(outs)
    return jax.tree.unflatten(self.structure, [
        next(rest) if _moves(a) else zeros(a) for a in self._avals])


def _moves(aval) -> bool:
  return compat.is_inexact(aval.dtype)


def _sum(y):
  """Over the first axis. Half precision adds up in single precision."""
  return lax.reduce_sum(y, (0,)) if compat.has_range(y.dtype) else y.sum(0)


def _last(y, shape):
  """The first axis as the last ones."""
  return jnp.moveaxis(y, 0, -1).reshape(*y.shape[1:], *shape)
