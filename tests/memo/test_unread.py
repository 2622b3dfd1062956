"""What nobody reads of nested derivatives is left out, and nothing else is."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.extend
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse


def _derivative(f):
  return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]


class UnreadTest(parameterized.TestCase):

  @parameterized.parameters("exact", "reassociate", "ring")
  def test_values_of_a_second_derivative(self, mode):
    fun = _derivative(_derivative(lambda x: lax.exp(lax.sin(x)) + 2.))
    with jax_cse.enabled(mode):
      jaxpr = jax.make_jaxpr(fun)(1.).jaxpr
    read = {v for eqn in jaxpr.eqns for v in eqn.invars if not isinstance(
        v, jax.extend.core.Literal)} | set(jaxpr.outvars)
    for eqn in jaxpr.eqns:
      self.assertTrue(read.issuperset(eqn.outvars))

  def test_without_nested_derivatives_nothing_goes(self):
    def fun(x):
      lax.atan(x)
      return lax.cos(x)

    for f in (fun, _derivative(fun)):
      with jax_cse.enabled():
        self.assertEqual(jax_cse.count_primitives(f)(1.)["atan"], 1)

  @parameterized.parameters("exact", "ring")
  def test_effects_stay(self, mode):
    seen = []

    def fun(x):
      jax.debug.callback(lambda y: seen.append(float(y)), lax.sin(x))
      return lax.cos(x)

    with jax_cse.enabled(mode):
      jax.jit(_derivative(_derivative(fun)))(1.)
    jax.effects_barrier()
    np.testing.assert_allclose(seen, [np.sin(1.)], rtol=1e-6)

  def test_references_stay(self):
    def fun(x):
      ref = jax.new_ref(jnp.zeros(()))
      ref[...] = _derivative(_derivative(lax.sin))(x)
      return ref[...]

    wanted = jax.jit(fun)(1.)
    with jax_cse.enabled():
      self.assertEqual(jax.jit(lambda x: fun(x))(1.), wanted)

  @parameterized.parameters("exact", "ring")
  def test_a_read_for_nobody_stays(self, mode):
    def fun(x):
      ref = jax.new_ref(x)
      ref[...]
      jax.jit(lambda: ref[...])()
      jax.freeze(ref)
      return _derivative(_derivative(lax.sin))(x)

    with jax_cse.enabled(mode):
      np.testing.assert_allclose(jax.jit(fun)(1.), -np.sin(1.), rtol=1e-6)

  def test_results_of_a_call(self):
    @jax.jit
    def fun(x):
      return lax.sin(lax.exp(x)), lax.cos(lax.exp(x))

    with jax_cse.enabled():
      jaxpr = jax.make_jaxpr(
          _derivative(_derivative(lambda x: fun(x)[0])))(1.)
    call, = (eqn for eqn in jaxpr.eqns if "jit" in eqn.primitive.name)
    self.assertLen(call.outvars, 1)
    np.testing.assert_allclose(
        jax.extend.core.jaxpr_as_fun(jaxpr)(1.)[0],
        _derivative(_derivative(lambda x: fun(x)[0]))(1.), rtol=1e-6)

  def test_it_was_left_before_the_jaxpr_is_closed(self):
    second = _derivative(_derivative(lambda x: lax.exp(lax.sin(x))))
    with jax_cse.enabled():
      inside = jax_cse.count_primitives(second)(1.)
    self.assertEqual(jax_cse.count_primitives(jax_cse.enabled()(second))(1.),
                     inside)

  def test_a_constant_that_nobody_reads(self):
    row = jnp.arange(3.)
    fun = _derivative(_derivative(lambda x: lax.sin(x) + jnp.sum(row)))
    with jax_cse.enabled():
      np.testing.assert_allclose(jax.jit(fun)(1.), -np.sin(1.), rtol=1e-6)


if __name__ == "__main__":
  absltest.main()
