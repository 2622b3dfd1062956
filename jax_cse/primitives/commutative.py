"""Primitives whose operands may be swapped without changing a bit.

    lax.mul(x, y); lax.mul(y, x)      one equation

The bits decide, so each primitive is listed with the dtypes for which the swap
was checked, signed zeros, infinities and NaNs included:

- Integers and booleans: every symmetric operation.
- Real floats: `add`, `add_any` and `mul` of two numbers. When both operands are
  NaN the payload of the first is returned (`add(0x7fc00001, 0xffc00002)` and
  its swap differ on x86-64). A traced program does not promise that: XLA orders
  the operands itself, and returns the same bits for `x+y` and `y+x`. Eagerly
  each call is compiled alone and the payload shows, so floats are not swapped
  there.
- Complex: `add` works by component. `mul` is not listed: `re*im + im*re` swaps
  to the other order, and with a fused multiply-add 326 of 1000 products differ.
- `max` and `min` of floats are not listed: the order of `0.0` and `-0.0`
  decides which is returned.
- `eq` and `ne` return booleans and see no payload.
"""

import numpy as np

from jax_cse import compat

_EXACT = "biu"          # by kind of dtype: booleans and integers
_REAL = _EXACT + "fV"   # V: bfloat16 and the smaller floats and integers
_NUMBER = _REAL + "c"
_ANY = _NUMBER + "*"    # also eagerly, whatever the operands are

_kinds = {
    compat.add_p: _NUMBER, compat.add_any_p: _NUMBER, compat.mul_p: _REAL,
    compat.and_p: _EXACT, compat.or_p: _EXACT, compat.xor_p: _EXACT,
    compat.max_p: _EXACT, compat.min_p: _EXACT,
    compat.eq_p: _ANY, compat.ne_p: _ANY,
}


def kinds(primitive: compat.Primitive) -> str:
  """The kinds of dtype on which `primitive` may swap; empty for never."""
  return _kinds.get(primitive, "")


def may_swap(allowed: str, dtype: np.dtype, eager: bool) -> bool:
  """Whether operands of `dtype` may be swapped, given `kinds(primitive)`."""
  if allowed is _ANY:
    return True
  kind = getattr(dtype, "kind", "*")
  return kind in (_EXACT if eager else allowed) and kind in allowed
