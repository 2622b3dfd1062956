"""Eager results: who owns an array, and how many bytes are held."""

import gc
import os
import subprocess
import sys
import weakref

import jax
from absl.testing import absltest
from absl.testing import parameterized
from jax import lax
from jax.interpreters import ad
from jax.interpreters import batching
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse.compat import core
from jax_cse.memo.eager_table import DEFAULT_MAX_BYTES
from specs import derivative

donate = jax.jit(lambda x: x + 1, donate_argnums=0)

def _kept(run):
  """What `run(keep)` passes to `keep`, but for the last, which it returns."""
  kept = []
  run(lambda *xs: kept.extend(xs[:-1]) or xs[-1])
  return kept


# Functions of an array whose results may have arrays in common.
SHARING = {
    "eager": lambda x: (lax.sin(x), lax.sin(x)),
    "three": lambda x: (lax.sin(x), lax.sin(x), lax.sin(x)),
    "jvp": lambda x: jax.jvp(lambda y: (lax.sin(y), lax.sin(y)), (x,), (x,)),
    "two jvps": lambda x: (jax.jvp(lax.sin, (x,), (x,)),
                           jax.jvp(lax.sin, (x,), (x,))),
    "jvp jvp": lambda x: jax.jvp(
        lambda y: jax.jvp(lambda z: lax.sin(z) * lax.sin(z), (y,), (y,)),
        (x,), (x,)),
    "vmap": lambda x: jax.vmap(lambda y: (lax.sin(y), lax.sin(y)))(x),
    "vmap jvp": lambda x: jax.vmap(
        lambda y: jax.jvp(lambda z: (lax.sin(z), lax.sin(z)), (y,), (y,)))(x),
    "grads": lambda x: [jax.grad(lambda y: lax.sin(y).sum())(x)
                        for _ in range(2)],
    "vjps": lambda x: [jax.vjp(lax.sin, x)[0] for _ in range(2)],
    "device_put": lambda x: [jax.device_put(lax.sin(x), jax.devices()[0])
                             for _ in range(2)],
    "device_put in vmap": lambda x: jax.vmap(lambda y: [
        jax.device_put(lax.sin(y), jax.devices()[0]) for _ in range(2)])(x),
    "in vmap, not batched": lambda x: _kept(
        lambda keep: jax.vmap(lambda y: keep(lax.sin(x), lax.sin(x), y))(x)),
    "several results": lambda x: [lax.split(x, (1, 2)) for _ in range(2)],
}


