"""Eager results: how many bytes are held, and for how long."""

import gc
import tracemalloc
import weakref

from absl.testing import absltest
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse.compat import core
from jax_cse.memo.eager_table import DEFAULT_MAX_BYTES, ENTRY_BYTES
from jax_cse.numbering import value_numbering
from specs import derivative


class BytesTest(absltest.TestCase):

  def test_the_budget_is_kept_and_evictions_are_counted(self):
    budget = 1 << 20
    with jax_cse.enabled(max_bytes=budget) as memo:
      for i in range(100):
        lax.add(jnp.full(1 << 14, float(i)), 1.0)
        self.assertLessEqual(memo.nbytes, budget)
      self.assertGreater(memo.stats.evicted, 80)
      self.assertGreater(memo.stats.evicted_bytes, 80 << 16)
      self.assertIn("evicted", str(memo.stats))
    self.assertEqual(memo.nbytes, 0)

  def test_what_is_discarded_is_not_held(self):
    p = core.Primitive("test_sign_of_zero")
    p.def_impl(lambda x, *, k: x + 1)
    p.def_abstract_eval(lambda x, *, k: x)
    x = jnp.zeros(1 << 12)
    with jax_cse.enabled(max_bytes=1 << 20) as memo:
      known = memo.numbering.arrays.known
      for i in range(100):
        p.bind(x, k=0.0 if i % 2 else -0.0)
        lax.sin(x).delete()
      gc.collect()
      self.assertLess(len(known), 20)

  def test_an_impl_that_binds_itself_is_held_once(self):
    p = core.Primitive("test_recursive")
    inside = []

    def impl(x):
      if not inside:
        inside.append(1)
        p.bind(x)
        inside.pop()
      return x + 1

    p.def_impl(impl)
    p.def_abstract_eval(lambda x: x)
    with jax_cse.enabled(max_bytes=1 << 20) as memo:
      for i in range(100):
        p.bind(jnp.full(1 << 12, float(i)))
      held = sum(e[1].nbytes for e in memo.numbering.arrays.known.values()
                 if type(e) is tuple)
      self.assertLessEqual(held, 1 << 20)

  def test_the_default_budget(self):
    self.assertEqual(DEFAULT_MAX_BYTES, 256 << 20)

  def test_a_budget_of_nothing(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled(max_bytes=0) as memo:
      lax.sin(x)
      self.assertEqual(memo.nbytes, 0)
      held = lax.cos(x)
      np.testing.assert_array_equal(lax.cos(x), held)

  def test_host_operands_are_not_kept_without_bound(self):
    z = jnp.zeros(1 << 13)
    with jax_cse.enabled(max_bytes=1 << 20) as memo:
      for i in range(1000):
        lax.add(z, np.full(1 << 13, i, np.float32))
      self.assertLessEqual(memo.numbering._constants.nbytes,
                           value_numbering._MAX_CONSTANT_BYTES)
      self.assertLess(len(memo.numbering._constants),
                      1.1 * value_numbering._MAX_CONSTANT_BYTES / (4 << 13))

  def test_the_least_recently_used_leaves_first(self):
    xs = [jnp.full(1 << 14, float(i)) for i in range(4)]
    with jax_cse.enabled(max_bytes=3 * (1 << 16) + 3 * ENTRY_BYTES) as memo:
      for x in (xs[0], xs[1], xs[2], xs[0], xs[3]):
        lax.sin(x)
      self.assertEqual(memo.stats.evicted, 1)
      lax.sin(xs[0])
      self.assertEqual(memo.stats.hits, 2)
      lax.sin(xs[1])
      self.assertEqual(memo.stats.hits, 2)

  def test_an_evicted_result_that_is_in_use_keeps_its_number(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled(max_bytes=ENTRY_BYTES + 1024) as memo:
      used = lax.sin(x)
      for i in range(10):
        lax.add(x, float(i))
      lax.cos(used)
      hits = memo.stats.hits
      lax.cos(used)
      self.assertEqual(memo.stats.hits, hits + 1)

  def test_leaving_frees_everything(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled():
      result = weakref.ref(lax.sin(x))
      self.assertIsNotNone(result())
    self.assertIsNone(result())

  def test_a_scalar_costs_what_is_charged_for_it(self):
    xs = [jnp.float32(i) for i in range(1000)]
    for x in xs:
      lax.sin(x)
    with jax_cse.enabled() as memo:
      tracemalloc.start()
      for x in xs:
        lax.sin(x)
      used = tracemalloc.get_traced_memory()[0]
      tracemalloc.stop()
      self.assertEqual(memo.stats.misses, 1000)
    # Without what the runtime holds.
    self.assertBetween(used / 1000, ENTRY_BYTES / 2, ENTRY_BYTES)

  def test_tables_die_with_their_traces(self):
    with jax_cse.enabled() as memo:
      for _ in range(3):
        checking.trace(derivative(derivative(lax.sin)), 1.0)
        jax.grad(derivative(lax.sin))(1.0)
      gc.collect()
      # The table of eager evaluation is the one that stays.
      self.assertLessEqual(len(memo.tables), 1)

  def test_nothing_grows_with_the_number_of_steps(self):
    step = jax.jit(lambda p, x: p - 0.1 * jax.grad(
        lambda q: (lax.sin(q) * x).sum())(p))
    with jax_cse.enabled(max_bytes=1 << 20) as memo:
      p = jnp.ones(3)
      sizes = []
      for i in range(3000):
        p = lax.add(step(p, float(i)), 0.5)
        if i in (1999, 2999):
          gc.collect()
          known = memo.numbering.arrays.known
          sizes.append((len(memo.tables), len(known)))
    self.assertEqual(sizes[0][0], sizes[1][0])
    self.assertLessEqual(sizes[1][1], sizes[0][1] + 10)


if __name__ == "__main__":
  absltest.main()
