"""What the public functions ask of the arrays that they are given."""

from typing import Any

import jax.numpy as jnp


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
