"""Who listens to the stages of JAX, and until when."""

from absl.testing import absltest
import jax
from jax import lax
import numpy as np

from jax_cse.foundation import stages

X = np.ones(3, "float32")


class StagesTest(absltest.TestCase):

  def test_the_stages_of_a_function(self):
    told = []
    self.addCleanup(stages.listen(lambda *stage: told.append(stage)))

    def mine(x):
      return lax.sin(x) + 1
    jax.jit(mine)(X)
    self.assertEqual([stage[:2] for stage in told], [
        ("trace", "mine"), ("lower", "mine"), ("compile", "mine")])
    self.assertGreater(min(stage[2] for stage in told), 0.0)

  def test_seconds_by_a_clock(self):
    told = []
    self.addCleanup(stages.listen(
        lambda *stage: told.append(stage), iter(range(9)).__next__))
    jax.jit(lambda x: x - 2)(X)
    self.assertEqual([stage[2] for stage in told], [1, 1, 1])

  def test_until_it_ends(self):
    told = []
    stop = stages.listen(lambda *stage: told.append(stage))
    jax.jit(lambda x: x + 1)(X)
    before = list(told)
    stop()
    jax.jit(lambda x: x + 2)(X)
    self.assertNotEmpty(before)
    self.assertEqual(told, before)


if __name__ == "__main__":
  absltest.main()
