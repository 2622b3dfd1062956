"""Arithmetic that is rebuilt: the equations that are left, and their values."""

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
from checking import assert_close
import jax_cse
from jax_cse.compat import core
from jax_cse.foundation import modes

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


def _thread_poly(t):
  fun = lambda x: 0.3 * jnp.sin(x) * x**10
  for _ in range(4):
    fun = (lambda f: lambda x: jax.jvp(f, (x,), (t,))[1])(fun)
  return fun(2.)


_INTEGER_EXPRESSIONS = st.recursive(
    st.sampled_from(["x", "y", 1, -1, 2, 3, 100, -7]),
    lambda inner: st.tuples(st.sampled_from(["add", "sub", "mul"]), inner,
                            inner), max_leaves=10)


def _evaluate(e, x, y):
  if e in ("x", "y"):
    return x if e == "x" else y
  if isinstance(e, int):
    return jnp.full(x.shape, np.asarray(e).astype(x.dtype))
  return getattr(lax, e[0])(_evaluate(e[1], x, y), _evaluate(e[2], x, y))


class SimplificationTest(parameterized.TestCase):

  def test_the_thread_s_polynomial(self):
    # 302 equations; at most 5 are asked for, and these are t**4 times a number.
    self.assertEqual(checking.count(jax_cse.polysimp(_thread_poly), 1.), 2)
    assert_close(jax_cse.polysimp(_thread_poly)(1.3), _thread_poly(1.3))

  @parameterized.parameters(
      ("(x+y)*(x-y), x*x-y*y", 3), ("x*y+x*z", 2), ("x*y*z + y*x*z", 3),
      ("1 + 2*x + 3*x**2 + 4*x**3", 6), ("x-x, y", 0), ("x*1 + 0*y", 0),
      ("x+x+x+x", 1), ("-(-x)", 0), ("x/4 + x/4", 1), ("x/3", 1), ("1/x*y", 1),
      ("x**2*x**3/x", 2), ("x/y + z/y", 2), ("2*x*(3*y)", 2),
      ("(x+y)*z - x*z", 1),
  )
  def test_counts(self, expression, count):
    fun = lambda x, y, z: eval(expression, {"x": x, "y": y, "z": z})
    args = 0.5, 1.5, -2.5
    simpler = jax_cse.cse(fun)
    assert_close(simpler(*args), fun(*args))
    self.assertEqual(checking.count(simpler, *args), count,
                     jax.make_jaxpr(simpler)(*args))

  def test_a_scalar_is_multiplied_before_an_array(self):
    fun = lambda a, b, x: a * (x * b) * 3.
    jaxpr = jax.make_jaxpr(jax_cse.cse(fun))(2., 3., X).jaxpr
    self.assertEqual([eqn.outvars[0].aval.shape for eqn in jaxpr.eqns],
                     [(), (), (4,)])

  @parameterized.parameters("reassociate", "ring")
  def test_integers_are_exact(self, mode):
    @given(_INTEGER_EXPRESSIONS, st.sampled_from(
        [np.int8, np.uint8, np.int32, np.uint32]))
    @settings(max_examples=60, deadline=None)
    def check(expression, dtype):
      fun = lambda x, y: _evaluate(expression, x, y)
      x, y = (np.array(v).astype(dtype) for v in (
          [0, 1, 127, 200, -1, 2**31 - 1], [3, -128, 77, 13, 2**30, -2**31]))
      expected = fun(jnp.asarray(x), jnp.asarray(y))
      for made in (jax_cse.cse(fun, mode), jax.jit(jax_cse.cse(fun, mode))):
        checking.assert_same_bits(made(x, y), expected)
      with jax_cse.enabled(mode):
        made = jax.jit(lambda *xs: fun(*xs))(x, y)
      checking.assert_same_bits(made, expected)
    check()

  def test_an_integer_multiple_is_not_divided(self):
    def fun(a, b):
      if a * b * 3 < 0:   # wanted first, and by itself
        return a * b, (a + 2 * b) * 5
      return a, b
    checking.assert_same_bits(jax_cse.cse(fun)(jnp.int8(7), jnp.int8(9)),
                              fun(jnp.int8(7), jnp.int8(9)))

  @parameterized.parameters(jnp.float16, jnp.bfloat16, jnp.float32,
                            jnp.complex64)
  def test_dtypes_and_weak_types(self, dtype):
    fun = lambda x, t: (x * t + t * x, x * 0.1 + 0.1 * x, t * 2.0 + t)
    args = X.astype(dtype), 2.0
    simpler = jax_cse.cse(fun)
    for a, b in zip(simpler(*args), fun(*args)):
      self.assertEqual(core.typeof(a), core.typeof(b))
      np.testing.assert_allclose(np.asarray(a, np.complex64),
                                 np.asarray(b, np.complex64), rtol=2e-2)

  def test_half_precision_coefficients_that_do_not_fit(self):
    # 9e8 is infinite in half precision; 1e-6 * 3e4 * 3e4 is not.
    x = jnp.asarray([1e-6, 5e-5], jnp.float16)
    fun = lambda x: (x * 3e4) * 3e4
    np.testing.assert_allclose(jax_cse.cse(fun)(x), fun(x), rtol=1e-2)

  def test_broadcasting(self):
    fun = lambda x, y: ((x[:, None] + y[None]) - y[None], x[:, None] * y[None],
                        jnp.zeros((2, 4)) + x, (x - x) + jnp.ones((3, 4)))
    for a, b in zip(jax_cse.cse(fun)(X, Y), fun(X, Y)):
      self.assertEqual(core.typeof(a), core.typeof(b))
      np.testing.assert_allclose(a, b, rtol=1e-6)

  def test_the_sign_of_a_zero_that_divides(self):
    x = jnp.asarray([1., -2.], jnp.float32)
    for fun in (lambda x: x / jnp.float32(-0.0), lambda x: x / -0.0,
                lambda x: x / jnp.full((2,), -0.0)):
      for mode in modes.MODES:
        np.testing.assert_array_equal(jax_cse.cse(fun, mode)(x), fun(x))

  def test_the_slope_of_tanh_is_a_polynomial(self):
    # By whatever primitive JAX has for it.
    fun = lambda x: jax.jvp(lax.tanh, (x,), (1.,))[1] + lax.tanh(x) ** 2
    self.assertEqual(checking.count(jax_cse.cse(fun), 0.5), 0)
    self.assertEqual(jax_cse.cse(fun)(0.5), 1)

  @parameterized.parameters(True, False)
  def test_constants_of_calls_in_a_loop(self, in_remat):
    constants = np.arange(5000, dtype="float32")
    call = jax.jit(lambda x: x * constants + x * constants * 2)
    step = lambda x: call(x) + call(x)
    if in_remat:   # which has no place for them
      step = jax.checkpoint(step)
    fun = lambda x: lax.fori_loop(0, 3, lambda _, c: step(c), x)
    simpler = jax_cse.cse_jaxpr(jax.make_jaxpr(fun)(X[0] + constants))
    if not in_remat:
      self.assertLessEqual(checking.size(simpler), 4)
    assert_close(core.jaxpr_as_fun(simpler)(constants), [fun(constants)])

  def test_a_constant_takes_no_conversion(self):
    fun = lambda x: lax.atan2(x, jnp.zeros((3,)))
    self.assertEqual(checking.count(jax_cse.cse(fun), jnp.ones(3)),
                     checking.count(fun, jnp.ones(3)))

  def test_enabled_in_ring_and_reassociate(self):
    def fun(x, y):
      return (x + y) * (x - y), x * x - y * y, (x * y) * 2., x * (2. * y)
    hits = {}
    for mode in modes.MODES:
      with jax_cse.enabled(mode) as memo:
        jaxpr = jax.make_jaxpr(fun)(0.5, 2.)
      hits[mode] = memo.stats.hits
      assert_close(core.jaxpr_as_fun(jaxpr)(0.5, 2.), list(fun(0.5, 2.)))
      self.assertEqual(jaxpr.jaxpr.outvars[0] is jaxpr.jaxpr.outvars[1],
                       mode == "ring")
      self.assertEqual(jaxpr.jaxpr.outvars[2] is jaxpr.jaxpr.outvars[3],
                       mode != "exact")
    self.assertLess(hits["exact"], hits["reassociate"])
    self.assertLess(hits["reassociate"], hits["ring"])

  def test_a_constant_is_never_taken_from_what_cancels(self):
    # At 0 the first is NaN, which no zero of the program is.
    fun = lambda x: (x / x - x * (1 / x), jnp.zeros_like(x), x * 0. + x)
    for mode in ("reassociate", "ring"):
      with jax_cse.enabled(mode):
        _, zeros, same = jax.jit(lambda x: fun(x))(jnp.zeros(2))
      np.testing.assert_array_equal(zeros, 0)
      np.testing.assert_array_equal(same, 0)


if __name__ == "__main__":
  absltest.main()
