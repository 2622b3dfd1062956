"""Checks of the arguments of public functions."""

from typing import Any

import jax.numpy as jnp


def require_callable(fun: Any, name: str) -> None:
  """Checks that `fun` is callable, before the returned function is called.

  Raises:
    TypeError: it is not; the message has its type, and `name`, that of the
      public function.
  """
  if not callable(fun):
    raise TypeError(f"{name} takes a function; got {type(fun).__name__}")


def require_dtype(x: Any, kind: Any, requirement: str) -> Any:
  """`x`, if its dtype is a sub-dtype of `kind`.

  Raises:
    TypeError: it is not; the message has `requirement` and the dtype.
  """
  dtype = getattr(x, "dtype", None)
  if dtype is None:
    dtype = jnp.result_type(x)
  if not jnp.issubdtype(dtype, kind):
    raise TypeError(f"{requirement}; got {dtype}")
  return x
