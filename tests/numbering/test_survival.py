"""What a call or loop keeps: its name, its places, its effects, its rules."""

from absl.testing import absltest
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from calls_and_loops import scan
import checking
from custom_rules import clipped, custom, same_with_another_rule
import jax_cse
from jax_cse import compat
from jax_cse.compat import core

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


class SurvivalTest(absltest.TestCase):

  def _eqn(self, fun, *args):
    with jax_cse.enabled():
      jaxpr = checking.trace(fun, *args).jaxpr
    (eqn,) = [e for e in jaxpr.eqns if e.primitive.name in ("jit", "scan")]
    return eqn

  def test_name_and_inlining_of_a_call(self):
    def some_name(a, b):
      return lax.sin(a) + lax.sin(b)
    eqn = self._eqn(lambda x: jax.jit(some_name)(x, x), X)
    self.assertEqual(eqn.params["name"], "some_name")
    self.assertLen(eqn.invars, 1)
    self.assertIsNot(eqn.params["inline"], compat.INLINE)

  def test_donated_operands_stay_apart(self):
    call = jax.jit(lambda a, b, c: (lax.sin(a), lax.sin(b), lax.sin(c)),
                   donate_argnums=0)
    eqn = self._eqn(lambda x: call(x, x, x), X)
    self.assertEqual(eqn.params["donated_invars"], (True, False))

  def test_results_placed_apart_stay_apart(self):
    mesh = jax.make_mesh((1,), ("i",))
    apart = [jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*s))
             for s in ((), ("i",))]
    for donated in ((), 0):
      call = jax.jit(lambda a, b: (lax.sin(b), lax.sin(b)),
                     donate_argnums=donated, out_shardings=tuple(apart))
      eqn = self._eqn(lambda x, call=call: call(x, x * 2), X)
      self.assertLen(eqn.outvars, 2)

  def test_trip_count_and_unrolling_of_a_loop(self):
    eqn = self._eqn(lambda x: scan(
        lambda c, s: ((lax.sin(c[0]), lax.sin(c[1])), s), (X, X), x,
        length=None, reverse=True, unroll=2), Y)
    self.assertEqual((eqn.params["length"], eqn.params["reverse"],
                      eqn.params["unroll"]), (4, True, 2))
    self.assertEqual(compat.constants_and_carries(eqn.params), (0, 1))

  def test_effects_of_a_call(self):
    seen = []

    def call(a, b):
      jax.debug.callback(lambda x: seen.append(float(x)), a[0])
      return lax.sin(a), lax.sin(b)

    def fun(x):
      return jax.jit(call)(x, x), jax.jit(call)(x, x)

    with jax_cse.enabled():
      jaxpr = checking.trace(fun, X)
      jax.block_until_ready(jax.jit(fun)(X))
    jax.effects_barrier()
    self.assertLen(seen, 2)
    self.assertEqual([len(e.invars) for e in jaxpr.eqns], [1, 1])

  def test_a_clipped_cotangent_is_clipped_for_each_use(self):
    def fun(x):
      return jax.jit(lambda a: clipped(a) + clipped(a))(x)
    expected = jax.grad(fun)(0.5)
    self.assertEqual(expected, 2.0)
    with jax_cse.enabled():
      self.assertEqual(jax.grad(fun)(0.5), expected)
      self.assertEqual(jax.jit(jax.grad(fun))(0.5), expected)
    rewritten = jax_cse.cse_jaxpr(jax.make_jaxpr(fun)(0.5), "exact")
    self.assertEqual(
        jax.grad(lambda x: core.jaxpr_as_fun(rewritten)(x)[0])(0.5), expected)

  def test_the_rule_of_a_merged_call_is_the_users(self):
    def fun(x):
      return custom(x) + same_with_another_rule(x) + custom(x)
    with jax_cse.enabled():
      jaxpr = checking.trace(fun, 0.5)
    again = lambda x: core.jaxpr_as_fun(jaxpr)(x)[0]
    np.testing.assert_allclose(jax.grad(again)(0.5), jax.grad(fun)(0.5))

  def test_a_literal_stays_an_array_inside_of_derivatives(self):
    diagonal = lambda x: jax.jacfwd(lambda y: lax.sin(y))(x).sum(0)
    fun = lambda x: diagonal(x) + diagonal(x)   # the second is looked up
    second = lambda x: jax.jvp(lambda y: jax.jvp(fun, (y,), (x,))[1], (x,),
                               (x,))[1]
    with jax.enable_x64(), jax_cse.enabled("ring"):   # of `jnp.eye`
      x = jnp.arange(3.)
      outs = jax.jit(lambda x: second(x))(x)
      np.testing.assert_allclose(outs, -2 * x * x * np.cos(x))

  def test_checkpoint_saves_no_more(self):
    block = jax.checkpoint(lambda a, b: lax.sin(lax.sin(a) * lax.cos(b)))

    def residuals():
      _, vjp = jax.vjp(jax.jit(lambda x: block(x, x)), X)
      return sum(np.size(x) for x in jax.tree.leaves(vjp))

    plain = residuals()
    with jax_cse.enabled():
      self.assertLessEqual(residuals(), plain)


if __name__ == "__main__":
  absltest.main()
