"""Calls, loops and linear algebra under nested differentiation."""

import re
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
from jax.test_util import check_grads
import numpy as np

import jax_cse
from jax_cse.orders.order_counts import nested_jvp
import programs
from programs import POINT, PROGRAMS, REVERSIBLE

LOOPS = {name: fun for name, fun in REVERSIBLE.items()
         if re.search("scan|loop|cond|switch|map", name)}
LIMIT = 10   # equations at order 8 over those at order 4; plain: 40 to 80


def count(fun, mode="exact"):
  with jax_cse.enabled(mode):
    return jax_cse.count_primitives(fun)(POINT).total()


def reverse(fun, order):
  """Reverse over forward: the gradient of a nested `jvp`."""
  return jax.grad(nested_jvp(fun, order - 1))


class GrowthTest(parameterized.TestCase):

  @parameterized.named_parameters(PROGRAMS.items())
  def test_forward(self, fun):
    self.assertLessEqual(count(nested_jvp(fun, 8)),
                         LIMIT * count(nested_jvp(fun, 4)))

  @parameterized.named_parameters(REVERSIBLE.items())
  def test_reverse_over_forward(self, fun):
    self.assertLessEqual(count(reverse(fun, 8)),
                         LIMIT * count(reverse(fun, 4)))

  @parameterized.named_parameters(LOOPS.items())
  def test_forward_in_the_ring(self, fun):
    self.assertLessEqual(count(nested_jvp(fun, 5), "ring"),
                         1.1 * count(nested_jvp(fun, 5)))

  def test_the_limit_can_be_missed(self):
    sizes = [jax_cse.count_primitives(nested_jvp(PROGRAMS["scan"], n))(POINT)
             .total() for n in (2, 4, 6)]
    self.assertGreater(sizes[2], 7 * sizes[1])  # and so at 8

  def test_forward_through_a_solver(self):
    diffrax = __import__("diffrax")

    def solve(t):
      term = diffrax.ODETerm(lambda s, y, args: jnp.sin(y) * t)
      return diffrax.diffeqsolve(
          term, diffrax.Tsit5(), 0., 1., 0.1, t, max_steps=64,
          adjoint=diffrax.ForwardMode(),
          stepsize_controller=diffrax.PIDController(1e-4, 1e-4)).ys[0]

    self.assertLessEqual(count(nested_jvp(solve, 8)),
                         LIMIT * count(nested_jvp(solve, 4)))
    expected = jax.jit(nested_jvp(solve, 2))(POINT)
    with jax_cse.enabled():
      actual = jax.jit(nested_jvp(solve, 2))(POINT)
    np.testing.assert_allclose(actual, expected, rtol=2e-4)


class ValuesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    # As long as a jaxpr holds a host array JAX lowers it as it was lowered
    # first: to 32 bits by other tests, which fails here, with 64.
    for name in ("_x", "_matrix", "_vector"):
      self.enter_context(mock.patch.object(
          programs, name, getattr(programs, name).copy()))

  @parameterized.named_parameters(PROGRAMS.items())
  def test_forward(self, fun):
    self._check(lambda t: [nested_jvp(fun, n)(t) for n in (1, 2, 3, 4)])

  @parameterized.named_parameters(REVERSIBLE.items())
  def test_reverse_over_forward(self, fun):
    self._check(reverse(fun, 3))

  def _check(self, fun):
    with jax.enable_x64(True):
      expected = jax.jit(fun)(POINT)
      with jax_cse.enabled():
        actual = jax.jit(fun)(POINT)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
      np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6)

  @parameterized.named_parameters(LOOPS.items())
  def test_gradients(self, fun):
    modes = ["fwd", "rev"]
    with jax.enable_x64(True), jax_cse.enabled():
      batch = np.linspace(0.9, 1.2, 3)
      check_grads(jax.vmap(fun), (batch,), order=2, modes=modes, rtol=1e-3)

  def test_vmap_of_derivatives(self):
    batch = np.linspace(0.9, 1.2, 3)
    for name, fun in LOOPS.items():
      with self.subTest(name), jax.enable_x64(True):
        derive = jax.vmap(nested_jvp(fun, 2))
        expected = jax.jit(derive)(batch)
        with jax_cse.enabled():
          actual = jax.jit(derive)(batch)
        np.testing.assert_allclose(actual, expected, rtol=1e-6, atol=1e-8)


if __name__ == "__main__":
  absltest.main()
