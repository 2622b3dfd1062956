"""What the public functions ask of what they are given."""

from typing import Any

import jax.numpy as jnp


def require_callable(fun: Any, name: str) -> None:
  """Checks `fun` at once, not when the function that is returned is called.

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
