"""Coefficients: exact rational numbers, and their values in a finite field.

    content([6, Fraction(4, 3)])      Fraction(2, 3), which divides both
    unit([-3, 1, 3], exact=False)     3, of which most are multiples by 1 or -1

Integers are held as `int`, so that most arithmetic is fast.
"""

from collections import Counter
from collections.abc import Iterable
from fractions import Fraction
import functools
import math

Coefficient = int | Fraction


class Ratio(Fraction):
  """A fraction whose hash is kept, and whose usual arithmetic is short.

  With fractions of the library a fifth of the time went into them, where
  nearly all coefficients are floats, as in code that was printed.
  """
  __slots__ = ("_kept",)
  _numerator: int   # of the library's class
  _denominator: int

  def __hash__(self) -> int:   # type: ignore[override]
    try:
      return self._kept
    except AttributeError:
      self._kept: int = super().__hash__()
      return self._kept

  def __eq__(self, other) -> bool:
    if type(other) is Ratio:
      return (self._numerator == other._numerator
              and self._denominator == other._denominator)
    return type(other) is not int and super().__eq__(other)

  def __neg__(self):
    return _ratio(-self._numerator, self._denominator)

  def __abs__(self):
    return self if self._numerator > 0 else -self

  def __mul__(self, other):
    if type(other) not in (int, Ratio):
      return super().__mul__(other)
    return _quotient(self._numerator * other.numerator,
                     self._denominator * other.denominator)

  __rmul__ = __mul__

  def __add__(self, other):
    if type(other) not in (int, Ratio):
      return super().__add__(other)
    n, d = other.numerator, other.denominator
    return _quotient(self._numerator * d + n * self._denominator,
                     self._denominator * d)

  __radd__ = __add__

  def __lt__(self, other) -> bool:
    if type(other) not in (int, Ratio):
      return super().__lt__(other)
    return (self._numerator * other.denominator
            < other.numerator * self._denominator)


def _ratio(numerator: int, denominator: int) -> Ratio:
  """Of integers without a common divisor, the second at least 2."""
  found = object.__new__(Ratio)
  found._numerator, found._denominator = numerator, denominator
  return found


def _quotient(numerator: int, denominator: int) -> "Coefficient":
  divisor = math.gcd(numerator, denominator)
  if denominator == divisor:
    return numerator // divisor
  return _ratio(numerator // divisor, denominator // divisor)


# How many elements the field has: the first prime above pi * 2**125. Modulo
# 2**127 - 1 powers of two come round: 2**-126 is 2, and so 1 - 2**-126 is -1.
P = 133628573008120843482460046645233847993
_SMALL = 2**11   # integers below are floats of every dtype from 16 bits on


@functools.lru_cache(4096)
def _inverse(denominator: int) -> int:
  return pow(denominator, -1, P)


def in_field(c: Coefficient) -> int:
  """An integer that stands for `c` modulo `P`."""
  if type(c) is int:
    return c
  return c.numerator * _inverse(c.denominator)


def simple(c: Coefficient) -> Coefficient:
  """The same number, an `int` if it is an integer."""
  if type(c) is int or type(c) is Ratio:
    return c
  return _quotient(c.numerator, c.denominator)


def over(c: Coefficient, divisor: Coefficient) -> Coefficient:
  """The quotient, an `int` if it is an integer."""
  if divisor == 1:
    return c
  n, d = c.numerator * divisor.denominator, c.denominator * divisor.numerator
  if not d:
    raise ZeroDivisionError(f"{c} over 0")
  return _quotient(n, d) if d > 0 else _quotient(-n, -d)


def content(coefficients) -> Coefficient:
  """The largest number that all coefficients are integer multiples of."""
  numerator, denominator = 0, 1
  for c in coefficients:
    numerator = math.gcd(numerator, c.numerator)
    denominator = math.lcm(denominator, c.denominator)
  return _quotient(numerator, denominator)


def unit(coefficients: Iterable[Coefficient], exact: bool) -> Coefficient:
  """The divisor that leaves few and usual coefficients in a sum.

  Small integers stay as they are, since they are exact in every dtype.
  """
  sizes: list[Coefficient] = sorted(
      -c if c < 0 else c for c in coefficients)
  if len(set(sizes)) == 1:
    return sizes[0]
  if exact or _are_small(sizes):
    return 1
  often = Counter(sizes)
  most = max(often.values())
  usual = [c for c, count in often.items() if count == most]
  return usual[len(usual) // 2]


def _are_small(coefficients):
  return all(type(c) is int and abs(c) < _SMALL for c in coefficients)
