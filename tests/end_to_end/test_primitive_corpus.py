"""A sample of the primitive corpus over all its primitives; see the module."""

import itertools

from absl.testing import absltest
from jax import lax
from jax._src.internal_test_util import test_harnesses
import numpy as np

import checking
import corpus_roads
import primitive_corpus

PER_PRIMITIVE = 1


class PrimitiveCorpusTest(absltest.TestCase):

  def test_a_sample_of_every_primitive(self):
    chosen = primitive_corpus.sample(PER_PRIMITIVE)
    self.assertEqual({c.group_name for c in chosen},
                     {c.group_name for c in primitive_corpus.cases()})
    hits = 0
    for case in chosen:
      with self.subTest(case.fullname):
        hits += "hit" in primitive_corpus.check(case).split(" and ")
    self.assertGreater(hits, 0.9 * len(chosen))

  def test_a_sample_by_every_road(self):
    # Two roads for each primitive, so that all of them come round.
    taken = itertools.cycle(corpus_roads.DEFAULT)
    for case in primitive_corpus.sample(1):
      for road, outcome in primitive_corpus.outcomes(
          case, [next(taken), next(taken)]):
        with self.subTest(case.fullname, road=road):
          self.assertNotIsInstance(outcome, Exception, outcome)

  def test_a_random_number_by_the_roads_that_rebuild(self):
    # Of which a constant is the smallest number of its type.
    name = "random_categorical_shape_float32_5_4_axis_1"
    case, = (c for c in primitive_corpus.cases() if c.fullname == name)
    for road, outcome in primitive_corpus.outcomes(
        case, ["cse ring", "cse_jaxpr ring", "derivatives 1"]):
      with self.subTest(road):
        self.assertNotIsInstance(outcome, Exception, outcome)

  def test_a_wrong_merge_is_seen(self):
    case = test_harnesses.Harness(
        "slice", "two",
        lambda x: lax.slice(x, (0,), (2,)) - lax.slice(x, (1,), (3,)),
        [test_harnesses.RandArg((3,), np.float32)], dtype=np.float32)
    self.assertEqual(primitive_corpus.check(case), "hit")
    with (checking.params_do_not_count(),
          self.assertRaisesRegex(AssertionError, "slice_two")):
      primitive_corpus.check(case)


if __name__ == "__main__":
  absltest.main()
