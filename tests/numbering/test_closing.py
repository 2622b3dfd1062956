"""Closed expressions: cores, holes, and what is outside of them."""

import itertools

from absl.testing import absltest

from jax_cse.numbering.closing import Closing
from jax_cse.numbering.expressions import Expressions


class ClosingTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.e = Expressions(itertools.count().__next__)
    self.outside = [self.e.leaf() for _ in range(3)]

  def _add(self, a, b):
    number = self.e.of("add", sorted([a, b]))
    self.e.commuting.add(number)
    return number

  def _close(self, root, leaf, streams=()):
    return Closing(self.e, [leaf], dict(streams), [root]).close(
        [root], {leaf: 0})

  def test_what_does_not_vary_is_in_holes(self):
    e, (a, b, _) = self.e, self.outside
    leaf = e.leaf()
    fixed = e.of("sin", (a,))
    root = e.of("pair", (e.of("pair", (leaf, fixed)), b))
    cores, holes = self._close(root, leaf)
    self.assertEqual(holes, [fixed, b])
    other = e.leaf()
    same = e.of("pair", (e.of("pair", (other, b)), a))
    self.assertEqual(self._close(same, other), (cores, [b, a]))

  def test_the_order_of_what_commutes_does_not_matter(self):
    e, (a, b, _) = self.e, self.outside

    def closed(sine_first):
      leaf = e.leaf()
      terms = {"sin": lambda: e.of("sin", (e.of("pair", (leaf, a)),)),
               "cos": lambda: e.of("cos", (e.of("pair", (leaf, b)),))}
      names = ["sin", "cos"] if sine_first else ["cos", "sin"]
      return self._close(self._add(*[terms[name]() for name in names]), leaf)

    self.assertEqual(closed(True), closed(False))

  def test_values_of_other_sequences_are_holes(self):
    e, (sequence, _, _) = self.e, self.outside
    leaf, other = e.leaf(), e.leaf()
    root = e.of("pair", (leaf, e.of("sin", (other,))))
    cores, holes = self._close(root, leaf, {other: (("current",), sequence)})
    self.assertEqual(holes, [sequence])
    # A value that stays is not the same as one that varies.
    fixed, _ = self._close(e.of("pair", (leaf, e.of("sin", (sequence,)))), leaf)
    self.assertNotEqual(cores, fixed)

  def test_one_loop_in_another_has_names_of_its_own(self):
    """I + j, where j counts in the inner loop: not j + j, nor i + i."""
    e = self.e
    i, j = e.leaf(), e.leaf()
    inner, holes = self._close(self._add(i, j), j)
    self.assertEqual(holes, [i])
    twice, none = self._close(self._add(j, j), j)
    self.assertEmpty(none)
    self.assertNotEqual(inner, twice)
    outer = e.of(("loop", inner), holes)
    cores, holes = self._close(outer, i)
    self.assertEmpty(holes)
    self.assertNotEqual(cores, inner)


if __name__ == "__main__":
  absltest.main()
