"""Coefficients are rational numbers, as those of the library are."""

import operator

from absl.testing import absltest
from hypothesis import given
from hypothesis import strategies as st

from jax_cse.ring.coefficients import Ratio, over, simple

_fractions = st.fractions(-9, 9, max_denominator=9)


class CoefficientsTest(absltest.TestCase):

  @given(_fractions, _fractions)
  def test_as_fractions(self, a, b):
    x, y = simple(a), simple(b)
    for op in (operator.add, operator.sub, operator.mul, operator.eq,
               operator.lt, operator.ge, max):
      expected = op(a, b)
      for p, q in ((x, y), (x, b), (a, y)):
        self.assertEqual(op(p, q), expected)
    self.assertEqual((-x, abs(x), x**3, hash(x)), (-a, abs(a), a**3, hash(a)))
    if b:
      self.assertEqual(over(x, y), a / b)

  @given(_fractions, _fractions)
  def test_integers_are_integers(self, a, b):
    x, y = simple(a), simple(b)
    for z in (x, y, x * y, x + y, over(x, y) if y else x):
      self.assertIs(type(z), int if z.denominator == 1 else Ratio)


if __name__ == "__main__":
  absltest.main()
