"""Arrays of one number, zeros or ones, as series of Taylor mode are."""

import jax
import numpy as np

from jax_cse.compat.arrays import is_extended, is_float0, placement
from jax_cse.compat.primitives import KEEP_CONSTANTS
from jax_cse.compat.programs import Literal
from jax_cse.compat.traces import (
    BatchTracer, DynamicJaxprTracer, JVPTracer, LinearizeTracer, Tracer, Zero)


def known_number(x) -> int | None:
  """0 or 1, if a value is known to be that in all of its elements.

  Limits: an array is looked into on a CPU only; elsewhere that takes a copy.
  """
  if isinstance(x, BatchTracer):
    return known_number(x.val)
  if isinstance(x, JVPTracer | LinearizeTracer):
    return known_number(x.primal) if isinstance(x.tangent, Zero) else None
  if isinstance(x, DynamicJaxprTracer):
    return _number_of_staged(x)
  if isinstance(x, Tracer):
    return None
  if is_float0(x):
    return 0
  # Where an array was placed, what it is multiplied by goes as well.
  if placement(x) or (isinstance(x, jax.Array) and not all(
      device.platform == "cpu" for device in x.devices())):
    return None
  if isinstance(x, jax.Array) and is_extended(x.dtype):
    return None
  values = np.asarray(x)
  if not values.size:
    return 0
  first = values.flat[0]
  return int(first.real) if first in (0, 1) and (
      values == first).all() else None


def _number_of_staged(x):
  if isinstance(x.val, Literal):
    return known_number(x.val.val)
  if x.parent is None or x.parent.primitive not in KEEP_CONSTANTS:
    return None
  return known_number(x.parent.in_tracers[0])
