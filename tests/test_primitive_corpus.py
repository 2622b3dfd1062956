"""A sample of the primitive corpus over all its primitives; see the module."""

from unittest import mock

from absl.testing import absltest
from jax import lax
from jax._src.internal_test_util import test_harnesses
import numpy as np

from jax_cse.numbering import keys
import primitive_corpus

PER_PRIMITIVE = 2


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

  def test_a_wrong_merge_is_seen(self):
    # Planted: params do not count, so that slices [0:2] and [1:3] are the same.
    case = test_harnesses.Harness(
        "slice", "two",
        lambda x: lax.slice(x, (0,), (2,)) - lax.slice(x, (1,), (3,)),
        [test_harnesses.RandArg((3,), np.float32)], dtype=np.float32)
    self.assertEqual(primitive_corpus.check(case), "hit")
    of = lambda plan, context, numbers, params: (plan.number, context, *numbers)
    with (mock.patch.object(keys, "of", of),
          mock.patch.object(keys, "agree", lambda *_: True),
          self.assertRaisesRegex(AssertionError, "slice_two")):
      primitive_corpus.check(case)


if __name__ == "__main__":
  absltest.main()
