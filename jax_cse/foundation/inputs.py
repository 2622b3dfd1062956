"""What the public functions ask of what they are given."""

from typing import Any

import jax.numpy as jnp


def require_callable(fun: Any, name: str) -> None:
  """Raises where a public function is called, not where its result is.

  Raises:
    TypeError: `fun` cannot be called; says what it is. `name` is that of the
      public function.
  """
  if not callable(fun):
    raise TypeError(f"{name} takes a function; got {type(fun).__name__}")


def require_dtype(x: Any, kind: Any, requirement: str) -> Any:
  """`x`, if its dtype is a sub-dtype of `kind`.

  Raises:
    TypeError: it is not; says `requirement`, and the dtype that it has.
  """
  dtype = getattr(x, "dtype", None)
  if dtype is None:
    dtype = jnp.result_type(x)
  if not jnp.issubdtype(dtype, kind):
    raise TypeError(f"{requirement}; got {dtype}")
  return x
