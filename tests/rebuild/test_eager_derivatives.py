"""Derivatives that are called eagerly, by programs that are never stale."""

import functools
import gc
from unittest import mock
import weakref

from absl.testing import absltest
import jax
import jax.extend
from jax.interpreters import ad
from jax.interpreters import mlir
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.rebuild import curves
from jax_cse.rebuild import known_programs

_scale = 2.


def _by_global(x):
  return _scale * jnp.sin(x)


class EagerTest(absltest.TestCase):

  def _made(self, calls):
    """How many programs are made while `calls` runs."""
    with mock.patch.object(curves, "_around", wraps=curves._around) as made:
      calls()
    return made.call_count

  def test_a_program_is_made_once(self):
    fun = lambda x: jax.nn.relu(x) * jnp.tanh(x**3) + 17.
    for derive in (jax_cse.derivatives(fun, 3),
                   lambda x: jax_cse.jet(fun, (x,), ([x, 1., x],))):
      self.assertEqual(self._made(lambda d=derive: d(.5)), 1)
      self.assertEqual(self._made(lambda d=derive: [d(.5), d(.6)]), 0)
      self.assertEqual(self._made(lambda d=derive: d(jnp.ones(3))), 1)

  def test_a_loop_is_the_same_each_time(self):
    fun = lambda x: jax.lax.fori_loop(0, 3, lambda i, c: jnp.sin(c) * x, x)
    derive = jax_cse.derivatives(fun, 2)
    derive(.5)
    self.assertEqual(self._made(lambda: derive(.7)), 0)

  def test_what_a_closure_holds_may_change(self):
    held = [np.array(2.), jnp.arange(3.), 2.]
    fun = lambda x: held[0] * x + held[1] * x**2 + held[2] * x**3
    derive = jax_cse.derivatives(fun, 2)
    for change in (lambda: None, lambda: held.__setitem__(0, np.array(3.)),
                   lambda: held[0].__iadd__(1),
                   lambda: held.__setitem__(1, jnp.arange(3.) + 5),
                   lambda: held.__setitem__(2, 7.)):
      change()
      _, first, second = derive(2.)
      np.testing.assert_allclose(
          first, held[0] + 4 * held[1] + 12 * held[2], rtol=1e-6)
      np.testing.assert_allclose(second, 2 * held[1] + 12 * held[2], rtol=1e-6)

  def test_a_global_may_change(self):
    derive = jax_cse.derivatives(_by_global, 1)
    derive(0.)
    with mock.patch.dict(globals(), _scale=5.):
      self.assertEqual(float(derive(0.)[1]), 5.)

  def test_a_rule_may_change(self):
    slope = [2.]
    fun = jax.custom_jvp(lambda x: 1. * x)
    fun.defjvps(lambda dx, y, x: slope[0] * dx)
    derive = jax_cse.derivatives(fun, 1)
    self.assertEqual(float(derive(1.)[1]), 2.)
    slope[0] = 3.
    self.assertEqual(float(derive(1.)[1]), 3.)

  def test_an_object_with_a_rule_may_change(self):
    class Layer:

      def __init__(self, slope):
        self.slope = slope

      def value(self, x):
        return x * 1.

      def rule(self, dx, y, x):
        return self.slope * dx

      def __call__(self, dx, y, x):
        return self.slope * dx

    for rule in (lambda layer: layer.rule, lambda layer: layer,
                 lambda layer: functools.partial(layer.rule)):
      layer = Layer(2.)
      fun = jax.custom_jvp(layer.value)
      fun.defjvps(rule(layer))
      derive = jax_cse.derivatives(fun, 1)
      self.assertEqual(float(derive(1.)[1]), 2.)
      layer.slope = 3.
      self.assertEqual(float(derive(1.)[1]), 3.)

  def test_a_primitive_may_change(self):
    slope = [2.]
    primitive = jax.extend.core.Primitive("a_primitive_of_a_user")
    primitive.def_impl(lambda x: x * 1.)
    primitive.def_abstract_eval(lambda aval: aval)
    mlir.register_lowering(primitive, mlir.lower_fun(lambda x: x * 1., False))
    ad.defjvp(primitive, lambda dx, x: slope[0] * dx)
    derive = jax_cse.derivatives(primitive.bind, 1)
    x = jnp.ones(())
    self.assertEqual(float(derive(x)[1]), 2.)
    slope[0] = 3.
    self.assertEqual(float(derive(x)[1]), 3.)

  def test_a_result_may_be_deleted(self):
    x, c = jnp.ones(3), jnp.arange(3.)
    for _ in range(2):
      for y in jax_cse.derivatives(lambda x: c * x, 1)(x):
        y.delete()
    value, terms = jax_cse.jet(lambda x: (x * 1., x), (x,), ([x, x],))
    for y in (*value, *terms[0], *terms[1]):
      y.delete()
    self.assertFalse(x.is_deleted() or c.is_deleted())

  def test_a_large_constant_of_a_call_is_not_kept(self):
    def call():
      w = jnp.ones((100, 100))
      jax_cse.derivatives(jax.jit(lambda x: w @ x), 2)(jnp.ones(100))
      return weakref.ref(w)

    kept = call()
    jax.clear_caches()
    gc.collect()
    self.assertIsNone(kept())

  def test_programs_go_with_the_caches_of_jax(self):
    derive = jax_cse.derivatives(lambda x: jnp.sin(x) * 19., 1)
    derive(.5)
    jax.clear_caches()
    self.assertEqual(self._made(lambda: derive(.5)), 1)

  def test_a_function_with_a_rule_runs_once(self):
    runs = []
    fun = jax.custom_jvp(jnp.sin)
    fun.defjvps(lambda dx, y, x: jnp.cos(x) * dx)
    jax_cse.derivatives(lambda x: (runs.append(x), fun(x))[1], 2)(1.)
    self.assertLen(runs, 1)

  def test_the_rules_of_jax_are_known(self):
    primitives = [x for x in vars(jax.lax).values()
                  if isinstance(x, jax.extend.core.Primitive)]
    self.assertGreater(len(primitives), 100)
    for primitive in primitives:
      self.assertTrue(known_programs._is_of_jax(
          ad.primitive_jvps.get(primitive)), primitive)

  def test_python_may_ask_for_values(self):
    fun = lambda x: x**2 if x > 0 else -x
    derive = jax_cse.derivatives(fun, 1)
    self.assertEqual([float(derive(x)[1]) for x in (3., -3., 4.)], [6, -1, 8])

  def test_settings_are_a_part_of_the_key(self):
    derive = jax_cse.derivatives(lambda x: x * np.float64(2.5), 1)
    for x64 in (False, True, False):
      with jax.enable_x64(x64):
        self.assertEqual(derive(jnp.ones(()))[1].dtype,
                         jnp.float64 if x64 else jnp.float32)

  def test_results_stay_where_the_operands_are(self):
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    x = jax.device_put(jnp.float32(2), sharding)
    for y in jax_cse.derivatives(lambda x: 3. * x, 1)(x):
      self.assertTrue(y.committed)

  def test_types_are_those_of_a_traced_call(self):
    fun = lambda x: (x * 3., x > 1, jnp.float16(1) * x)
    for x in (2., np.float32(2), jnp.float32(2)):
      eager = jax_cse.derivatives(fun, 2)(x)
      traced = jax.jit(jax_cse.derivatives(fun, 2))(x)
      for a, b in zip(jax.tree.leaves(eager), jax.tree.leaves(traced)):
        self.assertEqual(jax.typeof(a), jax.typeof(b))


if __name__ == "__main__":
  absltest.main()
