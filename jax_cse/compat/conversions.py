"""Conversions of floats to integers, which JAX and XLA do not do alike.

Of a float that an integer type has not, XLA takes the nearest integer that it
has, and 0 of NaN. While JAX traces it converts a literal itself, as NumPy does:
300 + 300 is 127 as an int8 by XLA, and a literal 600 is 88.

So a number that was computed has to be converted as XLA does, also where it is
a literal by now, and a literal of the program as JAX does.

Limits: in mode "ring" a literal that a call returns which JAX inlines counts as
computed, but under nested `jvp` as one of the program.
"""

import math
from typing import Any

from jax._src import core
from jax._src import dtypes
from jax._src.interpreters import partial_eval as pe
from jax._src.literals import TypedNdArray
import numpy as np

from jax_cse.compat.primitives import convert_element_type_p

# What JAX makes of constants while it traces, by primitive.
FOLDING_RULES: dict[Any, Any] = pe.const_fold_rules


def is_on_host(x) -> bool:
  """Whether a value is a number or array on the host, as JAX folds."""
  return isinstance(x, (np.ndarray, np.generic, bool, int, float, complex))


def saturated(primitive, operands, params):
  """The integer that XLA makes of a float on the host; None for any other
  bind."""
  if primitive is not convert_element_type_p or params["sharding"] is not None:
    return None
  x, = operands
  dtype = params["new_dtype"]
  if not (is_on_host(x) and np.ndim(x) == 0
          and dtypes.issubdtype(core.typeof(x).dtype, np.inexact)
          and dtypes.issubdtype(dtype, np.integer)):
    return None
  value, info = np.asarray(x).astype(complex).item().real, dtypes.iinfo(dtype)
  whole = 0 if math.isnan(value) else int(
      min(max(value, int(info.min)), int(info.max)))
  return TypedNdArray(np.asarray(whole).astype(dtype), aval=core.ShapedArray(
      (), dtype, weak_type=params["weak_type"]))
