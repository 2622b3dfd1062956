"""`cse_jaxpr` drops what nobody reads, and keeps the interface."""

from absl.testing import absltest
import jax
from jax import lax
import jax.numpy as jnp

from calls_and_loops import fresh, while_below
import jax_cse

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


class NarrowingTest(absltest.TestCase):

  def test_drops_what_nobody_reads(self):
    plain = jax.make_jaxpr(lambda x: fresh(
        lambda a: (lax.sin(a), lax.cos(a)))(x)[0])(X)
    (eqn,) = jax_cse.cse_jaxpr(plain, "exact").eqns
    self.assertLen(eqn.outvars, 1)

  def test_drops_a_carry_of_a_while_that_nobody_reads(self):
    plain = jax.make_jaxpr(lambda x, y: while_below(
        lambda c: (c[0] * 2, c[1] * 3), (x, y))[0])(X, Y)
    *_, eqn = jax_cse.cse_jaxpr(plain, "exact").eqns
    self.assertLen(eqn.outvars, 1)

  def test_keeps_the_interface(self):
    plain = jax.make_jaxpr(lambda x, y: (x, x, jnp.zeros(2), lax.sin(x)))(X, Y)
    merged = jax_cse.cse_jaxpr(plain, "exact")
    self.assertEqual(merged.in_avals, plain.in_avals)
    self.assertEqual(merged.out_avals, plain.out_avals)

  def test_bad_input(self):
    with self.assertRaisesRegex(TypeError, "ClosedJaxpr.*got function"):
      jax_cse.cse_jaxpr(lambda x: x)
    with self.assertRaisesRegex(ValueError, "'exact'.*got 'best'"):
      jax_cse.cse_jaxpr(jax.make_jaxpr(lax.sin)(1.), mode="best")


if __name__ == "__main__":
  absltest.main()
