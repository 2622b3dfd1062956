"""`laplacian`: the sum of the second derivatives along all coordinates."""

from collections.abc import Callable
import functools
from typing import Any, TypeVar

import jax
import jax.numpy as jnp

from jax_cse.foundation import inputs
from jax_cse.transforms.cse import cse

_Result = TypeVar("_Result")


def laplacian(fun: Callable[[Any], _Result], *, check: bool = False
              ) -> Callable[[Any], _Result]:
  """The Laplacian of a function of an array.

      y = jax_cse.laplacian(fun)(x)    # the traces of the Hessians

  It is plain nested `jvp` along the coordinates, simplified as a whole (see
  `cse`, mode "ring"). The sum over the coordinates enters linear maps, so each
  layer of a network is passed once for the value, once for each coordinate and
  once for the Laplacian. Nested `jvp` passes it twice for each coordinate. It
  composes with `jit`, `vmap`, `grad` and itself.

  Args:
    fun: a function of one array of real numbers, of any shape. Its result is
      any pytree of arrays.
    check: whether to compare the result with that of plain nested `jvp`, as
      `cse` does.

  Returns:
    A function of `x` whose result has the structure, shapes and dtypes of that
    of `fun`: for each number in it, the sum over the elements of `x` of the
    second derivative with respect to the element. Its unit is that of the
    number over that of `x` squared. For integers and booleans it is zeros of
    dtype `float0`, as `jvp` has them.

  Raises:
    TypeError: `fun` is not callable; `x` is not an array of real floating-point
      numbers.
    ValueError: `fun` cannot be checked.
    CheckFailed: the results differ; names the equation and its line.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: Li et al. 2023, "Forward Laplacian", for the scheme; Dangel et al.
  2025, who call it collapsing, for its derivation from nested `jvp`.
  """
  inputs.require_callable(fun, "laplacian")

  @functools.wraps(fun)
  def summed(x: Any) -> Any:
    basis = jnp.eye(x.size, dtype=x.dtype).reshape(x.size, *x.shape)
    store: list[Any] = []

    def second(v: jax.Array) -> list[jax.Array]:
      first = lambda y: jax.jvp(fun, (y,), (v,))[1]
      leaves, structure = jax.tree.flatten(jax.jvp(first, (x,), (v,))[1])
      constant = [y if y.dtype == jax.dtypes.float0 else None for y in leaves]
      store[:] = structure, constant
      return [y for y, zero in zip(leaves, constant) if zero is None]

    along = iter(jax.vmap(second)(basis))
    structure, constant = store
    return jax.tree.unflatten(structure, [
        next(along).sum(0) if zero is None else zero for zero in constant])

  simplified = cse(summed, check=check)

  @functools.wraps(fun)
  def laplacian_of(x: Any) -> _Result:
    result: _Result = simplified(jnp.asarray(inputs.require_dtype(
        x, jnp.floating, "laplacian requires a real-valued array (a dtype that "
        "is a sub-dtype of np.floating)")))
    return result

  return laplacian_of
