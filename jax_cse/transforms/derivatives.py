"""`derivatives`: all derivatives along a direction, up to an order, at once."""

from collections.abc import Callable
import functools
from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from jax_cse import compat
from jax_cse.foundation import inputs
from jax_cse.rebuild import curves
from jax_cse.rebuild import nested_jvp
from jax_cse.rebuild import reverse_mode
from jax_cse.checking import verification

_Result = TypeVar("_Result", covariant=True)


class Derivatives(Protocol[_Result]):
  """The result of `derivatives`: a function of a point and a direction."""

  def __call__(self, x: Any, v: Any = None) -> tuple[_Result, ...]: ...


def derivatives(fun: Callable[[Any], _Result], order: int, *,
                check: bool = False) -> Derivatives[_Result]:
  """Derivatives of all orders up to `order`, along a direction.

      f, df, ddf, dddf = jax_cse.derivatives(fun, 3)(x)

  They are those of nested `jvp`, from one trace of `fun`. Each value in it is
  derived once at each order, by JAX's own rules except for quotients and tanh,
  so `fun` may contain whatever JAX differentiates. The result is simplified as
  a whole (see `cse`, mode "ring"). It composes with `jit`, `vmap`, `grad` and
  the others.

  Args:
    fun: a function of one argument, a pytree of arrays of real or complex
      numbers. Its result is any pytree of arrays.
    order: the highest order, not negative.
    check: whether to compare the results with those of plain nested `jvp`, as
      `cse` does. That takes 2**order times as long as `fun`, and more.

  Returns:
    A function of `x` and, optionally, of a direction `v`, a pytree of the same
    structure, shapes and dtypes; elementwise 1 if not given. It returns a
    tuple of `order + 1` results like those of `fun`: `fun(x)`, and the k-th
    derivative of `fun(x + t * v)` with respect to `t` at 0, for k from 1 to
    `order`. Where a result is of integers or booleans, these are zeros of
    dtype `float0`, as those of `jvp`.

  Raises:
    ValueError: `order` is negative, or `fun` cannot be checked.
    CheckFailed: the results differ; names the equation, its line and the order.
    TypeError: `fun` is not callable; `order` is not an integer; `x` is not of
      numbers that JAX differentiates, or `v` is not like `x`.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: the propagation of derivatives is Taylor mode's, Griewank and Walther
  2008, chapter 13; simplification between levels is the thread's,
  github.com/jax-ml/jax/issues/520.
  """
  inputs.require_callable(fun, "derivatives")
  if isinstance(order, bool) or not isinstance(order, int | np.integer):
    raise TypeError(f"order must be an integer; got {order!r}")
  if order < 0:
    raise ValueError(f"order must be 0 or more; got {order}")

  @functools.wraps(fun)
  def derived(x: Any, v: Any = None) -> tuple[_Result, ...]:
    leaves, structure = jax.tree.flatten(x)
    leaves = [inputs.require_dtype(
        leaf, jnp.inexact, "derivatives requires real- or complex-valued "
        "inputs (dtypes that are sub-dtypes of np.inexact)") for leaf in leaves]
    if v is None:
      directions = [1] * len(leaves)
    else:
      directions = list(map(
          _number_or_array, _check_directions(leaves, structure, v)))
    store: list[Any] = []

    def flat(*operands: Any) -> list[Any]:
      outs, out_structure = jax.tree.flatten(
          fun(jax.tree.unflatten(structure, operands)))
      store.append(out_structure)
      return outs

    if check:
      levels = _checked(flat, leaves, directions, int(order))
    else:
      levels = _derive(flat, leaves, directions, int(order))
    return tuple(jax.tree.unflatten(store[0], outs) for outs in levels)

  return derived


def _derive(flat: Callable[..., Any], leaves: list[Any], directions: list[Any],
            order: int) -> list[list[Any]]:
  return curves.derive(reverse_mode.reordered("ring")(flat), leaves,
                       [[v] for v in directions], order)


def _checked(flat: Callable[..., Any], leaves: list[Any],
             directions: list[Any], order: int) -> list[list[Any]]:
  """The derivatives, compared with those of nested `jvp`."""
  def split(operands: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    given = iter(operands[len(leaves):])
    return list(operands[:len(leaves)]), [
        v if isinstance(v, int) else next(given) for v in directions]

  def plain(fun: Callable[..., Any]) -> Callable[..., Any]:
    def along(*operands: Any) -> Any:
      xs, vs = split(operands)
      return nested_jvp.derivatives(
          fun, [[x, jnp.full_like(x, v) if isinstance(v, int) else v]
                for x, v in zip(xs, vs)], order)
    return along

  def rebuilt(fun: Callable[..., Any]) -> Callable[..., Any]:
    return lambda *operands: _derive(fun, *split(operands), order)

  given = [v for v in directions if not isinstance(v, int)]
  levels: list[list[Any]] = verification.checked(
      flat, [*leaves, *given], verification.Road(
          f"derivatives(order={order})", plain, rebuilt, len(leaves),
          is_derived=True))
  return levels


def _number_or_array(v: Any) -> Any:
  number = compat.known_number(v)
  return v if number is None else number


def _check_directions(leaves: list[Any], structure: Any, v: Any
                      ) -> list[Any]:
  directions, other = jax.tree.flatten(v)
  if other != structure:
    raise TypeError("the direction must have the structure of the point: got "
                    f"{other}, wanted {structure}")
  for x, d in zip(leaves, directions):
    have = jnp.shape(d), jnp.result_type(d)
    want = jnp.shape(x), jnp.result_type(x)
    if have != want:
      raise TypeError("the direction must have the shapes and dtypes of the "
                      f"point: got {have}, wanted {want}")
  return directions
