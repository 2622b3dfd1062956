"""Numbers of expressions, without a trace: substitutions and fixpoints."""

import itertools

from absl.testing import absltest
from jax import lax
import numpy as np

from jax_cse.numbering import congruence
from jax_cse.numbering import jaxpr_numbering
from jax_cse.numbering import keys
from jax_cse.numbering import value_numbering
from jax_cse.numbering.closing import Closing
from jax_cse.numbering.expressions import Expressions


class ExpressionsTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.e = Expressions(itertools.count().__next__)

  def test_greatest_fixpoint(self):
    fixpoint = congruence.greatest_fixpoint
    self.assertEqual(fixpoint("aab", lambda c: [c[1], c[0], c[2]]), [0, 0, 1])
    self.assertEqual(fixpoint("aab", lambda c: [c[2], c[0], c[2]]), [0, 1, 2])
    self.assertEqual(fixpoint("", lambda c: []), [])
    # One parts in each round, the last from the one before it.
    self.assertEqual(fixpoint("aaaa", lambda c: [c[1], c[2], c[3], "b"]),
                     [0, 1, 2, 3])

  def test_import_many_results(self):
    e = self.e
    x, y = e.leaf(), e.leaf()
    pair = e.enter(("both", None, x), 1, 2)
    swapped = e.imported(e, [pair[1], x, pair[0], y], {x: y, y: y})
    other = e.known["both", None, y][1]
    self.assertEqual(swapped, [other[1], y, other[0], y])

  def test_import_where_keys_are_equal_and_params_are_not(self):
    e = self.e
    x, y = e.leaf(), e.leaf()
    # As 1 and True: the key does not tell the params apart.
    first, = e.enter(("op", None, x, "s", 1), 1, 1, {"s": 1})
    other, = e.enter(("op", None, y, "s", True), 1, 1, {"s": True})
    self.assertNotEqual(e.imported(e, [first], {x: y}), [other])

  def test_what_has_no_key_is_a_leaf(self):
    scope = jaxpr_numbering.Scope(value_numbering.Numbering(lambda trace: None))
    x, plan = scope.leaf(), keys.plan_of(lax.sin_p)
    numbers = {scope.number(plan, None, [x], {"large": np.zeros(10_000)})
               for _ in range(2)}
    self.assertLen(numbers, 2)
    for n in numbers:
      self.assertEmpty(scope.expressions.parts(n))

  def test_import_into_other_expressions(self):
    e, constant = self.e, 99
    there = Expressions(itertools.count(100).__next__)
    x, y, private = there.leaf(), there.leaf(), there.leaf()
    a, b = self.e.leaf(), self.e.leaf()
    numbers = [there.of("f", (x, y)), there.of("g", (private, constant))]
    known = e.of("f", (a, b))
    for _ in range(2):
      f, g = e.imported(there, numbers, {x: a, y: b})
      self.assertEqual(f, known)
      self.assertEqual(e.parts(g)[1], constant)
    # What is private is new each time, and the same in one import.
    again, = e.imported(there, numbers[1:], {x: a, y: b})
    self.assertNotEqual(again, g)
    g, h = e.imported(there, [numbers[1], there.of("h", (private,))], {})
    self.assertEqual(e.parts(g)[0], e.parts(h)[0])

  def test_deep_expressions(self):
    e = self.e
    x, y = e.leaf(), e.leaf()
    deep = {x: x, y: y}
    for leaf in deep:
      for _ in range(10_000):
        deep[leaf] = e.of("sin", (deep[leaf],))
    self.assertEqual(e.imported(e, [deep[x]], {x: y}), [deep[y]])

  def test_sequences_of_two_loops(self):
    e = self.e
    zero, one = e.leaf(), e.leaf()

    def fibonacci(order):
      leaves = [e.leaf(), e.leaf()]
      a, b = (leaves[i] for i in order)
      steps = {order[0]: b, order[1]: e.of("add", (a, b))}
      starts = {order[0]: zero, order[1]: one}
      stepped = [steps[0], steps[1]]
      return congruence.sequences(e, [starts[0], starts[1]], leaves, stepped,
                                  Closing(e, leaves, {}, stepped))

    there, back = fibonacci([0, 1]), fibonacci([1, 0])
    self.assertEqual(there, back[::-1])
    self.assertNotEqual(*there)


if __name__ == "__main__":
  absltest.main()
