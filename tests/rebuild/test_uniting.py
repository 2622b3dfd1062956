"""A call whose results another gives as well is not computed."""

from absl.testing import absltest
import jax
from jax import lax
import jax.numpy as jnp

from checking import assert_close
import jax_cse
from jax_cse.compat import core
from jax_cse.rebuild import nested_jvp


def _loop(t):
  step = lambda y, _: (y + 0.1 * jnp.sin(y) * t, None)
  return lax.scan(step, t, None, length=5)[0]


def _loops(fun, *args):
  return jax_cse.count_primitives(fun)(*args)["scan"]


class UnitingTest(absltest.TestCase):

  def test_the_derivatives_of_a_loop_are_one_loop(self):
    derived = jax_cse.derivatives(_loop, 4)
    self.assertEqual(_loops(derived, 0.7), 1)   # 5 before
    plain, = zip(*nested_jvp.derivatives(
        lambda t: [_loop(t)], [[0.7, 1.0]], 4))
    assert_close(derived(0.7), plain)

  def test_what_is_made_of_a_loop_waits_for_the_largest(self):
    fun = lambda t: jnp.cos(_loop(t)) * t
    derived = jax_cse.derivatives(fun, 3)
    self.assertEqual(_loops(derived, 0.7), 1)
    plain, = zip(*nested_jvp.derivatives(
        lambda t: [fun(t)], [[0.7, 1.0]], 3))
    assert_close(derived(0.7), plain)

  def test_a_loop_and_its_derivative_side_by_side(self):
    fun = lambda t: (_loop(t), jax.jvp(_loop, (t,), (1.0,))[1])
    self.assertEqual(_loops(jax_cse.cse(fun), 0.7), 1)
    assert_close(jax_cse.cse(fun)(0.7), fun(0.7))

  def test_no_loop_goes_by_one_that_is_made_of_it(self):
    def fun(t):
      y = _loop(t)
      def step(c, _):
        a, b = c
        return (a + 0.1 * jnp.sin(a) * t, b * 0.5 + a), None
      return y, lax.scan(step, (t, jnp.cos(y)), None, length=5)[0]
    self.assertEqual(_loops(jax_cse.cse(fun), 0.7), 2)
    assert_close(jax_cse.cse(fun)(0.7), fun(0.7))

  def test_only_a_loop_that_is_needed_gives_the_results_of_others(self):
    fun = lambda t: (_loop(t), jax.jvp(_loop, (t,), (1.0,))[1])[0]
    simpler = jax_cse.cse_jaxpr(jax.make_jaxpr(fun)(0.7))
    self.assertEqual(_loops(core.jaxpr_as_fun(simpler), 0.7), 1)
    loop, = [e for e in simpler.eqns if e.primitive.name == "scan"]
    self.assertLen(loop.outvars, 1)


if __name__ == "__main__":
  absltest.main()
