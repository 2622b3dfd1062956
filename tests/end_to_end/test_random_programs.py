"""Random programs: with CSE they compute what they compute without.

`tools/fuzz` draws as many more as it is told, of the same kinds.
"""


import jax
from absl.testing import absltest
from absl.testing import parameterized

import checking
import mixed_programs
import random_programs

IN_THE_SUITE = {"flat eager": 300, "eager": 150, "flat traced": 200,
                "traced": 200, "dispatched": 20, "compiled": 20, "mixed": 40}


class RandomProgramsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.filtering = jax.config.jax_traceback_filtering
    # Programs that JAX refuses raise; filtering is most of the time of that.
    jax.config.update("jax_traceback_filtering", "off")

  def tearDown(self):
    jax.config.update("jax_traceback_filtering", self.filtering)
    super().tearDown()

  @parameterized.parameters(*IN_THE_SUITE)
  def test_nothing_is_seen(self, kind):
    counts = random_programs.run(kind, IN_THE_SUITE[kind], random_seed=0)
    # A comparison that compares nothing would pass as well.
    self.assertGreater(counts["bits"] + counts["rounding"],
                       0.7 * counts.total(), counts)

  def test_a_wrong_merge_is_found(self):
    for kind in ("flat eager", "traced"):
      with (self.subTest(kind), checking.params_do_not_count(),
            self.assertRaises(AssertionError)):
        random_programs.run(kind, 500, random_seed=0)

  def test_a_wrong_merge_of_types_is_found(self):
    program = [("convert", 1, 0), ("convert", 2, 1), ("callback", 0),
               ("binary", 0, 0, 2)]
    case = (program, (0, 0, 0, 0), 1, "none", "enabled exact")
    self.assertEqual(mixed_programs.check(case), "bits")
    with (checking.params_do_not_count(),
          self.assertRaisesRegex(AssertionError, "enabled exact")):
      mixed_programs.check(case)


if __name__ == "__main__":
  absltest.main()
