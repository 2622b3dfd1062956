"""`jet` beside nested `jvp` of the composition, and beside JAX's own."""

import functools
import math

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import jet as jax_jet
import jax.numpy as jnp
import numpy as np

import jax_cse
from specs import SMOOTH


def _by_nested_jvp(fun, primals, series):
  """The same derivatives, of `fun` on the polynomials with these series."""
  def composed(t):
    return fun(*(
        x + sum(y * t**k / math.factorial(k) for k, y in enumerate(terms, 1))
        for x, terms in zip(primals, series)))

  levels = [composed]
  for _ in series[0]:
    levels.append(lambda t, f=levels[-1]: jax.jvp(f, (t,), (1.,))[1])
  value, *terms = [f(0.) for f in levels]
  return value, jax.tree.map(lambda *xs: list(xs), *terms)


def _is_terms(x):
  return isinstance(x, list)


def _scan(x, w):
  return lax.scan(lambda c, _: (jnp.tanh(w @ c), c.sum()), x, None, length=3)


def _while(x, w):
  return lax.fori_loop(0, 3, lambda i, c: jnp.sin(w @ c) + i, x)


def _cond(x, w):
  return lax.cond(x[0] > 0, lambda: w @ x, lambda: jnp.cos(x))


def _cholesky(x, w):
  k = w @ w.T + jnp.diag(jnp.exp(x)) + jnp.eye(3)
  return jnp.linalg.slogdet(k)[1] + x @ jnp.linalg.solve(k, x)


@jax.custom_jvp
def _cubed(x):
  return x**3


_cubed.defjvp(lambda primals, tangents: (
    _cubed(primals[0]), 3 * primals[0]**2 * tangents[0]))

_FUNCTIONS = {
    "scan": _scan, "while": _while, "cond": _cond, "cholesky": _cholesky,
    "custom_jvp": lambda x, w: _cubed(w @ x),
    "relu": lambda x, w: jax.nn.relu(w @ x) * jax.nn.softplus(x),
    "quotient": lambda x, w: (w @ x) / (1 + x * x),
    "softmax": lambda x, w: jax.nn.softmax(w @ x),
    "dict": lambda x, w: {"a": x[0] * w, "b": (jnp.sum(w), 3., x > 0)},
}


