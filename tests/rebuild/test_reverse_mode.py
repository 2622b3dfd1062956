"""Nested gradients where sums and products may be reordered: the values, and
the rules that users wrote."""

import warnings

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from checking import assert_close
import jax_cse
from jax_cse import compat
from reverse_programs import (
    by, f, grad, nested, NET, primitives, PROGRAMS, T, WAYS, Z)


class ValuesTest(parameterized.TestCase):

  @parameterized.parameters(*PROGRAMS)
  def test_every_way_gives_what_plain_jax_gives(self, name):
    fun, *args = PROGRAMS[name]
    wanted = jax.jit(fun)(*args)
    for way in WAYS:
      found = by(way, fun)(*args)
      self.assertEqual(jax.tree.structure(found), jax.tree.structure(wanted))
      for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        self.assertEqual((a.dtype, a.shape), (b.dtype, b.shape), way)
        if a.dtype != jax.dtypes.float0:
          tolerance = 2e-2 if a.dtype.itemsize == 2 else 2e-4
          np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance,
                                     err_msg=way)

  @parameterized.parameters("third", "of scan", "components", "weights")
  def test_eagerly_nothing_is_reordered(self, name):
    fun, *args = PROGRAMS[name]
    with jax_cse.enabled("ring"):
      found = fun(*args)
    assert_close(found, fun(*args))

  def test_mode_exact_changes_nothing(self):
    with jax_cse.enabled():
      merged = jax.make_jaxpr(nested(f, 2))(T)
    self.assertEqual(compat.core.jaxpr_as_fun(merged)(T)[0],
                     compat.core.jaxpr_as_fun(
                         jax.make_jaxpr(nested(f, 2))(T))(T)[0])


class RulesTest(parameterized.TestCase):
  """What a user says of a derivative holds."""

  def test_a_custom_vjp_runs_backwards(self):
    @jax.custom_vjp
    def g(t):
      return jnp.sin(t)
    g.defvjp(lambda t: (jnp.sin(t), t), lambda t, c: (c * 7 * t,))
    for way in WAYS:
      assert_close(by(way, grad(lambda t: g(t) * t))(T),
                   jnp.sin(T) + 7 * T * T)
      assert_close(by(way, nested(lambda t: g(t * t) * t, 2))(T),
                   jax.jit(nested(lambda t: g(t * t) * t, 2))(T))

  def test_a_linear_call_is_transposed_by_its_rule(self):
    def g(t):
      return jax.custom_derivatives.linear_call(
          lambda _, x: 2 * x, lambda _, c: 5 * c, (), t)
    for way in WAYS:
      assert_close(by(way, grad(g))(T), 5.)

  def test_a_solver_is_transposed_by_its_rule(self):
    def solution(t):
      a = jnp.eye(3) * (2 + t)
      return lax.custom_linear_solve(
          lambda x: a @ x, jnp.sin(Z * t), lambda _, b: jnp.linalg.solve(a, b),
          lambda _, b: 2 * jnp.linalg.solve(a.T, b)).sum()
    for way in WAYS:
      assert_close(by(way, grad(solution))(T), jax.jit(grad(solution))(T))

  @parameterized.parameters(
      lambda v: grad(lambda t: jnp.sin(t) * t)(2.) * v,
      lambda v: grad(lambda s, t: jnp.sin(t) * s, (0, 1))(2., 3.)[1] * v,
      lambda v: grad(lambda t: (jnp.sin(t) * t).sum())(
          jnp.full(2, 2.) * 1) * v)
  def test_weak_types_stay(self, fun):
    v = jnp.ones(2, jnp.bfloat16)
    for way in WAYS:
      self.assertEqual(by(way, fun)(v).dtype, jax.jit(fun)(v).dtype, way)

  def test_constants_are_folded_without_a_warning(self):
    with warnings.catch_warnings(action="error"):
      for way in WAYS:
        self.assertEqual(by(way, grad(lambda t: t / 0.))(T), jnp.inf)

  def test_what_is_traced_here_is_not_reused_elsewhere(self):
    inner = jax.jit(nested(f, 2))
    plain = str(jax.make_jaxpr(inner)(T))
    jax.clear_caches()
    simpler = str(jax.make_jaxpr(jax_cse.cse(lambda t: inner(t)))(T))
    self.assertNotEqual(plain, simpler)
    self.assertEqual(str(jax.make_jaxpr(inner)(T)), plain)


  def test_a_gradient_that_is_not_derived_again_is_one_backward_pass(self):
    for way in WAYS:
      counts = primitives(by(way, grad(NET)).jaxpr(Z))
      self.assertEqual(counts["dot_general"], 5, way)   # the last not twice


if __name__ == "__main__":
  absltest.main()
