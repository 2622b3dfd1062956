"""What the public functions ask of the arrays that they are given."""

import jax.numpy as jnp


def require_dtype(x, kind, requirement: str):
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
