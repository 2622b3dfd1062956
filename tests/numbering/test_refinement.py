"""Classes of carries by refinement: those of the greatest fixpoint."""

import itertools

from absl.testing import absltest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_cse.numbering import congruence
from jax_cse.numbering import refinement
from jax_cse.numbering.closing import Closing
from jax_cse.numbering.expressions import Expressions


def _steps(*of_two):
  return st.recursive(
      st.integers(0, 4), lambda inner: st.one_of(
          st.tuples(st.sampled_from("fg"), inner),
          st.tuples(st.sampled_from(of_two), inner, inner)),
      max_leaves=6)



def _number(e, step, leaves):
  if isinstance(step, int):
    return leaves[step % len(leaves)]
  operation, *parts = step
  numbers = [_number(e, part, leaves) for part in parts]
  if operation != "add":
    return e.of(operation, numbers)
  number = e.of(operation, sorted(numbers))
  e.commuting.add(number)
  return number


def _by_passes(starts, steps, num_fixed):
  """The greatest fixpoint, by numbering the steps anew in each pass."""
  e = Expressions(itertools.count().__next__)

  def after(classes):
    leaf_of = {c: e.of(("class", c), ()) for c in classes}
    leaves = [leaf_of[c] for c in classes]
    return [*(_number(e, step, leaves) for step in steps),
            *leaves[len(steps):]]

  return congruence.greatest_fixpoint(starts, after)


class RefinementTest(absltest.TestCase):

  @given(st.data())
  @settings(max_examples=500, deadline=None)
  def test_the_greatest_fixpoint(self, data):
    count = data.draw(st.integers(1, 5))
    num_fixed = data.draw(st.integers(0, 2))
    starts = data.draw(st.lists(st.integers(0, 2), min_size=count,
                                max_size=count))
    steps = data.draw(st.lists(_steps("pair", "add"), min_size=count,
                               max_size=count))
    e = Expressions(itertools.count(10).__next__)
    fixed = list(range(num_fixed))
    leaves = [e.leaf() for _ in range(count)]
    numbers = [_number(e, step, [*leaves, *fixed]) for step in steps]
    found = refinement.coarsest(e, starts, leaves, numbers, fixed)
    self.assertEqual(congruence.index(found),
                     _by_passes([*starts, *fixed], steps, num_fixed))

  @given(st.data())
  @settings(max_examples=500, deadline=None)
  def test_names_of_carries_do_not_depend_on_their_order(self, data):
    count = data.draw(st.integers(1, 4))
    # In a sum of carries that differ in their starts alone they do.
    steps = data.draw(st.lists(_steps("pair"), min_size=count, max_size=count))
    order = data.draw(st.permutations(range(count)))
    e = Expressions(itertools.count(10).__next__)

    def names(order):
      leaf_of = {i: e.leaf() for i in order}
      leaves = [leaf_of[i] for i in range(count)]
      step_of = {i: _number(e, steps[i], leaves) for i in order}
      found = congruence.sequences(
          e, list(order), [leaf_of[i] for i in order],
          [step_of[i] for i in order], Closing(
              e, list(leaf_of.values()), {}, list(step_of.values())))
      return dict(zip(order, found))

    self.assertEqual(names(range(count)), names(order))

  def test_swapped_operands_of_what_commutes(self):
    e = Expressions(itertools.count().__next__)
    a, b, c, d = leaves = [e.leaf() for _ in range(4)]
    steps = [e.of("add", (a, c)), e.of("add", (b, d)),
             e.of("sub", (a, c)), e.of("sub", (d, b))]
    classes = lambda: congruence.index(
        refinement.coarsest(e, [0, 0, 1, 1], leaves, steps))
    self.assertEqual(classes(), [0, 1, 2, 3])
    steps[2:] = e.of("sub", (a, c)), e.of("sub", (b, d))
    self.assertEqual(classes(), [0, 0, 1, 1])
    steps[1] = e.of("add", (d, b))
    self.assertEqual(classes(), [0, 1, 2, 3])
    e.commuting.update(steps[:2])
    self.assertEqual(classes(), [0, 0, 1, 1])

  def test_what_parts_one_by_one_takes_few_looks(self):
    looks = []
    for count in (50, 100, 200):
      e = Expressions(itertools.count().__next__)
      leaves = [e.leaf() for _ in range(count)]
      steps = [e.of("g" if i == 0 else "f", (leaves[max(i - 1, 0)],))
               for i in range(count)]
      seen = []
      parts = e.parts
      e.parts = lambda n, parts=parts, seen=seen: seen.append(n) or parts(n)
      classes = refinement.coarsest(e, [0] * count, leaves, steps)
      self.assertLen(set(classes), count)
      looks.append(len(seen))
    self.assertLess(looks[2], 4.5 * looks[0])


if __name__ == "__main__":
  absltest.main()
