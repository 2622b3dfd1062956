"""What is excluded happens as often as it is written, wherever it stands."""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp

import checking
import jax_cse
from jax_cse import compat
from jax_cse.primitives import exclusions

X = jnp.arange(4.0) + 1


class ExclusionsTest(parameterized.TestCase):

  def test_donating_calls_are_not_merged(self):
    donate = jax.jit(lambda x: x * 2, donate_argnums=0)
    fun = lambda x: (donate(x), donate(x))
    plain = checking.trace(fun, X)
    with jax_cse.enabled():
      merged = checking.trace(fun, X)
    self.assertEqual(checking.size(merged), checking.size(plain))

  def test_effects_fire_every_time(self):
    fired = []

    def fun(x):
      for _ in range(3):
        jax.debug.callback(lambda _: fired.append(1), x)
        jax.experimental.io_callback(lambda _: fired.append(1), None, x)
      return x

    for run in (fun, jax.jit(fun)):
      fired.clear()
      with jax_cse.enabled():
        jax.block_until_ready(run(X))
      jax.effects_barrier()
      self.assertLen(fired, 6)

  def test_an_excluded_equation_of_an_inlined_call_is_counted(self):
    call = jax.jit(lambda x: lax.optimization_barrier(x),
                   inline=compat.INLINE)
    with jax_cse.enabled() as memo:
      checking.trace(lambda x: call(call(x)), X)
    self.assertGreaterEqual(
        memo.stats.by_primitive["optimization_barrier"]["bypassed"], 2)

  @parameterized.named_parameters(
      ("scan", lambda x: lax.scan(lambda c, _: (c * x, None), x, None, 2)[0]),
      ("while", lambda x: lax.while_loop(
          lambda c: c.sum() < 0, lax.sin, x)),
      ("cond", lambda x: lax.cond(x[0] > 0, lax.sin, lax.cos, x)))
  def test_an_excluded_primitive_is_not_known_by_its_inside(self, fun):
    name = checking.trace(fun, X).eqns[-1].primitive.name
    twice = lambda: lambda x: (fun(x), fun(x))
    count = lambda mode: sum(
        eqn.primitive.name == name
        for eqn in jax_cse.cse_jaxpr(checking.trace(twice(), X), mode).eqns)
    def count_bound():
      with jax_cse.enabled():
        return jax_cse.count_primitives(twice())(X)[name]
    self.assertEqual([count("exact"), count("ring"), count_bound()], [1, 1, 1])
    with mock.patch.dict(exclusions.NEVER, {name: "by this test"}):
      self.assertEqual([count("exact"), count("ring"), count_bound()],
                       [2, 2, 2])

  def test_key_reuse_is_found_as_ever(self):
    with jax_cse.enabled(), jax.debug_key_reuse(True):
      @jax.jit
      def reuses(key):
        return jax.random.bits(key) + jax.random.bits(key)

      @jax.jit
      def uses_two():
        return [jax.random.bits(jax.random.key(0), (n,)) for n in (2, 3)]

      with self.assertRaises(jax.errors.KeyReuseError):
        reuses(jax.random.key(0))
      uses_two()

  def test_stateful_random_numbers_are_drawn_every_time(self):
    draw = lambda: lax.rng_uniform(0.0, 1.0, (1000,))
    with jax_cse.enabled():
      a, b = jax.jit(lambda: (draw(), draw()))()
      self.assertTrue((draw() != draw()).any())
      # Nor where the draw is hidden in a call or a loop.
      call = jax.jit(draw)
      loop = jax.jit(lambda: lax.fori_loop(0, 1, lambda i, c: draw(),
                                           jnp.zeros(1000)))
      for hidden in (call, loop):
        self.assertTrue(
            jax.jit(lambda: hidden() != hidden())().any())  # noqa: B023
    self.assertTrue((a != b).any())

if __name__ == "__main__":
  absltest.main()
