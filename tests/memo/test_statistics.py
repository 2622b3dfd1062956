"""The statistics of a context, as numbers and as a table."""

from absl.testing import absltest
import jax
from jax import lax

import jax_cse
from jax_cse.memo import seconds
from jax_cse.memo import statistics
from jax_cse.primitives import exclusions


class StatisticsTest(absltest.TestCase):

  def test_what_a_lowering_rule_traces_is_not_looked_up(self):
    with jax_cse.enabled() as memo:
      traced = jax.jit(lambda key: jax.random.normal(key, (3,))).trace(
          jax.random.key(0))
      before = memo.stats.hits, memo.stats.misses
      traced.lower()
      self.assertEqual((memo.stats.hits, memo.stats.misses), before)
      self.assertGreater(memo.stats.bypass_reasons[exclusions.LOWERED], 20)
      jax.make_jaxpr(lambda x: (lax.sin(x), lax.sin(x)))(1.0)   # as ever
      self.assertEqual(memo.stats.hits, before[0] + 1)

  def test_table(self):
    stats = statistics.Statistics()
    stats.hits_of["sin"] += 2
    stats.misses_of["sin"] += 1
    stats.bypass("io_callback", "a reason")
    stats.evict("cos", 4096)
    self.assertEqual((stats.hits, stats.misses, stats.bypassed, stats.evicted,
                      stats.evicted_bytes), (2, 1, 1, 1, 4096))
    self.assertEqual(stats.by_primitive["sin"]["hits"], 2)
    self.assertEqual(stats.bypass_reasons, {"a reason": 1})
    text = str(stats)
    for part in ("sin", "io_callback", "a reason", "4,096 bytes", "total"):
      self.assertIn(part, text)
    stats.clear()
    self.assertEqual((stats.hits, stats.evicted_bytes), (0, 0))

  def test_seconds_in_the_table(self):
    stats = statistics.Statistics()
    stats.seconds["step"] = seconds.Seconds(1.25, 0.5, 2.0)
    self.assertRegex(str(stats), r"step +0 +1.250 +0.500 +2.000")
    stats.clear()
    self.assertNotIn("step", str(stats))


if __name__ == "__main__":
  absltest.main()
