"""What JAX took for each function, counted by the memo of the thread."""

import threading
from unittest import mock

from absl.testing import absltest
import jax
from jax import monitoring
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.foundation import stages
from jax_cse.memo import seconds

TRACE, LOWER, COMPILE = stages.STAGES
X = np.ones(3, "float32")


def tell(event, function, duration, *inside):
  """What JAX tells of a stage with others inside of it."""
  monitoring.record_scalar(event, 0.0, fun_name=function)
  for stage in inside:
    tell(*stage)
  monitoring.record_event_duration_secs(event, duration, fun_name=function)


class SecondsTest(absltest.TestCase):

  def test_each_stage_of_a_function(self):
    def inner(x):
      return jnp.sin(x)

    def outer(x):
      return jax.jit(inner)(x) + 1
    with jax_cse.enabled() as memo:
      jax.jit(outer)(X)
      row = memo.stats.seconds["outer"]
      self.assertEqual((row.traced, row.lowered, row.compiled), (1, 1, 1))
      self.assertEqual(row.times, 1)
      for stage in ("trace", "lower", "compile"):
        self.assertGreater(getattr(row, stage), 0.0)
      self.assertNotIn("inner", memo.stats.seconds)
      jax.jit(outer)(np.ones(4, "float32"))
      self.assertEqual(row.times, 2)

  def test_what_is_compiled_inside_counts_once(self):
    with jax_cse.enabled() as memo:
      tell(TRACE, "f", 1.0, (TRACE, "sin", 0.125), (COMPILE, "jit(sin)", 0.5))
      tell(LOWER, "jit(f)", 0.25)
    self.assertEqual({name: (row.trace, row.lower, row.compile)
                      for name, row in memo.stats.seconds.items()},
                     {"f": (0.375, 0.25, 0.0), "sin": (0.125, 0.0, 0.5)})
    memo.stats.clear()
    self.assertEqual(memo.stats.seconds, {})

  def test_a_function_that_fails_leaves_nothing_open(self):
    def bad(x):
      raise ZeroDivisionError
    with jax_cse.enabled() as memo:
      with self.assertRaises(ZeroDivisionError):
        jax.jit(bad)(X)
      tell(COMPILE, "jit(f)", 0.5)
    self.assertEqual(memo.stats.seconds["f"].compile, 0.5)

  def test_only_inside_and_on_this_thread(self):
    with jax_cse.enabled() as memo:
      thread = threading.Thread(target=tell, args=(TRACE, "elsewhere", 1.0))
      thread.start()
      thread.join()
      with jax_cse.disabled():
        tell(TRACE, "plain", 1.0)
    tell(TRACE, "after", 1.0)
    self.assertEqual(memo.stats.seconds, {})

  def test_contexts_in_turns_count_once(self):
    for _ in range(3):
      with jax_cse.enabled("ring") as memo:
        tell(TRACE, "f", 1.0)
    self.assertEqual(memo.stats.seconds["f"].times, 1)

  def test_names_without_end_are_counted_together(self):
    with mock.patch.object(seconds, "_MOST_NAMES", 3):
      with jax_cse.enabled() as memo:
        for i in range(6):
          def fun(x):
            return x + 1
          fun.__name__ = f"fun_{i}"
          jax.jit(fun)(X)
    self.assertLen(memo.stats.seconds, 4)
    self.assertEqual(sum(row.traced for row in memo.stats.seconds.values()), 6)

  def test_other_events_are_left_alone(self):
    with jax_cse.enabled() as memo:
      monitoring.record_event_duration_secs("/mine", 1.0, fun_name="f")
      monitoring.record_scalar("/mine", 1.0)
      monitoring.record_event_duration_secs(COMPILE, 1.0)   # without a name
    self.assertEqual(list(memo.stats.seconds), ["?"])

  def test_a_long_table_ends_with_a_sum(self):
    lines = seconds.table({f"f{i}": seconds.Seconds(float(i))
                           for i in range(100)})
    self.assertLen(lines, 1 + seconds._MOST_ROWS + 2)
    self.assertRegex(lines[1], r"^f99 +0 +99.000")
    self.assertRegex(lines[-2], r"^70 others +0 +2415.000")
    self.assertRegex(lines[-1], r"^total +0 +4950.000")


if __name__ == "__main__":
  absltest.main()