class JetTest(parameterized.TestCase):

  def _assert_close(self, got, wanted, rtol=1e-9):
    self.assertEqual(jax.tree.structure(got), jax.tree.structure(wanted))
    for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted)):
      if jnp.result_type(b) == jax.dtypes.float0:
        b = np.zeros(b.shape)
      np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)

  @parameterized.product(
      name=list(_FUNCTIONS), order=(1, 3), scaled=(True, False))
  def test_series_of_several_inputs(self, name, order, scaled):
    with jax.enable_x64(True):
      rng = np.random.default_rng(0)
      primals = rng.normal(size=3), rng.normal(size=(3, 3))
      series = tuple([rng.normal(size=x.shape) for _ in range(order)]
                     for x in primals)
      value, terms = _by_nested_jvp(_FUNCTIONS[name], primals, series)
      if not scaled:
        series, terms = (jax.tree.map(
            lambda terms: terms if terms[0].dtype == jax.dtypes.float0 else [
                y / math.factorial(k) for k, y in enumerate(terms, 1)],
            s, is_leaf=_is_terms) for s in (series, terms))
      got = jax_cse.jet(_FUNCTIONS[name], primals, series,
                        factorial_scaled=scaled)
      self._assert_close(got, (value, terms))

  @parameterized.parameters(jnp.float16, jnp.bfloat16)
  def test_series_outside_of_the_ring(self, dtype):
    x = jnp.asarray([.5, 1.], dtype)
    fun = lambda x: x * jnp.sin(x)
    for scaled in (True, False):
      got = jax_cse.jet(fun, (x,), ([x, 1., x],), factorial_scaled=scaled)
      wanted = jax_jet.jet(fun, (x,), ([x, jnp.ones_like(x), x],),
                           factorial_scaled=scaled)
      self.assertEqual({y.dtype for y in jax.tree.leaves(got)}, {x.dtype})
      self._assert_close(jax.tree.map(jnp.float32, got),
                         jax.tree.map(jnp.float32, wanted), 5e-2)

  def test_terms_of_a_pytree(self):
    fun = lambda p: {"c": p["a"] * p["b"]}
    p, p1, p2 = ({"a": jnp.float32(i), "b": jnp.arange(2.) + i}
                 for i in (2, 3, 5))
    by_term = jax_cse.jet(fun, (p,), ([p1, p2],))
    by_leaf = jax_cse.jet(fun, (p,), (jax.tree.map(
        lambda *xs: list(xs), p1, p2),))
    self._assert_close(by_leaf, by_term)
    self.assertEqual(jax.tree.structure(by_term[1], is_leaf=_is_terms),
                     jax.tree.structure({"c": 0}))
    np.testing.assert_allclose(by_term[1]["c"][1], p2["a"] * p["b"] + (
        2 * p1["a"] * p1["b"]) + p["a"] * p2["b"])

  def test_its_series_are_series_again(self):
    """A solution of an ODE has the derivatives that those of its slope give."""
    slope = lambda state: (state[1], -jnp.sin(state[0]))
    state, series = (1., .5), ([], [])
    for _ in range(4):
      value, terms = jax_cse.jet(slope, (state,), (series,))
      series = tuple([v, *ts] for v, ts in zip(value, terms))
    q, p = state
    self._assert_close(
        jnp.stack(series[0]),
        jnp.stack([p, -math.sin(q), -math.cos(q) * p,
                   math.sin(q) * p**2 + math.cos(q) * math.sin(q)]), 1e-6)

  def test_of_no_order(self):
    value, terms = jax_cse.jet(lambda x: (x, jnp.sin(x)), (1.,), ([],))
    self._assert_close(value, (1., math.sin(1.)), 1e-6)
    self.assertEqual(terms, ([], []))

  @parameterized.parameters(
      jnp.sin, jnp.exp, lambda x: 2. * x, lambda x: x / 2,
      lambda x: x * jnp.ones(3), lambda x: x > 0)
  def test_integers_are_numbers(self, fun):
    """As by JAX's, where that does not raise."""
    for x in (2, jnp.arange(1, 4), jnp.array([True, True, False])):
      series = [jnp.full(jnp.shape(x), .5)] * 2
      got = jax_cse.jet(fun, (x,), (series,))
      wanted = jax_jet.jet(fun, (x,), (series,))
      self._assert_close(got, wanted, 1e-5)
      for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(wanted)):
        self.assertEqual(a.dtype, b.dtype)

  def test_an_integer_that_stays_is_an_index(self):
    got = jax_cse.jet(lambda i, x: x[i]**2, (1, jnp.arange(3.)),
                      ([0, 0], [jnp.ones(3), jnp.zeros(3)]))
    self._assert_close(got, (1., [2., 2.]))

  def test_weak_types_stay(self):
    for x, dtype in ((2., jnp.float16), (jnp.float32(2), jnp.float32)):
      value, (term,) = jax_cse.jet(lambda x: x * jnp.float16(3), (x,), ([1.],))
      self.assertEqual((value.dtype, term.dtype), (dtype, dtype))

  def test_zeros_and_ones_that_are_known(self):
    """Those in between are left out of the program, traced or not."""
    fun = lambda x: jnp.sin(jnp.tanh(x))
    x = jnp.float32(.7)
    count = lambda f, *xs: jax_cse.count_primitives(f)(*xs).total()
    by = lambda x, s: jax_cse.jet(fun, (x,), (s,))
    v = jnp.float32(.3)
    unknown = count(by, x, [v] * 5)
    gaps = lambda x, v: by(x, [
        jnp.zeros_like(x), v, jnp.zeros_like(x), jnp.ones_like(x),
        jnp.zeros_like(x)])
    self.assertLess(count(gaps, x, v), unknown / 2)
    self.assertLess(count(jax.vmap(gaps), x[None], v[None]), unknown / 2)
    self._assert_close(gaps(x, v), by(x, [0 * v, v, 0 * v, 1 + 0 * v, 0 * v]),
                       1e-5)

  def test_equal_values_that_move_otherwise(self):
    x = jnp.float32(2)
    fun = lambda x, y: x**2 * y
    got = jax_cse.jet(fun, (x, x), ([x, x, x], [x, 3 * x, 0.]))
    self._assert_close(got, _by_nested_jvp(
        fun, (x, x), [[x, x, x], [x, 3 * x, 0 * x]]), 1e-5)

  def test_composes(self):
    fun = lambda x: jnp.sin(x) * jnp.exp(x)
    series = lambda v: ([v, 2. * v],)
    second = lambda x, v: jax_cse.jet(fun, (x,), series(v))[1][1]
    theirs = lambda x, v: jax_jet.jet(fun, (x,), series(v))[1][1]
    xs = jnp.linspace(-1, 1, 5)
    in_scan = lambda f: lambda xs, vs: lax.scan(
        lambda c, xv: (c, f(*xv)), 0., (xs, vs))[1]
    in_jet = lambda outer, f: lambda x, v: outer(
        lambda y: f(y, y * v), (x,), ([v, 1.],))[1][1]
    self._assert_close(in_jet(jax_cse.jet, second)(.5, 2.),
                       in_jet(jax_jet.jet, theirs)(.5, 2.), 1e-4)
    for outer in (jax.jit, jax.vmap, in_scan,
                  lambda f: jax.vmap(jax.grad(f, (0, 1))),
                  lambda f: jax.grad(lambda x, v: jax.vmap(f)(x, v).sum()),
                  lambda f: lambda x, v: jax.jvp(f, (x, v), (v, x))):
      self._assert_close(outer(second)(xs, xs + 1), outer(theirs)(xs, xs + 1),
                         1e-4)

  @parameterized.parameters(*range(4))
  def test_power_at_zero(self, order):
    """JAX's rule for a power gives NaN there."""
    _, terms = jax_cse.jet(lambda x: x**2., (0.,), ([1., 0., 0., 0.],))
    self.assertEqual(float(terms[order]), [0, 2, 0, 0][order])

  @parameterized.product(
      spec=[s for s in SMOOTH if s.name in (
          "thread", "1/(1+t*t)", "tanh mlp", "exp sin", "logsumexp")],
      order=(2, 8), scaled=(True, False))
  def test_no_more_equations_than_by_jax(self, spec, order, scaled):
    series = [jnp.float32(.3 + .1 * k) for k in range(order)]
    ours, theirs = (
        jax_cse.count_primitives(functools.partial(
            lambda jet, x, s: jet(spec.fun, (x,), (s,),
                                  factorial_scaled=scaled), jet))(
                                      jnp.float32(.7), series).total()
        for jet in (jax_cse.jet, jax_jet.jet))
    self.assertLess(ours, theirs)


