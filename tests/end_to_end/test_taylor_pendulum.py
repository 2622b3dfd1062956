"""The example examples/taylor_pendulum.py, in a small size, and its solver."""

import contextlib
import io
import itertools
import math

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import scipy.special
import taylor_pendulum

import _pendulums
import _taylor_solver
import jax_cse
import small_runs

SINGLE, DOUBLE = (_pendulums.SYSTEMS[name] for name in ("single", "double"))


def exact(start, t):
  """The angle of a pendulum let go at rest, by Jacobi's elliptic functions."""
  k = math.sin(start / 2)
  _, cn, dn, _ = scipy.special.ellipj(t, k**2)
  return 2 * math.asin(k * cn / dn)


def solve(system, order, tolerance, way="jax_cse.jet"):
  return jax.jit(_taylor_solver.solver(
      system.slope, system.end, order, way))(system.start, tolerance)


class TaylorPendulumTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enterContext(jax.enable_x64(True))

  @parameterized.parameters(*_taylor_solver.WAYS)
  def test_coefficients(self, way):
    # dx/dt = x^2 is solved by 1 / (1 - t), and dy/dt = y by exp(t).
    slope = lambda state: {"x": state["x"]**2, "y": state["y"]}
    state = {"x": jnp.ones(()), "y": jnp.ones((2,))}
    rows = _taylor_solver.WAYS[way](slope, 6)(state)
    np.testing.assert_allclose(rows["x"], np.ones(7), rtol=1e-12)
    np.testing.assert_allclose(
        rows["y"], [[1 / math.factorial(k)] * 2 for k in range(7)], rtol=1e-12)

  def test_the_error_falls_with_the_order(self):
    # One step of a tenth: each order is worth a factor.
    errors = []
    for order in (3, 5, 7, 9):
      rows = _taylor_solver.coefficients(SINGLE.slope, order)((1.0, 0.0))
      errors.append(abs(_taylor_solver.at(rows, 0.1)[0] - exact(1.0, 0.1)))
    for more, less in itertools.pairwise(errors):
      self.assertLess(less, 0.02 * more)

  def test_the_error_falls_with_the_tolerance(self):
    errors, steps = zip(*(
        (abs(x[0] - exact(3.0, SINGLE.end)), steps)
        for tolerance in (1e-4, 1e-8, 1e-12)
        for x, steps in [solve(SINGLE, 8, tolerance)]))
    for more, less in itertools.pairwise(errors):
      self.assertLess(less, 1e-3 * more)
    self.assertLess(errors[-1], 1e-11)
    self.assertEqual(list(steps), sorted(steps))

  def test_higher_orders_take_fewer_steps(self):
    steps = [int(solve(SINGLE, order, 1e-10)[1]) for order in (4, 8, 12)]
    self.assertLess(steps[1], 0.3 * steps[0])
    self.assertLess(steps[2], 0.5 * steps[1])

  @parameterized.parameters(SINGLE, DOUBLE)
  def test_agrees_with_diffrax(self, *system):
    system = _pendulums.System(*system)._replace(end=2.0)
    x, _ = solve(system, 6, 1e-12)
    y, _ = jax.jit(taylor_pendulum.dopri8(system))(
        jax.tree.map(jnp.float64, system.start), 1e-12)
    self.assertLess(taylor_pendulum.distance(x, y), 1e-10)
    self.assertLess(taylor_pendulum.distance(
        system.energy(x), system.energy(system.start)), 1e-11)

  def test_too_many_steps(self):
    x, steps = solve(SINGLE, 2, 1e-18)
    self.assertEqual(steps, _taylor_solver.MAX_STEPS)
    self.assertTrue(np.all(np.isnan(x)))

  def test_many_at_once(self):
    system = _pendulums.many(SINGLE, 3)
    (angles, _), _ = solve(system, 8, 1e-12)
    np.testing.assert_allclose(
        angles, [exact(3.0 * scale, SINGLE.end) for scale in (1, 0.95, 0.9)],
        rtol=1e-9)

  def test_evaluations_of_dopri8(self):
    calls = []

    def slope(x):
      jax.debug.callback(lambda _: calls.append(None), x)
      return SINGLE.slope(x)

    _, count = jax.jit(taylor_pendulum.dopri8(SINGLE._replace(slope=slope)))(
        jax.tree.map(jnp.float64, SINGLE.start), 1e-6)
    jax.effects_barrier()
    self.assertLen(calls, int(count))

  def test_dense_output(self):
    system = _pendulums.many(SINGLE, 1)
    for name in ("Taylor 8", "Dopri8"):
      ts, evaluate, _ = taylor_pendulum.path(system, name)
      self.assertEqual((ts[0], ts[-1]), (0.0, system.end))
      for t in (0.0, 3.21, 9.87, system.end):
        self.assertAlmostEqual(evaluate(t)[0], exact(3.0, t), delta=1e-5)

  def test_counts(self):
    count = lambda way, order: jax_cse.count_primitives(
        _taylor_solver.WAYS[way](SINGLE.slope, order))(SINGLE.start).total()
    for order in (4, 8, 12):
      jet, ours, merged = (count(way, order) for way in (
          "jet", "jax_cse.jet", "cse of jax_cse.jet"))
      self.assertLess(ours, 0.5 * jet)
      self.assertLess(merged, 0.5 * ours)
      # Of JAX's own.
      self.assertLess(merged, count("cse of jet", order))

  def test_a_run(self):
    run = small_runs.run(taylor_pendulum, "--repeats=1", "--orders", "6", "7",
                         "--pendulums=2")
    self.assertIn("8/8", run.stderr)
    rows = [line.split("|")[0].split() for line in run.stdout.splitlines()
            if "|" in line]
    self.assertLen(rows, 1 + 9 + 1 + 3 * len(taylor_pendulum.TOLERANCES))

  @parameterized.parameters(
      ("--repeats 0", "--repeats must be 1 or more; got 0"),
      ("--orders 31", "invalid choice: 31"),
      ("--system triple", "invalid choice: 'triple'"),
      ("--out no/such/folder.png", "there is no folder"))
  def test_refuses(self, arguments, message):
    errors = io.StringIO()
    with contextlib.redirect_stderr(errors), self.assertRaises(SystemExit):
      taylor_pendulum.main(arguments.split())
    self.assertIn(message, errors.getvalue())


if __name__ == "__main__":
  absltest.main()
