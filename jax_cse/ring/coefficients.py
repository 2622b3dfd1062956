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
  return c.numerator if c.denominator == 1 else c


def over(c: Coefficient, divisor: Coefficient) -> Coefficient:
  """The quotient, an `int` if it is an integer."""
  return c if divisor == 1 else simple(Fraction(c) / divisor)


def content(coefficients) -> Coefficient:
  """The largest number that all coefficients are integer multiples of."""
  numerator, denominator = 0, 1
  for c in coefficients:
    numerator = math.gcd(numerator, c.numerator)
    denominator = math.lcm(denominator, c.denominator)
  return numerator if denominator == 1 else Fraction(numerator, denominator)


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