_QUOTIENTS = {
    "logistic": lambda x: jnp.exp(x) / (1 + jnp.exp(x)),
    "its square": lambda x: (jnp.exp(x) / (1 + jnp.exp(x)))**2,
    "reciprocal": lambda x: 1 / (1 + jnp.exp(x)),
    "cube": lambda x: (x / (1 + x * x))**3,
}


class AccuracyTest(parameterized.TestCase):

  @parameterized.product(name=list(_QUOTIENTS), order=(5, 8))
  def test_a_quotient_keeps_its_digits(self, name, order):
    """Its derivatives are short polynomials in it, with large coefficients."""
    fun = _QUOTIENTS[name]
    xs = np.linspace(-6, 6, 41)

    def highest(jet, dtype):
      by = lambda x: jet(fun, (x,), (
          [jnp.ones_like(x)] + [jnp.zeros_like(x)] * (order - 1),))[1][-1]
      return np.asarray(jax.vmap(by)(jnp.asarray(xs, dtype)))

    with jax.enable_x64(True):
      wanted = highest(jax_jet.jet, jnp.float64)
    ours, theirs = (np.abs(highest(jet, jnp.float32) - wanted).max()
                    for jet in (jax_cse.jet, jax_jet.jet))
    rounding = 16 * np.finfo(np.float32).eps * np.abs(wanted).max()
    self.assertLessEqual(ours, max(4 * theirs, rounding))


class ErrorsTest(parameterized.TestCase):

  @parameterized.parameters(
      (((1., 2.), ([1.], [1., 1.])), ValueError, r"inconsistent.*\[1, 2\]"),
      (((), ()), ValueError, "inconsistent"),
      (((1.,), ([1.], [1.])), ValueError, "got 2 for 1"),
      (((1.,), ()), ValueError, "got 0 for 1"),
      (((1.,), None), TypeError, "series of jet .* got NoneType"),
      (((x for x in [1.]), ([1.],)), TypeError, "primals .* got generator"),
      (((1.,), (1.,)), TypeError, "series 0 .* got float"),
      (((1.,), ([(1.,)],)), ValueError, "term 0 for argument 0 is not an"),
      (((np.ones(3),), ([np.ones(2)],)), ValueError, r"\(2,\).*\(3,\)"),
      (((1.,), ([1j],)), TypeError, "complex"),
      ((({"a": 1.},), ([{"b": 1.}],)), ValueError, "structure"),
      ((([1., 2.],), ([[1., 2.], [3., 4.]],)), ValueError, "two ways|tuple"),
      ((({"a": 1.},), ({"a": (1., 2.)},)), ValueError, "list of terms"),
      ((("a",), ([1.],)), TypeError, ""),
  )
  def test_names_what_was_got(self, args, error, message):
    with self.assertRaisesRegex(error, message):
      jax_cse.jet(lambda *xs: xs, *args)

  def test_takes_a_function(self):
    with self.assertRaisesRegex(TypeError, "jet takes a function; got int"):
      jax_cse.jet(3, (1.,), ([1.],))


if __name__ == "__main__":
  absltest.main()
