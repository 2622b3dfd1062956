"""Whether CSE is worth it, from seconds that are made up."""

from absl.testing import absltest
from absl.testing import parameterized

from jax_cse.gains import gain
from jax_cse.gains.gain import INDIFFERENT, LATER, LEAVE_OFF, WORTH_IT


def way(name, later_calls=100, **parts):
  """Turns that are a hundredth apart of what is given."""
  return gain.Way(name, {
      part.replace("_", " "): [0.99 * s, s, 1.01 * s]
      for part, s in parts.items()}, later_calls)


class GainTest(parameterized.TestCase):

  @parameterized.parameters(
      ([1.0, 1.1, 1.2], [0.5, 0.6, 0.7], 0.5),
      ([1.0, 1.1, 1.2], [0.7, 0.8, 0.9], 0.0),   # turns differ by 0.2 + 0.2
      ([0.5, 0.6, 0.7], [1.0, 1.1, 1.2], -0.5),
      ([1.0, 9.0, 1.1], [0.5, 0.5, 0.5], 0.0),   # one turn was disturbed
      ([1.0, 1.0], [1.0, 1.0], 0.0))
  def test_gain(self, plain, other, expected):
    self.assertAlmostEqual(gain.gain(plain, other), expected)

  @parameterized.parameters(
      (1.0, 0.5, WORTH_IT), (1.0, 0.96, INDIFFERENT), (1.0, 1.0, INDIFFERENT),
      (1.0, 1.04, INDIFFERENT), (1.0, 1.2, LEAVE_OFF))
  def test_word(self, plain, other, word):
    verdict = gain.judge(way("plain", to_trace=plain),
                         [way("mode exact", to_trace=other)])
    self.assertEqual(verdict.word, word)
    self.assertEqual(verdict.way, "mode exact")

  def test_what_is_lost_and_gained_is_added(self):
    plain = way("plain", to_trace=1.0, to_compile=2.0, to_lower=1.0)
    verdict = gain.judge(plain, [
        way("mode ring", to_trace=2.0, to_compile=0.5, to_lower=1.01)])
    self.assertAlmostEqual(verdict.seconds, 0.5)
    self.assertEqual(
        str(verdict), "worth it in mode ring: 1.50 s less to compile, 1.00 s "
        "more to trace, of 4.00 s")

  def test_what_is_not_clear_is_none(self):
    plain = gain.Way("plain", {"to compile": [1.0, 4.0, 3.0]})
    verdict = gain.judge(plain, [gain.Way("mode exact", {
        "to compile": [1.0, 1.0, 1.0]})])
    self.assertEqual((verdict.word, verdict.seconds), (INDIFFERENT, 0.0))
    self.assertIn("no part of its time differs", verdict.reason)

  @parameterized.parameters(
      (0.5, 1.0, "mode exact"), (1.0, 0.5, "mode ring"),
      (0.5, 0.48, "mode exact"),   # no clear difference: what promises more
      (1.0, 1.5, "mode exact"), (1.5, 1.0, "mode ring"))
  def test_the_best_way(self, exact, ring, best):
    verdict = gain.judge(way("plain", to_trace=1.0), [
        way("mode exact", to_trace=exact), way("mode ring", to_trace=ring)])
    self.assertEqual(verdict.way, best)

  def test_a_gain_in_each_call_pays_in_the_end(self):
    plain = way("plain", to_trace=1.0, **{LATER: 1.0})
    other = way("mode ring", to_trace=3.0, **{LATER: 0.5})
    verdict = gain.judge(plain, [other])
    self.assertEqual(verdict.word, WORTH_IT)
    self.assertAlmostEqual(verdict.seconds, -1.5)
    # 5 ms a call are gained: 2 s, and 5 % of the whole.
    self.assertStartsWith(verdict.reason, "from about 420 later calls on; with "
                          "100 it is 2.00 s more to trace, 0.50 s less in")
    few = plain._replace(later_calls=gain.MOST_CALLS)
    self.assertEqual(gain.judge(few, [other]).word, LEAVE_OFF)

  def test_a_loss_in_each_call_counts_in_the_end(self):
    verdict = gain.judge(way("plain", to_trace=3.0, **{LATER: 0.5}),
                         [way("mode exact", to_trace=1.0, **{LATER: 1.0})])
    self.assertEqual(verdict.word, WORTH_IT)
    self.assertEndsWith(verdict.reason, "with about 400 later calls nothing is "
                        "left of it")
    little = gain.judge(way("plain", to_trace=0.54, **{LATER: 0.5}),
                        [way("mode exact", to_trace=0.01, **{LATER: 1.0})])
    self.assertEqual(little.word, INDIFFERENT)

  @parameterized.parameters(
      (28.0, WORTH_IT), (29.0, INDIFFERENT), (31.0, INDIFFERENT),
      (32.0, LEAVE_OFF))
  def test_a_small_share_is_none(self, other, word):
    verdict = gain.judge(
        gain.Way("plain", {"in the rest": [30.0, 30.0]}),
        [gain.Way("mode exact", {"in the rest": [other, other]})])
    self.assertEqual(verdict.word, word)

  def test_no_later_calls(self):
    verdict = gain.judge(way("plain", 0, to_trace=1.0, **{LATER: 0.0}),
                         [way("mode exact", 0, to_trace=2.0, **{LATER: 0.0})])
    self.assertEqual(verdict.word, LEAVE_OFF)


if __name__ == "__main__":
  absltest.main()
