"""Primitives whose operands may be swapped without changing a bit.

    lax.mul(x, y); lax.mul(y, x)      one equation

What decides is the bits, so each primitive is listed with the dtypes for which
the swap was checked, signed zeros, infinities and NaNs included:

- Integers and booleans: every symmetric operation.
- Real floats: `add`, `add_any` and `mul` of two numbers. When both operands are
  NaN the payload of the first is returned (`add(0x7fc00001, 0xffc00002)` and
  its swap differ on x86-64). In a traced program that is not a promise: XLA
  orders the operands itself, and returns the same bits for `x+y` and `y+x`.
  Eagerly each call is compiled alone and the payload can be told, so there
  floats are not swapped.
- Complex: `add` works by component. `mul` is not listed: `re*im + im*re` swaps
  to the other order, and with a fused multiply-add 326 of 1000 products differ.
- `max` and `min` of floats are not listed: of `0.0` and `-0.0` either may be
  returned, by position.
- `eq` and `ne` return booleans and see no payload.
"""

import numpy as np

from jax_cse import compat

_EXACT = "biu"
_REAL = "biufV"   # V: bfloat16 and the 8-bit floats, which NumPy calls void
_NUMBER = "biufVc"

_dtype_kinds = {
    "add": _NUMBER, "add_any": _NUMBER, "mul": _REAL,
    "and": _EXACT, "or": _EXACT, "xor": _EXACT,
    "max": _EXACT, "min": _EXACT,
}
_comparisons = frozenset({"eq", "ne"})

NAMES = frozenset({*_dtype_kinds, *_comparisons})


def may_swap(primitive: compat.Primitive, dtype: np.dtype,
             eager: bool) -> bool:
  """Whether `primitive` on two operands of `dtype` may have them swapped."""
  name = primitive.name
  if name in _comparisons:
    return True
  kinds = _dtype_kinds.get(name, "")
  kind = getattr(dtype, "kind", "")
  return kind in kinds and (kind in _EXACT or not eager) and kind != ""
