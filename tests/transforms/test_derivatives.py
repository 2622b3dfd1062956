"""`derivatives`: values, counts beside jet, and errors against the truth."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import jet
import jax.numpy as jnp
import mpmath
import numpy as np

import checking
import jax_cse
import specs
import truth


def taylor(fun, order):
  """All derivatives by `jet`."""
  def derived(t):
    value, series = jet.jet(fun, (t,), ([1.0] + [0.0] * (order - 1),))
    return value, *series
  return derived


def nested(fun, order, x, v):
  """All derivatives by nested `jvp`."""
  results = [fun(x)]
  for _ in range(order):
    fun = (lambda f: lambda y: jax.jvp(f, (y,), (v,))[1])(fun)
    results.append(fun(x))
  return tuple(results)


def _close(actual, expected, rtol=1e-7):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=rtol, atol=rtol * max(1., float(np.abs(b).max(initial=0)))),
      actual, expected)


def _solve(x):
  return jnp.linalg.solve(jnp.eye(3) * 3 + jnp.outer(x, jnp.sin(x)), x)


def _custom(x):
  @jax.custom_jvp
  def f(y):
    return jnp.sin(y)
  f.defjvp(lambda p, t: (f(*p), jnp.cos(p[0]) * t[0] + 0 * p[0]))
  return f(f(x)).sum()


X = np.array([0.3, -0.7, 1.1])
# What Taylor mode has no rule for, and what has more than one number in it.
PROGRAMS = {
    "scan": lambda x: lax.scan(
        lambda c, y: (jnp.sin(c) * y + c, c * c), x, jnp.stack([x, x * x]))[0],
    "fori": lambda x: lax.fori_loop(0, 3, lambda i, y: jnp.tanh(y) + x, x),
    "while": lambda x: lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, s[1] * jnp.cos(s[1])),
        (0, x))[1],
    "cond": lambda x: lax.cond(x[0] > 0, jnp.sin, jnp.exp, x),
    "switch": lambda x: lax.switch(1, [jnp.sin, jnp.tanh, jnp.exp], x),
    "solve": _solve,
    "cholesky": lambda x: jnp.linalg.cholesky(
        jnp.eye(3) * 3 + jnp.outer(x, x)).sum(),
    "custom_jvp": _custom,
    "remat": jax.checkpoint(lambda x: jnp.sin(jnp.sin(x) * x)),
    "jit": jax.jit(lambda x: jnp.tanh(x @ jnp.outer(x, x))),
    "indexing": lambda x: x[jnp.argsort(x)][1:] * x.at[0].set(2.)[:2],
    "relu": lambda x: jax.nn.relu(x * x - 0.2).sum(),
    "quotient": lambda x: (x * x + 1) / (jnp.sum(jnp.exp(x)) + x**3 / 9),
    "powers": lambda x: (1 + x * x)**9 + (x + 2.)**-3 + (x * x + 1)**0.3,
    "nothing depends on it": lambda x: jnp.ones(2),
    "itself": lambda x: x,
    "grad": jax.grad(lambda x: jnp.sum(jnp.tanh(x)**2) * x[0]),
    "prod and max": lambda x: jnp.prod(x) * jnp.max(x),
    "fft": lambda x: jnp.abs(jnp.fft.fft(x * x)),
}


@functools.cache
def _programs(spec):
  """Each derivative as a jaxpr, and all of them by us and by jet: the same at
  every point, and most of the time goes into compiling them."""
  order = 6
  with jax_cse.enabled():
    exact = [jax.make_jaxpr(specs.nested(spec.fun, k))(np.float32(0))
             for k in range(order + 1)]
  return exact, [jax.jit(f) for f in (jax_cse.derivatives(spec.fun, order),
                                      taylor(spec.fun, order))]


class DerivativesTest(parameterized.TestCase):

  @parameterized.parameters(*PROGRAMS)
  def test_equal_to_nested_jvp(self, name):
    fun = PROGRAMS[name]
    with jax.enable_x64(True):
      x, v = jnp.asarray(X), jnp.asarray([1.0, 0.5, -2.0])
      expected = nested(fun, 4, x, v)
      derived = jax_cse.derivatives(fun, 4)
      _close(derived(x, v), expected)
      _close(jax.jit(derived)(x, v), expected)
      _close(derived(x), nested(fun, 4, x, jnp.ones(3)))

  @parameterized.parameters(*specs.SMOOTH)
  def test_never_more_equations_than_jet(self, name, fun):
    ratios = []
    for order in (2, 4, 8, 10):
      ours = checking.size(jax.make_jaxpr(jax_cse.derivatives(fun, order))(0.3))
      theirs = checking.size(jax.make_jaxpr(taylor(fun, order))(0.3))
      self.assertLessEqual(ours, theirs, (name, order))
      ratios.append(ours / theirs)
    self.assertLess(np.exp(np.mean(np.log(ratios))), 0.5, name)

  def test_the_highest_derivative_of_the_thread_s_function(self):
    derived = jax_cse.derivatives(specs.SPECS_BY_NAME["thread"].fun, 8)
    count = lambda f: checking.size(jax_cse.cse_jaxpr(jax.make_jaxpr(f)(0.3)))
    self.assertLessEqual(count(lambda t: derived(t)[-1]), 40)

  @parameterized.product(spec=specs.SMOOTH,
                         point=(0.3, -0.7, 1.1, 2.0, 5.0, 10.0))
  def test_error_at_most_four_times_that_of_jet(self, spec, point):
    # The largest error among neighbours, since one result alone may be exact
    # by chance; some roundings are nobody's fault.
    exact, ways = _programs(spec)
    errors = np.zeros((2, len(exact)))
    size = np.zeros(len(exact))
    for i in range(6):
      x = np.float32(point + 0.003 * i)
      wanted = [truth.exactly(jaxpr, x)[0].item() for jaxpr in exact]
      size = np.maximum(size, [abs(float(w)) for w in wanted])
      for j, way in enumerate(ways):
        for k, (a, b) in enumerate(zip(way(x), wanted)):
          errors[j, k] = max(errors[j, k], abs(mpmath.mpf(float(a)) - b))
    rounding = 16 * np.finfo(np.float32).eps * size
    self.assertTrue(np.all(errors[0] <= np.maximum(4 * errors[1], rounding)),
                    f"{spec.name} at {point}: {errors} of {size}")

  def test_compositions(self):
    fun = lambda x: jnp.tanh(x) * jnp.sin(x)
    derived = jax_cse.derivatives(fun, 3)
    third = lambda x: nested(fun, 3, x, jnp.ones_like(x))[3]
    x = jnp.float32(0.4)
    _close(derived(x)[3], third(x), 1e-5)
    _close(jax.grad(lambda y: derived(y)[3])(x), jax.grad(third)(x), 1e-5)
    _close(jax.jvp(lambda y: derived(y)[3], (x,), (x,)),
           jax.jvp(third, (x,), (x,)), 1e-5)
    _close(jax.vmap(derived)(jnp.ones(3))[2], derived(jnp.ones(3))[2], 1e-5)
    _close(jax_cse.derivatives(jax.vmap(fun), 2)(jnp.ones(3)),
           derived(jnp.ones(3))[:3], 1e-5)
    _close(jax_cse.cse(derived)(x)[3], third(x), 1e-5)
    _close(jax_cse.derivatives(lambda y: jax_cse.derivatives(fun, 1)(y)[1],
                               2)(x)[2], third(x), 1e-5)

  def test_pytrees_and_integers(self):
    fun = lambda tree: {"a": tree["x"] * tree["y"][0]**2,
                        "n": jnp.argmax(tree["x"]), "c": 3.0}
    x = {"x": jnp.arange(3.0), "y": (2.0,)}
    v = {"x": jnp.ones(3), "y": (0.5,)}
    for actual, expected in zip(jax_cse.derivatives(fun, 3)(x, v),
                                nested(fun, 3, x, v)):
      self.assertEqual(jax.tree.structure(actual),
                       jax.tree.structure(expected))
      _close(actual["a"], expected["a"], 1e-6)
      self.assertEqual(actual["c"], expected["c"])
    zeros = jax_cse.derivatives(fun, 1)(x, v)[1]["n"]
    self.assertEqual(zeros.dtype, jax.dtypes.float0)

  def test_complex_and_half_precision(self):
    fun = lambda z: jnp.tanh(z) * z**3
    z = jnp.asarray(0.3 + 0.4j)
    _close(jax_cse.derivatives(fun, 3)(z), nested(fun, 3, z, jnp.ones_like(z)),
           1e-4)
    for dtype in (jnp.float16, jnp.bfloat16):
      out = jax_cse.derivatives(fun, 3)(jnp.asarray(0.3, dtype))
      self.assertEqual({y.dtype for y in out}, {jnp.dtype(dtype)})
      _close(np.asarray(out, np.float32), np.asarray(
          jax_cse.derivatives(fun, 3)(jnp.float32(0.3))), 0.1)

  def test_types_are_those_of_nested_jvp(self):
    fun = lambda t: jnp.sin(t) * 2
    for x, v in ((0.5, 1.0), (jnp.float32(0.5), jnp.float32(1.0))):
      for a, b in zip(jax_cse.derivatives(fun, 3)(x, v),
                      nested(fun, 3, x, v)):
        self.assertEqual(jax.typeof(a), jax.typeof(b))

  def test_order_zero(self):
    out, = jax_cse.derivatives(jnp.sin, 0)(0.5)
    self.assertEqual(out, jnp.sin(0.5))

  @parameterized.parameters(
      (-1, ValueError, "0 or more; got -1"), (1.5, TypeError, "got 1.5"),
      (True, TypeError, "got True"))
  def test_bad_order(self, order, error, message):
    with self.assertRaisesRegex(error, message):
      jax_cse.derivatives(jnp.sin, order)

  @parameterized.parameters(
      ((3,), "inexact.*got int32"),
      ((1.0, (1.0,)), "structure"),
      ((jnp.ones(3), jnp.ones(2)), "shapes and dtypes"))
  def test_bad_operands(self, args, message):
    with self.assertRaisesRegex(TypeError, message):
      jax_cse.derivatives(jnp.sin, 2)(*args)


class TruthTest(absltest.TestCase):

  def test_the_evaluator_agrees_with_jax(self):
    with jax.enable_x64(True):
      for spec in specs.SMOOTH:
        fun, x = specs.nested(spec.fun, 2), np.float64(0.4)
        exact, = truth.exactly(jax.make_jaxpr(fun)(x), x)
        np.testing.assert_allclose(float(exact.item()), jax.jit(fun)(x),
                                   rtol=1e-9, err_msg=spec.name)


if __name__ == "__main__":
  absltest.main()
