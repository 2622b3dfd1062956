"""Results have the dtype, the weak type, the range and the kind of object that
they have without CSE, in every mode."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.foundation import modes

F16, BF16, F32, I8, U8, I32 = (
    jnp.float16, jnp.bfloat16, jnp.float32, jnp.int8, jnp.uint8, jnp.int32)
_LARGE, _ONES = jnp.full((2, 2), 60000, F16), jnp.ones((2, 2), F16)
_IN_F32 = lambda a: lax.dot(a, _ONES.astype(a.dtype),
                            preferred_element_type=F32)


def _weak_and_strong(p, x, y, c):
  a = lax.select(p, x, c)
  b = lax.select(p, x, lax.select(p, jnp.float32(y), c))
  return a, b, b * jnp.bfloat16(257)


# Functions and operands. Wherever a sum crossed a change of type, these would
# overflow, underflow, or lose all that the wider type is there for.
CASES = {
    "mean in half precision": (jnp.mean, jnp.full(2000, 100, F16)),
    "variance in half precision": (jnp.var, jnp.arange(2000).astype(F16) / 10),
    "softmax in half precision": (jax.nn.softmax,
                                  jnp.linspace(-9, 9, 64, dtype=F16)),
    "sum of what was widened": (
        lambda a, b: a.astype(F32) + b.astype(F32), F16(60000), F16(60000)),
    "... of bfloat16": (
        lambda a, b: a.astype(F32) + b.astype(F32), BF16(256), BF16(1)),
    "... of a constant": (
        lambda a: (BF16(256) + BF16(1) + (a - a)).astype(F32), BF16(3)),
    "loss scaling": (lambda g: (g * 65536.).astype(F16), F32(1e-8)),
    "loss scaling in half precision": (
        lambda x: jax.grad(lambda x: jnp.sum(x * F16(1e-4)) * F16(1024))(x)
        * F16(1e-4) / F16(1024), jnp.ones(3, F16)),
    "dot in single precision": (lambda a: _IN_F32(a) + _IN_F32(a * 1), _LARGE),
    "dot of bfloat16": (
        lambda a, b: _IN_F32(a) + _IN_F32(b), jnp.full((2, 2), 256, BF16),
        jnp.ones((2, 2), BF16)),
    "sum in another type": (
        lambda a, b: jnp.sum(a, dtype=F32) + jnp.sum(b, dtype=F32),
        jnp.full(4, 60000, F16), jnp.full(4, 60000, F16)),
    "products regrouped": (lambda a, b, c: a * b * c,
                           F16(1000), F16(1e-3), F16(1000)),
    "a small integer that wrapped, converted": (
        lambda a: (a - a + I8(100) + I8(100)).astype(I32),
        jnp.arange(3, dtype=I8)),
    "an unsigned integer under zero": (
        lambda a: (U8(3) - U8(5)).astype(F32) + a, F32(0)),
    "an index that wrapped": (
        lambda a: jnp.arange(300)[(U8(200) + U8(100)).astype(I32)] + a, I32(0)),
    "integer products in a wider type": (
        lambda a: lax.dot(a, a, preferred_element_type=I32),
        jnp.full((2, 2), 100, I8)),
    "selects of strong and weak cases": (_weak_and_strong, True, 1.001, F32(2),
                                         3.0),
    "a scan of no steps": (
        lambda: lax.scan(lambda c, x: (c + x, x), 0., np.array([]))[0],),
}
# What a change of type does let through, and how many equations are left in
# mode "ring", of which one makes an array of zeros.
CROSSING = {
    "a negation": (lambda a: (-a).astype(F32) + a.astype(F32), BF16, 1),
    "a negation, narrowed": (lambda a: (-a).astype(BF16) + a.astype(BF16),
                             F32, 1),
    "a power of two, widened": (
        lambda a: (4 * a).astype(F32) - 4 * a.astype(F32), BF16, 1),
    "one operand, twice": (lambda a: a.astype(F32) + a.astype(F32), BF16, 2),
    "a negated operand of a product": (
        lambda a: _IN_F32(-a) + _IN_F32(a), BF16, 1),
}
# And what it does not.
NOT_CROSSING = {
    "a sum": (lambda a: (a + 1).astype(F32) - a.astype(F32), BF16),
    "a power of two, narrowed": (
        lambda a: (4 * a).astype(BF16) - 4 * a.astype(BF16), F32),
    "another multiple": (lambda a: (3 * a).astype(F32) - 3 * a.astype(F32),
                         BF16),
    "a sum of operands of a product": (
        lambda a: _IN_F32(a + 1) - _IN_F32(a), BF16),
    "anything in half precision": (lambda a: a * 3 + a - 4 * a, F16),
}


def count(fun, *args):
  return jax_cse.count_primitives(fun)(*args).total()


class TypesAndRangesTest(parameterized.TestCase):

  def check(self, actual, expected):
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected),
                    strict=True):
      self.assertIsInstance(a, jax.Array)
      self.assertEqual(jax.typeof(a), jax.typeof(b))
      self.assertEqual(a.committed, b.committed)
      self.assertEqual(a.sharding, b.sharding)
      np.testing.assert_allclose(np.asarray(a, np.float64),
                                 np.asarray(b, np.float64), rtol=4e-3)

  @parameterized.product(name=list(CASES), mode=modes.MODES)
  def test_is_what_it_is_without(self, name, mode):
    fun, *args = CASES[name]
    expected = jax.jit(fun)(*args)
    self.assertTrue(all(np.isfinite(np.asarray(y, np.float64)).all()
                        for y in jax.tree.leaves(expected)))
    self.check(jax_cse.cse(fun, mode)(*args), expected)
    self.check(jax.jit(jax_cse.cse(lambda *xs: fun(*xs), mode))(*args),
               expected)
    with jax_cse.enabled(mode):
      self.check(jax.jit(lambda *xs: fun(*xs))(*args), expected)
    jaxpr = jax_cse.cse_jaxpr(jax.make_jaxpr(fun)(*args), mode)
    self.check(jax.jit(core.jaxpr_as_fun(jaxpr))(*args), expected)

  @parameterized.parameters(*CROSSING)
  def test_crosses_a_change_of_type(self, name):
    fun, dtype, equations = CROSSING[name]
    x = jnp.asarray([[1.5, -2.25], [3., 100.]], dtype)
    self.assertEqual(count(jax_cse.cse(fun), x), equations)
    self.check(jax_cse.cse(fun)(x), fun(x))

  @parameterized.parameters(*NOT_CROSSING)
  def test_does_not_cross_a_change_of_type(self, name):
    fun, dtype = NOT_CROSSING[name]
    x = jnp.asarray([[256, 300], [511, 1023]], dtype)
    self.assertGreater(count(jax_cse.cse(fun), x), 2)
    # Eagerly: compiled, XLA may round less often than it is told.
    np.testing.assert_array_equal(jax_cse.cse(fun)(x), fun(x))

  @parameterized.parameters(*modes.MODES)
  def test_constant_results(self, mode):
    placed = jax.device_put(jnp.ones(2), jax.devices()[0])
    for fun, x in [(lambda x: x - x, jnp.float32(1)), (lambda x: x - x, placed),
                   (lambda x: 3.0, placed), (lambda x: np.ones(2), placed),
                   (lambda x: jnp.sum(x) * 0 * 2.0, placed),
                   (lambda x: (x, None, 3), placed),
                   (lambda x: x.astype(int) - x.astype(int), placed)]:
      with self.subTest():
        if not any(isinstance(y, int | float | np.ndarray)
                   for y in jax.tree.leaves(fun(x))):
          self.check(jax_cse.cse(fun, mode)(x), fun(x))
        for y in jax.tree.leaves(jax_cse.cse(fun, mode)(x)):
          self.assertIsInstance(y, jax.Array)
        # A number of Python has no such method.
        jax.jit(lambda x, fun=fun: [
            y.at[...].add(1)
            for y in jax.tree.leaves(jax_cse.cse(fun, mode)(x))])(x)

  def test_a_constant_that_is_put_on_a_device(self):
    device = jax.devices()[0]
    fun = lambda x: jax.device_put(x, device) - jax.device_put(x, device)
    self.check(jax_cse.cse(fun)(jnp.ones(2)), fun(jnp.ones(2)))

  @parameterized.product(mode=modes.MODES, value=(jnp.nan, jnp.inf, -jnp.inf))
  def test_a_constant_that_is_not_finite(self, mode, value):
    for fun in (lambda x: jnp.zeros_like(x) * value,
                lambda x: (x - x) * value,
                lambda x: x + value - value,
                lambda x: value * jnp.ones_like(x) / value):
      actual = jax.jit(jax_cse.cse(fun, mode))(jnp.ones(2))
      np.testing.assert_array_equal(actual, fun(jnp.ones(2)))

  @parameterized.parameters("float8_e4m3fn", "float16", "bfloat16", "float32")
  def test_a_derivative_that_is_known_to_be_zero(self, dtype):
    x = jnp.array([jnp.nan, 1], dtype)
    fun = lambda x: jnp.square(jnp.sign(x))
    self.check(jax_cse.derivatives(fun, 1)(x)[1],
               jax.jvp(fun, (x,), (jnp.ones_like(x),))[1])

  @parameterized.product(mode=modes.MODES, scale=(1e-30, 1e30))
  def test_factors_that_keep_numbers_in_range(self, mode, scale):
    x = jnp.float32(1 / scale)
    for fun in (lambda x: (x * scale) * (x * scale),
                lambda x: (x / (1 / scale)) * (scale * x) + x * scale,
                lambda x: (x * scale) ** 3):
      np.testing.assert_allclose(jax_cse.cse(fun, mode)(x), fun(x), rtol=1e-6)
      np.testing.assert_allclose(
          jax_cse.derivatives(lambda x, f=fun: f(x), 1)(x)[1],
          jax.jvp(fun, (x,), (jnp.float32(1),))[1], rtol=1e-6)

  @parameterized.product(mode=modes.MODES, draw=(
      jax.random.gumbel, jax.random.uniform, jax.random.normal,
      jax.random.exponential))
  def test_random_numbers(self, mode, draw):
    # Which are moved by the smallest number of the type, 2**-126.
    fun = lambda key: draw(key, (5, 4))
    key = jax.random.key(1337)
    np.testing.assert_allclose(jax_cse.cse(fun, mode)(key), fun(key), rtol=1e-5,
                               atol=1e-6)

  @parameterized.parameters(*modes.MODES)
  def test_a_placement_through_two_transformations(self, mode):
    x = jax.device_put(jnp.ones(2), jax.devices()[0])
    inner = lambda y: y * 0 + 1
    self.check(jax_cse.cse(lambda x: jax_cse.cse(inner, mode)(x), mode)(x),
               inner(x))

  def test_a_result_of_none_is_kept(self):
    self.assertIsNone(jax_cse.cse(lambda x: None)(1.0))
    self.assertEqual(jax_cse.derivatives(lambda x: None, 2)(1.0), (None,) * 3)

  def test_a_converted_complex_direction(self):
    fun = lambda z: z.astype(jnp.bfloat16)
    z = jnp.array([1 + 2j], jnp.complex64)
    _, derived = jax_cse.derivatives(fun, 1)(z)
    self.check(derived, jax.jvp(fun, (z,), (jnp.ones_like(z),))[1])

  def test_the_ring_merges_what_is_merged_exactly(self):
    w, x = jnp.ones((4, 4)), jnp.ones((3, 4))
    fun = jax.grad(lambda w, x: jnp.sum(jnp.sin(x @ w) @ w.T))
    left = {}
    for mode in modes.MODES:
      with jax_cse.enabled(mode):
        left[mode] = count(lambda *xs: fun(*xs), w, x)
    self.assertLessEqual(max(left["ring"], left["reassociate"]), left["exact"])


if __name__ == "__main__":
  absltest.main()
