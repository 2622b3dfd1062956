"""Eager hits: when a result may be given again, and when it may not."""

import gc
import os
import subprocess
import sys
import weakref

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.interpreters import ad
from jax.interpreters import batching
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse.compat import core


class HitsTest(parameterized.TestCase):

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
