"""The example examples/navier_stokes.py, in a small size."""

import re

from absl.testing import absltest
import jax
import jax.numpy as jnp
import navier_stokes

import small_runs

AT = (0.4, 0.7, 0.2)


class NavierStokesTest(absltest.TestCase):

  def test_the_vortices_solve_the_equations(self):
    with jax.enable_x64(True):
      left = jax.jit(lambda *at: navier_stokes.residual(
          navier_stokes.exact, *at))(*map(jnp.float64, AT))
      self.assertLess(jnp.max(jnp.abs(left)), 1e-12)

  def test_points_lie_where_they_are_said_to(self):
    inside, known = navier_stokes.draw_points(jax.random.key(0), 8)
    self.assertTrue(jnp.all(known[:8, 2] == 0))
    sides = known[8:, :2]
    self.assertTrue(jnp.all(jnp.any(
        (sides == 0) | (sides == navier_stokes.SIDE), axis=1)))
    self.assertEqual(inside.shape, (8, 3))

  def test_a_run(self):
    run = small_runs.run(navier_stokes, "--steps=8", "--points=4",
                         "--layers=2", "--width=3", "--repeats=1")
    self.assertIn("8/8", run.stderr)
    ratios = re.search(r"^ratio +(.*)$", run.stdout, re.MULTILINE)
    self.assertLess(float(ratios.group(1).split()[0]), 0.5)   # flops
    most = re.search(r"by (\S+) at most", run.stdout).group(1)
    self.assertLess(float(most), 1e-4)


if __name__ == "__main__":
  absltest.main()
