"""Sums of second derivatives: `laplacian`, `value_grad_laplacian`."""

from collections.abc import Callable
import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jax_cse.checking import verification
from jax_cse.directions import sparse_directions
from jax_cse.directions.second_derivatives import (
    Along, directions_of, last, SecondDerivatives)
from jax_cse.foundation import inputs

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
    directions = directions_of(coefficients, x, summed)
    derived = SecondDerivatives(fun, x, directions, summed)
    outs = _early(derived, lambda along: along.second, "laplacian", check)
    result: _Result = derived.result(outs, zeros=_float0)
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
    derived = SecondDerivatives(fun, x, directions_of(None, x, True), True)
    outs = _early(derived, lambda along: [
        *along.values, *(last(y, x.shape) for y in along.first),
        *along.second], "value_grad_laplacian", check)
    n = derived.num_values
    moving = (len(outs) - n) // 2
    value: _Result = jax.tree.unflatten(derived.structure, outs[:n])
    gradient = derived.result(outs[n:n + moving], zeros=lambda y: _float0(
        jax.ShapeDtypeStruct((*y.shape, *x.shape), y.dtype)))
    second: _Result = derived.result(outs[n + moving:], zeros=_float0)
    return value, gradient, second

  return all_of


def _real(x: Any, name: str) -> jax.Array:
  return jnp.asarray(inputs.require_dtype(
      x, jnp.floating, f"{name} requires a real-valued array (a dtype that is "
      "a sub-dtype of np.floating)"))


def _float0(y: Any) -> np.ndarray:
  return np.zeros(y.shape, jax.dtypes.float0)


def _early(derived: SecondDerivatives, chosen: Callable[[Along], list[Any]],
           name: str, check: bool) -> list[Any]:
  """What is chosen of the derivatives, sums taken early."""
  def flat(*operands: Any) -> list[Any]:
    return chosen(derived.of(*operands))

  def early(flat: Callable[..., list[Any]]) -> Callable[..., list[Any]]:
    return sparse_directions.early(flat, derived.known)

  if not check:
    return early(flat)(*derived.operands)
  derived.show_known()
  outs: list[Any] = verification.checked(
      flat, derived.operands, verification.Road(
          name, lambda flat: flat, early))
  return outs
