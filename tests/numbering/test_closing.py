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

  def test_values_that_stay_are_in_holes(self):
    e, (a, b, _) = self.e, self.outside
    leaf = e.leaf()
    fixed = e.of("sin", (a,))
    root = e.of("pair", (e.of("pair", (leaf, fixed)), b))
    cores, holes = self._close(root, leaf)
    self.assertEqual(holes, (fixed, b))
    other = e.leaf()
    same = e.of("pair", (e.of("pair", (other, b)), a))
    self.assertEqual(self._close(same, other), (cores, (b, a)))
    repeated = e.of("pair", (e.of("pair", (other, b)), b))
    self.assertNotEqual(self._close(repeated, other)[0], cores)

  def test_the_order_of_what_commutes_does_not_matter(self):
    e, (a, b, _) = self.e, self.outside

    def closed(sine_first):
      leaf = e.leaf()
      terms = {"sin": lambda: e.of("sin", (e.of("pair", (leaf, a)),)),
               "cos": lambda: e.of("cos", (e.of("pair", (leaf, b)),))}
      names = ["sin", "cos"] if sine_first else ["cos", "sin"]
      return self._close(self._add(*[terms[name]() for name in names]), leaf)

    self.assertEqual(closed(True), closed(False))

  def test_values_of_other_sequences_are_in_holes(self):
    e, (sequence, _, _) = self.e, self.outside
    leaf, other = e.leaf(), e.leaf()
    root = e.of("pair", (leaf, e.of("sin", (other,))))
    cores, holes = self._close(root, leaf, {other: (("current",), sequence)})
    self.assertEqual(holes, (sequence,))
    # A value that stays is not the same as one that varies.
    fixed, _ = self._close(e.of("pair", (leaf, e.of("sin", (sequence,)))), leaf)
    self.assertNotEqual(cores, fixed)

  def test_one_loop_in_another_has_names_of_its_own(self):
    """f(i, j), where j counts in the inner loop, and f(j, i)."""
    e = self.e

    def nested(swapped):
      i, j = e.leaf(), e.leaf()
      inner = e.of("f", (j, i) if swapped else (i, j))
      cores, holes = self._close(inner, j)
      self.assertEqual(holes, (i,))
      return self._close(e.of(("loop", cores), holes), i)

    self.assertEqual(nested(False), nested(False))
    self.assertNotEqual(nested(False), nested(True))
    self.assertEqual(nested(True)[1], ())

  def test_results_of_one_operation(self):
    e, (a, _, _) = self.e, self.outside
    leaf = e.leaf()
    first, second = e.enter(("both", None, leaf, a), 2, 2)
    closing = Closing(e, [leaf], {}, [first, second])
    cores, holes = closing.close([second, first, a], {leaf: 0})
    self.assertEqual(holes, (a,))
    self.assertLen(set(cores), 3)

  def test_equal_keys_of_other_params(self):
    """As 1 and True, which the key does not tell apart."""
    e, leaf = self.e, self.e.leaf()
    one, = e.enter(("op", None, leaf, "s", 1), 1, 1, {"s": 1})
    cores, _ = self._close(one, leaf)
    other = e.leaf()
    true, = e.enter(("op", None, other, "s", True), 1, 1, {"s": True})
    self.assertNotEqual(self._close(true, other)[0], cores)

  def test_nothing_varies(self):
    e, (a, b, _) = self.e, self.outside
    cores, holes = Closing(e, [], {}, [a, b]).close([b, a], {})
    self.assertEqual(holes, (b, a))
    self.assertLen(cores, 2)

  def test_shared_parts_are_closed_once(self):
    work = []
    for count in (50, 100):
      e = Expressions(itertools.count().__next__)
      leaf = e.leaf()
      roots = [leaf]
      for _ in range(count):
        roots.append(e.of("sin", (roots[-1],)))
      closing = Closing(e, [], {leaf: (("current",), e.leaf())}, roots)
      before = e.leaf()
      for root in roots:
        closing.close([root], {})
      work.append(e.leaf() - before)
    self.assertLess(work[1], 2.1 * work[0])


if __name__ == "__main__":
  absltest.main()
