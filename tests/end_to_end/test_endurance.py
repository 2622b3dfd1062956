"""A training of some hundred steps under CSE: no table grows.

tools/endurance trains for an hour, and looks at the memory too.
"""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from jax_cse.numbering import value_numbering
from long_training import endurance

STEPS = 160
MAX_BYTES = 1 << 20           # of the eager table, full after 12 steps
MAX_CONSTANT_BYTES = 1 << 16  # full after 45 steps


class EnduranceTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    for module, name, value in (
        (value_numbering, "_MAX_CONSTANT_BYTES", MAX_CONSTANT_BYTES),
        (endurance, "LOOK_EVERY", 1), (endurance, "TRACE_EVERY", 40),
        (endurance, "CLEAR_EVERY", 80)):
      self.enter_context(mock.patch.object(module, name, value))

  def peaks(self, way, steps, max_bytes):
    peaks = endurance.Peaks(steps)
    endurance.run(way, steps, lambda step, memo: peaks.note(
        step, endurance.sizes(memo)), max_bytes)
    return peaks

  @parameterized.parameters("one context", "a context per step")
  def test_no_table_grows(self, way):
    peaks = self.peaks(way, STEPS, MAX_BYTES)
    self.assertEmpty(peaks.grown())
    last = peaks.quarters[-1]
    # That nothing was measured would be no growth either.
    self.assertGreater(last["memo.tables[].results._entries"], 20)
    self.assertGreater(last["memo.numbering.arrays.known"], 20)
    self.assertGreater(last["numbering.bodies:_equations"], 0)
    if way == "one context":
      self.assertBetween(last["memo.tables[].results.nbytes"],
                         0.9 * MAX_BYTES, MAX_BYTES)
      self.assertBetween(last["memo.numbering._constants.nbytes"],
                         0.9 * MAX_CONSTANT_BYTES, MAX_CONSTANT_BYTES)

  def test_growth_is_found(self):
    # A budget that is not reached yet.
    grown = self.peaks("one context", 40, 1 << 30).grown()
    self.assertIn("memo.tables[].results.nbytes", grown)
    self.assertIn("memo.numbering.arrays.known", grown)


if __name__ == "__main__":
  absltest.main()
