"""Counts of primitives, those of inner jaxprs included."""

from absl.testing import absltest
import jax
from jax import lax

import jax_cse


class CountingTest(absltest.TestCase):

  def test_inner_jaxprs_count(self):
    def fun(x):
      y = lax.fori_loop(0, 3, lambda i, c: lax.sin(c), x)
      return lax.cond(x > 0, lax.sin, lax.cos, jax.jit(lax.exp)(y))

    counts = jax_cse.count_primitives(fun)(1.0)
    self.assertEqual(
        {k: counts[k] for k in ("sin", "cos", "exp", "jit", "cond", "scan")},
        {"sin": 2, "cos": 1, "exp": 1, "jit": 1, "cond": 1, "scan": 1})
    self.assertEqual(type(counts).__name__, "Counter")


if __name__ == "__main__":
  absltest.main()
