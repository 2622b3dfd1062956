"""Every spec in every composition: never larger, and the same values."""

import jax
from absl.testing import absltest
from absl.testing import parameterized
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from specs import (
    COMPOSITIONS, SPECS, SPECS_BY_NAME, Spec, mlp, nested)

POINT = 0.7

# `jit`, `scan` and `cond` compile their bodies, and what is merged there may be
# fused otherwise. So are the bodies of `jax.nn.gelu` and `jnp.tanh`, which are
# `jit`s themselves.
COMPILED = ("jit", "scan", "cond")
EAGER_SPECS = (Spec("tanh mlp", mlp(lax.tanh)), *(
    SPECS_BY_NAME[name] for name in (
        "thread", "1/(1+t*t)", "shared subexpressions", "select")))


def _close(actual, expected):
  np.testing.assert_allclose(actual, expected, rtol=1e-5)


class CompositionsTest(parameterized.TestCase):

  @parameterized.product(composition=tuple(COMPOSITIONS))
  def test_traced(self, composition):
    for spec in SPECS:
      with self.subTest(spec.name):
        checking.check_never_larger(
            COMPOSITIONS[composition](spec.fun), (POINT,))

  @parameterized.product(composition=tuple(COMPOSITIONS))
  def test_eagerly_to_the_last_bit(self, composition):
    for spec in EAGER_SPECS:
      with self.subTest(spec.name):
        plain = COMPOSITIONS[composition](spec.fun)(POINT)
        same = (_close if any(c in composition for c in COMPILED) else
                checking.assert_same_bits)
        with jax_cse.enabled():
          first = COMPOSITIONS[composition](spec.fun)(POINT)
          again = COMPOSITIONS[composition](spec.fun)(POINT)
        jax.tree.map(same, first, plain)
        jax.tree.map(same, again, plain)

  def test_no_tracer_leaks(self):
    with jax.checking_leaks(), jax_cse.enabled():
      for make in COMPOSITIONS.values():
        make(SPECS[0].fun)(POINT)


class GrowthTest(parameterized.TestCase):
  """Nested forward mode grows as a polynomial of the order."""

  @parameterized.named_parameters(
      (spec.name, spec) for spec in SPECS
      if spec.name != "reductions and indexing")
  def test_order_8_is_at_most_7_times_order_4(self, spec):
    with jax_cse.enabled():
      four, eight = (checking.size(checking.trace(nested(spec.fun, n), POINT))
                     for n in (4, 8))
    self.assertLessEqual(eight, 7 * four)

  def test_the_threads_function(self):
    with jax_cse.enabled():
      counts = jax_cse.count_primitives(nested(SPECS[0].fun, 8))(POINT)
    self.assertLessEqual(counts.total(), 279)
    self.assertEqual((counts["sin"], counts["cos"]), (1, 1))

  def test_plain_counts_are_those_of_the_trials(self):
    for order, total in ((2, 39), (4, 302), (6, 2242)):
      counts = jax_cse.count_primitives(nested(SPECS[0].fun, order))(POINT)
      self.assertEqual(counts.total(), total)

  def test_the_tangent_may_be_an_array_made_at_every_level(self):
    def size(direction):
      def nested_along(t):
        fun = SPECS[0].fun
        for _ in range(6):
          fun = along(fun, direction)
        return fun(t)
      with jax_cse.enabled():
        return checking.size(checking.trace(nested_along, POINT))

    along = lambda fun, direction: lambda t: jax.jvp(
        fun, (t,), (direction(),))[1]
    # An array is not known to be 1, so products with it stay.
    one = jnp.ones(())
    self.assertEqual(size(lambda: jnp.ones(())), size(lambda: one))

  def test_binds_grow_as_equations_do(self):
    def binds(order):
      with jax_cse.enabled() as memo:
        checking.trace(nested(SPECS[0].fun, order), POINT)
      return memo.stats.hits + memo.stats.misses
    self.assertLess(binds(8), 8 * binds(4))


if __name__ == "__main__":
  absltest.main()