class OwnersTest(parameterized.TestCase):

  @parameterized.product(name=tuple(SHARING), donates=(True, False))
  def test_losing_one_result_loses_no_other(self, name, donates):
    x = jnp.arange(3.0) + 1
    expected = [np.array(a) for a in jax.tree.leaves(SHARING[name](x))]
    with jax_cse.enabled():
      for _ in range(2):
        arrays = jax.tree.leaves(SHARING[name](x))
        for i, a in enumerate(arrays):
          if donates:
            donate(a)
          else:
            a.delete()
          for b, value in zip(arrays[i + 1:], expected[i + 1:]):
            np.testing.assert_array_equal(b, value)
    self.assertFalse(x.is_deleted())

  @parameterized.parameters("eager", "jvp", "vmap", "vjp", "jvp jvp")
  def test_donation_inside_a_transformation(self, transform):
    def fun(x):
      a, b = jnp.sin(x), jnp.sin(x)
      c, d = lax.cos(x), lax.cos(x)
      return donate(a) + b + donate(c) + d

    x = jnp.arange(3.0)
    make = {
        "eager": lambda f: f,
        "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
        "vmap": jax.vmap,
        "vjp": lambda f: lambda x: jax.vjp(f, x)[1](x),
        "jvp jvp": lambda f: lambda x: jax.jvp(
            lambda y: jax.jvp(f, (y,), (y,)), (x,), (x,)),
    }[transform]
    expected = make(fun)(x)
    with jax_cse.enabled():
      for _ in range(2):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
                     make(fun)(x), expected)

  def test_enabled_inside_a_transformation(self):
    for context in (jax_cse.enabled(), jax_cse.enabled(max_bytes=1 << 20)):
      product = lambda z: lax.sin(z) * lax.cos(z)
      fun = context(lambda z: (product(z), product(z)))  # noqa: B023
      run = lambda x, fun=fun: jax.jvp(
          lambda y: jax.jvp(fun, (y,), (y,)), (x,), (x,))
      for outer in (jax_cse.enabled, jax_cse.disabled):
        with outer():
          leaves = jax.tree.leaves(run(jnp.arange(3.0) + 1))
          for i, a in enumerate(leaves):
            a.delete()
            self.assertFalse(any(b.is_deleted() for b in leaves[i + 1:]))

  def test_a_replaced_impl_is_called(self):
    p = core.Primitive("test_replaced")
    p.def_abstract_eval(lambda x: x)
    x = jnp.arange(3.0)
    with jax_cse.enabled():
      p.def_impl(lambda x: x + 1)
      np.testing.assert_array_equal(p.bind(x), x + 1)
      p.def_impl(lambda x: x + 2)
      np.testing.assert_array_equal(p.bind(x), x + 2)

  def test_clear_caches_drops_what_was_compiled(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled() as memo:
      lax.sin(x)
      compiled, = memo.table(core.eval_trace)._compiled.values()
      self.assertIsNotNone(compiled())
      jax.clear_caches()
      gc.collect()
      self.assertIsNone(compiled())
      checking.assert_same_bits(lax.sin(x + 0), lax.sin(x))

  def test_a_primitive_is_not_kept_alive(self):
    p = core.Primitive("test_forgotten")
    p.def_abstract_eval(lambda x: x)
    p.def_impl(lambda x: x + 1)
    with jax_cse.enabled():
      p.bind(jnp.arange(3.0))
    reference = weakref.ref(p)
    del p
    gc.collect()
    self.assertIsNone(reference())

  def test_residuals_belong_to_the_vjp(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled():
      c = lax.cos(x)
      _, pull = jax.vjp(lax.sin, x)
      _, push = jax.linearize(lax.sin, x)
      c.delete()
      np.testing.assert_allclose(pull(x)[0], x * np.cos(x), rtol=1e-6)
      np.testing.assert_allclose(push(x), x * np.cos(x), rtol=1e-6)

  def test_residuals_that_are_donated(self):
    x = jnp.arange(3.0)
    fun = lambda x: lax.sin(lax.exp(x))
    with jax_cse.enabled():
      _, first = jax.vjp(fun, x)
      _, second = jax.vjp(fun, x)
      expected = np.array(second(x)[0])
      jax.jit(lambda pull, ct: pull(ct), donate_argnums=0)(first, x + 0)
      np.testing.assert_allclose(second(x)[0], expected)

  def test_scalars_with_the_same_bits_on_two_devices(self):
    code = """
import jax, jax_cse, numpy as np
from jax import lax
from jax.interpreters import ad
from jax.interpreters import batching
a, b = (jax.device_put(np.float32(2), d) for d in jax.devices())
with jax_cse.enabled():
  jax.make_jaxpr(lambda x: (x * a, x * b))(1.0)
  assert lax.sin(a).devices() != lax.sin(b).devices()
"""
    env = {**os.environ, "JAX_PLATFORMS": "cpu",
           "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    run = subprocess.run([sys.executable, "-c", code], env=env, text=True,
                         capture_output=True, timeout=120)
    self.assertEqual(run.returncode, 0, run.stderr)

  def test_a_deleted_result_is_computed_again(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled() as memo:
      lax.sin(x).delete()
      np.testing.assert_allclose(lax.sin(x), np.sin(np.arange(3.0)), rtol=1e-6)
      self.assertEqual(memo.stats.hits, 0)

  def test_a_deleted_operand_raises_as_ever(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled():
      lax.sin(x)
      x.delete()
      with self.assertRaisesRegex(RuntimeError, "deleted"):
        lax.sin(x)

  def test_copies_are_what_they_copy(self):
    device = jax.devices()[0]
    for x in (jnp.arange(3.0), jnp.asarray(1.0), jnp.zeros((0, 2), "int8"),
              jax.device_put(jnp.ones(2), device), jnp.array([1 + 2j]),
              jnp.arange(10_000.0), jnp.full((100, 100), jnp.asarray(1)),
              jax.device_put(jnp.ones(5000), device)):
      with jax_cse.enabled() as memo:
        held, copy = lax.neg(x), lax.neg(x)
      self.assertEqual(memo.stats.hits, 1)
      self.assertIsNot(held, copy)
      checking.assert_same_bits(copy, held)
      self.assertEqual(copy.sharding, held.sharding)
      self.assertEqual(copy.committed, held.committed)
      self.assertEqual(copy.weak_type, held.weak_type)

  def test_copies_have_the_number_of_what_they_copy(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled() as memo:
      a, b = lax.sin(x), lax.sin(x)
      lax.cos(a), lax.cos(b)
    self.assertEqual((memo.stats.hits, memo.stats.misses), (2, 2))

  def test_no_hit_under_a_debugging_flag(self):
    x = jnp.arange(3.0) - 1
    with jax_cse.enabled():
      lax.log(x)
      with jax.debug_nans(True), self.assertRaises(FloatingPointError):
        lax.log(x)
      with jax.debug_infs(True), self.assertRaises(FloatingPointError):
        lax.div(1.0, x)

  def test_key_reuse_is_seen(self):
    with jax_cse.enabled(), jax.debug_key_reuse(True):
      key = jax.random.key(0)
      jax.random.bits(key)
      with self.assertRaises(jax.errors.KeyReuseError):
        jax.random.bits(key)

  def test_mutable_host_arrays(self):
    x, host = jnp.zeros(3), np.ones(3, np.float32)
    with jax_cse.enabled() as memo:
      first, same = lax.add(x, host), lax.add(x, host)
      host[0] = 5
      second = lax.add(x, host)
    np.testing.assert_array_equal(first, [1, 1, 1])
    np.testing.assert_array_equal(same, [1, 1, 1])
    np.testing.assert_array_equal(second, [5, 1, 1])
    self.assertEqual(memo.stats.hits, 1)

  def test_a_host_array_that_is_changed_before_it_is_read(self):
    p = core.Primitive("test_late")
    host = np.ones(3, np.float32)

    def late(x):
      host[0] = 5
      return jnp.array(x)

    p.def_impl(late)
    p.def_abstract_eval(lambda x: x)
    with jax_cse.enabled() as memo:
      first = p.bind(host)
      host[0] = 1
      second = p.bind(host)
    self.assertEqual(memo.stats.by_primitive["test_late"]["hits"], 1)
    np.testing.assert_array_equal(first, [1, 1, 1])
    np.testing.assert_array_equal(second, [1, 1, 1])

  @parameterized.parameters(
      lambda f, x: jax.jvp(f, (x,), (np.zeros(x.shape, np.float32),))[0],
      lambda f, x: jax.vmap(f)(x))
  def test_a_host_array_in_a_tracer_that_is_changed(self, transformed):
    p = core.Primitive("test_read_at_once")
    p.def_impl(lambda x: jnp.array(np.array(x)))
    p.def_abstract_eval(lambda x: x)
    ad.deflinear2(p, lambda ct, x: [ct])
    batching.primitive_batchers[p] = lambda xs, dims: (p.bind(*xs), dims[0])
    host = np.ones((1, 1), np.float32)

    def before_and_after(x):
      before = p.bind(x)
      host[...] = 5
      return jnp.stack([before, p.bind(x)])

    with jax_cse.enabled():
      twice = transformed(lambda x: transformed(before_and_after, x), host)
    np.testing.assert_array_equal(np.ravel(twice), [1, 5])

  def test_a_transfer_guard_is_not_tripped_by_a_hit(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled(), jax.transfer_guard("disallow"):
      held = lax.sin(x)
      checking.assert_same_bits(np.asarray(jax.device_get(lax.sin(x))),
                                np.asarray(jax.device_get(held)))


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
    from jax_cse.numbering import value_numbering
    z = jnp.zeros(1 << 13)
    with jax_cse.enabled(max_bytes=1 << 20) as memo:
      for i in range(1000):
        lax.add(z, np.full(1 << 13, i, np.float32))
      self.assertLessEqual(memo.numbering._constant_bytes,
                           value_numbering._MAX_CONSTANT_BYTES)
      self.assertLess(len(memo.numbering._constants),
                      1.1 * value_numbering._MAX_CONSTANT_BYTES / (4 << 13))

  def test_the_least_recently_used_leaves_first(self):
    xs = [jnp.full(1 << 14, float(i)) for i in range(4)]
    with jax_cse.enabled(max_bytes=3 * (1 << 16) + 8192) as memo:
      for x in (xs[0], xs[1], xs[2], xs[0], xs[3]):
        lax.sin(x)
      self.assertEqual(memo.stats.evicted, 1)
      lax.sin(xs[0])
      self.assertEqual(memo.stats.hits, 2)
      lax.sin(xs[1])
      self.assertEqual(memo.stats.hits, 2)

  def test_an_evicted_result_that_is_in_use_keeps_its_number(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled(max_bytes=4096) as memo:
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
    import tracemalloc
    from jax_cse.memo.eager_table import ENTRY_BYTES
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
    self.assertBetween(used / 1000, ENTRY_BYTES / 1.5, ENTRY_BYTES * 1.5)

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

  def test_a_gradient_that_begins_with_custom_jvp_calls(self):
    # Its tangents were merged, since nothing was bound at the trace before.
    @jax.custom_jvp
    def sin(x):
      return lax.sin(x)

    @sin.defjvp
    def _(primals, tangents):
      return sin(*primals), lax.mul(lax.cos(*primals), *tangents)

    fun = lambda x: lax.add(sin(x), lax.add(lax.mul(1.3, sin(x)),
                                            lax.mul(1.7, sin(x)))).sum()
    x = jnp.linspace(0.1, 3, 1000)
    plain = jax.grad(fun)(x)
    with jax_cse.enabled():
      checking.assert_same_bits(jax.grad(fun)(x), plain)


if __name__ == "__main__":
  absltest.main()
