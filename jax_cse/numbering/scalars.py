"""The arithmetic of `emission`, by primitives bound at the current trace."""

import math

from jax_cse import compat
from jax_cse.ring.coefficients import Coefficient


def constant(c: Coefficient, dtype):
  """A scalar that leaves the type of other operands as it is."""
  if compat.is_integer(dtype):
    return compat.weak_scalar(_wrapped(c, compat.iinfo(dtype)), dtype)
  return compat.weak_scalar(rounded(c), dtype)


class Arithmetic:
  """Binds at the current trace. Constants take the type of other operands."""

  add = staticmethod(compat.add_p.bind)
  sub = staticmethod(compat.sub_p.bind)
  mul = staticmethod(compat.mul)
  div = staticmethod(compat.div_p.bind)
  neg = staticmethod(compat.neg_p.bind)
  constant = staticmethod(constant)

  def power(self, x, exponent: int):
    if exponent == 2:
      return compat.square_p.bind(x)
    return compat.integer_pow_p.bind(x, y=exponent)

  def size(self, x) -> int:
    return math.prod(compat.typeof(x).shape)

  def fits(self, c: Coefficient, domain) -> bool:
    if compat.is_integer(domain):
      return True
    info = compat.finfo(domain)
    return float(info.tiny) <= abs(rounded(c)) <= float(info.max)


def _wrapped(c, info):
  return (c - int(info.min)) % 2**info.bits + int(info.min)


def fits_integer(c: int, dtype) -> bool:
  """Whether an integer is one of a dtype."""
  info = compat.iinfo(dtype)
  return info.min <= c <= info.max


def exact_factor(c: Coefficient, dtype) -> Coefficient | None:
  """A short factor that a type has without rounding; None for another."""
  whole = c.denominator == 1
  if not whole and (compat.is_integer(dtype)
                    or c.denominator & (c.denominator - 1)):
    return None
  most = 20 if compat.is_integer(dtype) else min(
      20, int(compat.finfo(dtype).nmant) + 1)
  bits = max(abs(c.numerator), c.denominator).bit_length()
  return c if c and bits <= most else None


def rounded(c: Coefficient) -> float:
  """The nearest float of 64 bits."""
  try:
    return c.numerator / c.denominator   # correctly rounded, of any size
  except OverflowError:
    return math.inf if c > 0 else -math.inf   # c may be no float itself
