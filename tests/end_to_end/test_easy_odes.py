"""The example examples/easy_odes.py, in a small size, and what it rests on."""

import contextlib
import functools
import io

from absl.testing import absltest
from absl.testing import parameterized
import easy_odes
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
import small_runs


def gradient(order, way, adjoint):
  """Of the misfit and of R_order, by the parameters of a small network."""
  params = easy_odes.init(jax.random.key(0), 1, 3)

  def loss(params):
    solution = easy_odes.solve(params, easy_odes.data()[0], order, way,
                               adjoint=adjoint)
    return easy_odes.misfit(solution.ys[0][0]) + 1e-3 * solution.ys[1][0]

  return jax.jit(jax.value_and_grad(loss))(params)


@functools.cache
def gradient_by_jet():
  return gradient(2, "jet", "checkpointed")


def _close(actual, expected, tolerance):
  scale = max(np.abs(x).max() for x in jax.tree.leaves(expected))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=tolerance, atol=tolerance * scale), actual, expected)


class EasyOdesTest(parameterized.TestCase):

  @parameterized.parameters(*easy_odes.WAYS)
  def test_total_derivatives(self, way):
    # dz/dt = z t is solved by exp(t^2 / 2).
    f = lambda t, z: z * t
    with jax.enable_x64(True):
      solution = lambda t: jnp.exp(t**2 / 2)
      for order in range(1, 6):
        solution = jax.grad(solution)
        derived = easy_odes.WAYS[way](f, order)
        with jax_cse.enabled():
          np.testing.assert_allclose(
              derived(0.7, jnp.exp(0.7**2 / 2)), solution(0.7), rtol=1e-12)

  @parameterized.parameters(*easy_odes.ADJOINTS)
  def test_the_adjoint_of_the_solver_differentiates(self, adjoint):
    # In single precision rounding decides how long some steps are.
    with jax.enable_x64(True):
      plain = gradient(2, "nested jvp", adjoint)
      with jax_cse.enabled():
        merged = gradient(2, "nested jvp", adjoint)
      _close(merged, plain, 1e-10)
      # The adjoints solve different equations, to the solver's tolerance.
      _close(merged, gradient_by_jet(),
             1e-10 if adjoint == "checkpointed" else 1e-2)

  def test_counts(self):
    params = easy_odes.init(jax.random.key(0), 2, 3)
    plain, merged, jet = (
        [easy_odes.equations(k, way, cse, params) for k in (3, 4, 5)]
        for way, cse in (("nested jvp", False), ("nested jvp", True),
                         ("jet", False)))
    for a, b, c in zip(merged, plain, jet):
      self.assertLess(a, b)
      self.assertLess(a, c)
    self.assertLess(merged[-1], 0.4 * plain[-1])

  def test_a_run(self):
    run = small_runs.run(easy_odes, "--steps=3", "--layers=1", "--width=3",
                         "--orders=2")
    self.assertIn("3/3", run.stderr)
    rows = [[cell.split() for cell in line.split("|")]
            for line in run.stdout.splitlines() if line.count("|") == 4][2:]
    self.assertEqual([" ".join(row[0]) for row in rows],
                     ["none", "R_2, jax_cse", "R_2, jet"])
    for (_, (_, evaluations), *_) in rows:
      self.assertEqual(int(evaluations) % easy_odes.EVALUATIONS_PER_STEP, 1)

  @parameterized.parameters(
      ("--steps 0", "--steps must be 1 or more; got 0"),
      ("--orders 7", "invalid choice: 7"),
      ("--adjoint none", "invalid choice: 'none'"),
      ("--out no/such/folder.png", "there is no folder"))
  def test_refuses(self, arguments, message):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit):
      easy_odes.main(arguments.split())
    self.assertIn(message, errors.getvalue())


if __name__ == "__main__":
  absltest.main()
