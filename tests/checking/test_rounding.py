"""How far rounding may move a result, against programs that are equal in real
arithmetic and against some that are not."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
import programs
import specs
from jax_cse.compat import core
from jax_cse.checking import rounding

X = np.linspace(0.3, 1.7, 8, dtype=np.float32)
_random = np.random.RandomState(0)
LONG = _random.normal(size=3000).astype(np.float32)
MATRIX = _random.normal(size=(8, 8)).astype(np.float32)
TENTHS = np.full(10**6, 0.1, np.float32)


def _beyond(plain, other, *operands):
  """What of `other` is beyond rounding of `plain`."""
  jaxpr = jax.make_jaxpr(plain)(*operands)
  limits = rounding.bounds(jaxpr, operands)
  return rounding.differences(
      core.jaxpr_as_fun(jaxpr)(*operands),
      jax.tree.leaves(other(*operands)), limits)


def _bounds(fun, *operands):
  return rounding.bounds(jax.make_jaxpr(fun)(*operands), operands)


def _as(dtype):
  return jnp.asarray(X, dtype)


def _horner(x):
  return ((x - 3) * x + 3) * x - 1


def _in_python(x):
  total = np.float32(0)
  for y in np.asarray(x):
    total += y
  return jnp.asarray(total)


def _halved(x):
  """Sums by halves, of which numpy sums a few at once."""
  return jnp.asarray(np.add.reduce(np.asarray(x)))


def _loop(step, n):
  return lambda x: lax.scan(lambda c, _: (step(c), None), x, None, length=n)[0]


# Name, plain, rebuilt, operands: equal but for rounding.
ACCEPTED = (
    ("a sum in another order", lambda x, y, z: (x + y) + z,
     lambda x, y, z: x + (y + z), X, -X[::-1].copy(), 1e-3 * X),
    ("a sum that cancels", lambda x: (x + 1e8) - 1e8, lambda x: x, X),
    ("a product of a sum", lambda x: (x + 1.1) * (x - 1.3),
     lambda x: x * x - 0.2 * x - 1.43, X),
    ("a cube that was expanded", _horner, lambda x: (x - 1)**3, X),
    ("a quotient", lambda x: x / 3, lambda x: x * np.float32(1 / 3), X),
    ("a sine of a large number", lambda x: jnp.sin(1e5 * x),
     lambda x: jnp.sin(x * 1e4 * 10.), X),
    ("a long sum, one after the other", jnp.sum, _in_python, LONG),
    ("a long sum, by halves", jnp.sum, _halved, LONG),
    ("a sum of equal numbers", jnp.sum, _halved, TENTHS),
    ("a sum of multiples", lambda x: jnp.sum(3.3 * x),
     lambda x: 3.3 * jnp.sum(x), LONG),
    ("a running sum", jnp.cumsum, lambda x: jnp.asarray(np.cumsum(x)), LONG),
    ("a dot that cancels", lambda x: jnp.dot(x, x[::-1]) - jnp.dot(x[::-1], x),
     lambda x: jnp.zeros(()), LONG),
    ("products of matrices", lambda a: (a @ a) @ a, lambda a: a @ (a @ a),
     MATRIX),
    ("a solution", lambda a: jnp.linalg.solve(a, a[0]),
     lambda a: jnp.linalg.inv(a) @ a[0], MATRIX),
    ("a Fourier transform", lambda x: jnp.fft.fft(x).real,
     lambda x: jnp.asarray(np.fft.fft(x).real.astype(np.float32)), LONG),
    ("eigenvalues", lambda a: jnp.linalg.eigvalsh(a @ a.T),
     lambda a: jnp.linalg.svd(a)[1][::-1]**2, MATRIX),
    ("a convolution", lambda x: jnp.convolve(x, x[:9]),
     lambda x: jnp.asarray(np.convolve(x, x[:9]).astype(np.float32)), LONG),
    ("a floor at a step", lambda x: jnp.floor(x * 3.), jnp.floor,
     np.float32(1 / 3) * np.ones(1, np.float32)),
    ("an index of equals", lambda x: jnp.argmax(x * jnp.array([3., 9.]) / 3),
     lambda x: jnp.argmax(jnp.array([1.000001, 1.])),
     np.array([1, 1 / 3], np.float32)),
    ("a long loop that adds", _loop(lambda c: c + 0.1, 10000),
     lambda x: x + 1000., np.float32(0.3)),
    ("a loop that is unstable", _loop(lambda c: 3.9 * c * (1 - c), 100),
     _loop(lambda c: 3.9 * c - 3.9 * c * c, 100), np.float32(0.3)),
    ("a loop until it is equal", lambda x: lax.while_loop(
        lambda s: s[0] != s[1], lambda s: (s[1], 0.5 * (s[1] + x / s[1])),
        (x, 0.5 * (1 + x)))[1], jnp.sqrt, np.float32(1.9)),
    ("a branch that is near", lambda x: lax.cond(
        x * 3 < 1, jnp.sin, jnp.cos, x), jnp.cos, np.float32(1 / 3)),
    ("not finite", lambda x: jnp.log(x - x), lambda x: x, X),
    ("not finite inside", lambda x: jnp.where(x > 0, x, x / (x - x)),
     lambda x: x, X),
    ("bfloat16, a digit", lambda x: x * 1.23, lambda x: x * 1.22,
     _as(jnp.bfloat16)),
    ("float16, underflow", lambda x: (x * 1e-4 * 1e-4) * 1e4,
     lambda x: x * 1e-4, _as(np.float16)),
    ("float32, underflow", lambda x: (x * 1e-30 * 1e-30) * 1e30,
     lambda x: x * 1e-30, X),
    ("complex", lambda z: z * z * 1j + z, lambda z: z * (1j * z + 1),
     (X + 1j * X[::-1]).astype(np.complex64)),
    ("float8", lambda x: x * x, lambda x: (x.astype(np.float32)**2).astype(
        x.dtype), _as(jnp.float8_e4m3fn)),
    ("integers that wrap", lambda n: (n + n) * n, lambda n: n * n * 2,
     np.array([2**30, 3, -7], np.int32)),
    ("a key", lambda k: jax.random.split(k), jax.random.split,
     jax.random.key(3)),
)

# The same, and not equal in real arithmetic.
REFUSED = (
    ("the fourth digit", lambda x: 1.234 * jnp.sin(x),
     lambda x: 1.235 * jnp.sin(x), X),
    ("the fifth digit", lambda x: x * x + 1.2345 * x,
     lambda x: x * x + 1.2346 * x, X),
    ("bfloat16, a factor", lambda x: x * 1.23, lambda x: x * 2.46,
     _as(jnp.bfloat16)),
    ("bfloat16, a half", lambda x: x * x + x, lambda x: x * x + 1.5 * x,
     _as(jnp.bfloat16)),
    ("float16, the third digit", lambda x: x * 1.23, lambda x: x * 1.25,
     _as(np.float16)),
    ("float8, a factor", lambda x: x * x, lambda x: 4 * x * x,
     _as(jnp.float8_e4m3fn)),
    ("a sign", lambda x: x * x - x, lambda x: x * x + x, X),
    ("a term that is left out", lambda x: x + 1e-3 * x * x, lambda x: x, X),
    ("one element", lambda x: x * 3, lambda x: (x * 3).at[5].add(1e-3),
     _as(np.float32)),
    ("a cube", lambda x: (x - 1)**3, lambda x: (x - 1)**2, X),
    ("a long sum with a weight", jnp.sum,
     lambda x: jnp.sum(x) + 0.1 * x[0], LONG),
    ("a long sum without its last", jnp.sum,
     lambda x: jnp.sum(x[:-1]), LONG),
    ("a sum of equal numbers", jnp.sum, lambda x: jnp.sum(x) * 1.01, TENTHS),
    ("a dot of another order", lambda x: jnp.dot(x, x[::-1]),
     lambda x: jnp.dot(x, x), LONG),
    ("a transpose", lambda a: a @ a, lambda a: a @ a.T, MATRIX),
    ("a solution", lambda a: jnp.linalg.solve(a, a[0]),
     lambda a: jnp.linalg.solve(a.T, a[0]), MATRIX),
    ("a Fourier transform", lambda x: jnp.fft.fft(x).real,
     lambda x: jnp.fft.fft(x[::-1]).real, LONG),
    ("eigenvalues", lambda a: jnp.linalg.eigvalsh(a @ a.T),
     lambda a: jnp.linalg.eigvalsh(a @ a.T) * 1.001, MATRIX),
    ("a convolution", lambda x: jnp.convolve(x, x[:9]),
     lambda x: jnp.convolve(x, x[8::-1]), LONG),
    ("a floor between steps", lambda x: jnp.floor(x * 3.1), lambda x: x, X),
    ("an index", lambda x: jnp.argmax(x), lambda x: jnp.argmin(x), X),
    ("a comparison", lambda x: x > 1, lambda x: x < 1, X),
    ("a long loop that adds", _loop(lambda c: c + 0.1, 10000),
     lambda x: x + 1010., np.float32(0.3)),
    ("a long loop that decays", _loop(lambda c: 0.5 * c + 1, 10000),
     lambda x: x * 0 + 1.999, np.float32(0.3)),
    ("a loop with one iteration more", _loop(lambda c: 0.9 * c + 0.1, 10),
     _loop(lambda c: 0.9 * c + 0.1, 11), np.float32(0.3)),
    ("a loop until it is equal", lambda x: lax.while_loop(
        lambda s: s[0] != s[1], lambda s: (s[1], 0.5 * (s[1] + x / s[1])),
        (x, 0.5 * (1 + x)))[1], lambda x: 1.0001 * jnp.sqrt(x),
     np.float32(1.9)),
    ("another branch", lambda x: lax.cond(x < 1, jnp.sin, jnp.cos, x), jnp.cos,
     np.float32(0.3)),
    ("an overflow on the way", lambda x: x * (3e4 / 3e4),
     lambda x: (x * 3e4) * 3e4 / 3e4 / 3e4, _as(np.float16)),
    ("not a number", lambda x: x * 0, lambda x: x * jnp.nan, X),
    ("a real number for a complex one", lambda z: z * z,
     lambda z: (z * z).real + 0j, (X + 1j).astype(np.complex64)),
    ("an imaginary part", lambda z: z * z, lambda z: z * z + 1e-4j,
     (X + 1j).astype(np.complex64)),
    ("an integer", lambda n: n * 3, lambda n: n * 3 + 1, np.arange(4)),
    ("a boolean", lambda n: n > 2, lambda n: n >= 2, np.arange(4)),
    ("a large unsigned integer", lambda n: n * 3, lambda n: n * 3 - 1,
     np.array([2**32 - 1], np.uint32)),
    ("a key", lambda k: jax.random.split(k),
     lambda k: jax.random.split(k)[::-1], jax.random.key(3)),
    ("a dtype", lambda x: x * 2, lambda x: (x * 2).astype(np.float16), X),
    ("a shape", lambda x: x * 2, lambda x: x[:1] * 2, X),
    ("a weak type", lambda x: x * 2, lambda x: jnp.float32(x * 2), 1.5),
    ("integers for a boolean", lambda n: n > 2,
     lambda n: (n > 2).astype(np.int8), np.arange(4)),
)


class BoundsTest(parameterized.TestCase):

  @parameterized.named_parameters(*ACCEPTED)
  def test_what_rounding_explains_is_accepted(self, plain, other, *operands):
    self.assertEqual(_beyond(plain, other, *operands), [])

  @parameterized.named_parameters(*REFUSED)
  def test_what_it_does_not_explain_is_refused(self, plain, other, *operands):
    found = _beyond(plain, other, *operands)
    self.assertLen(found, 1)
    self.assertIn("should be", str(found[0]))

  def test_the_second_table_is_the_longer_one(self):
    self.assertGreater(len(REFUSED), len(ACCEPTED))

  @parameterized.parameters(*specs.SMOOTH)
  def test_what_cse_rebuilds_is_accepted(self, name, fun):
    del name
    plain = specs.nested(fun, 2)
    self.assertEqual(_beyond(plain, jax_cse.cse(plain), 0.7), [])

  @parameterized.parameters(*programs.PROGRAMS)
  def test_of_loops_and_calls_too(self, name):
    # The derivative of the last is 0, so it has no digit.
    plain = specs.nested(programs.PROGRAMS[name], name != "eigh vectors")
    self.assertEqual(_beyond(plain, jax_cse.cse(plain), 1.1), [])
    wrong = lambda t: 1.01 * plain(t)
    self.assertLen(_beyond(plain, wrong, 1.1), 1)

  def test_a_bound_is_as_wide_as_the_condition(self):
    wide, narrow = _bounds(lambda x: ((x + 1e8) - 1e8, x * x + 1), X)
    self.assertGreater(wide.min(), 16)   # two units of 1e8
    self.assertLess(wide.max(), 1000)
    self.assertLess((narrow / (X * X + 1)).max(), 64 * 2.0**-23)
    self.assertGreater((narrow / (X * X + 1)).min(), 2.0**-23)

  def test_a_bound_follows_the_elements(self):
    bound, = _bounds(lambda x: x - 1.1, np.array([1.1, 1000], np.float32))
    self.assertBetween(bound[0], 1e-7, 1e-5)
    self.assertBetween(bound[1], 1e-4, 1e-2)

  def test_integers_have_a_bound_only_where_they_jump(self):
    bound, fixed, bits = _bounds(
        lambda x, n: (jnp.int32(x * 3.), n * n, n > 1),
        np.array([1 / 3, 0.5], np.float32), np.arange(3))
    np.testing.assert_array_equal(bound, [np.inf, 0])
    np.testing.assert_array_equal(fixed, np.zeros(3))
    np.testing.assert_array_equal(bits, np.zeros(3))

  def test_nothing_is_promised_where_plain_is_not_finite(self):
    bound, = _bounds(jnp.log, np.array([-1, 0, 1], np.float32))
    np.testing.assert_array_equal(np.isinf(bound), [True, True, False])

  def test_with_64_bits_whatever_is_configured_where_it_is_asked(self):
    with jax.enable_x64(True):
      jaxpr = jax.make_jaxpr(lambda x: x * 3.1)(1.3)
    bound, = rounding.bounds(jaxpr, [np.float64(1.3)])
    self.assertBetween(float(bound), 1e-16, 1e-13)
    with jax.enable_x64(True):
      bound, = _bounds(lambda x: x * 3.1, np.float32(1.3))
    self.assertBetween(float(bound), 1e-8, 1e-5)

  def test_inside_of_whatever_is_around(self):
    jaxpr = jax.make_jaxpr(lambda x: jnp.sin(x) * x - x)(X)
    expected = rounding.bounds(jaxpr, [X])
    inside = []

    @jax.jit
    def traced(x):
      inside.append(rounding.bounds(jaxpr, [X]))
      return x

    traced(1.0)
    for context in (jax_cse.enabled("ring"), jax.disable_jit(),
                    jax.debug_nans(True), jax.numpy_dtype_promotion("strict"),
                    jax.numpy_rank_promotion("raise"),
                    jax.transfer_guard("disallow")):
      with context:
        inside.append(rounding.bounds(jaxpr, [X]))
    for bound in inside:
      np.testing.assert_array_equal(bound, expected)

  def test_a_seed_says_which_noise(self):
    fun = lambda x: jnp.sin(x) * x - x
    jaxpr = jax.make_jaxpr(fun)(X)
    same, again, other = (rounding.bounds(jaxpr, [X], seed=s)[0]
                          for s in (1, 1, 2))
    np.testing.assert_array_equal(same, again)
    self.assertFalse((same == other).all())

  def test_effects_do_not_happen(self):
    seen = []

    def step(c, _):
      jax.debug.callback(seen.append, c)
      return c * 1.1, None

    jaxpr = jax.make_jaxpr(
        lambda x: lax.scan(step, x, None, length=3)[0])(np.float32(2))
    bound, = rounding.bounds(jaxpr, [np.float32(2)])
    jax.effects_barrier()
    self.assertEqual(seen, [])
    self.assertBetween(float(bound), 1e-7, 1e-4)

  def test_what_cannot_be_evaluated_again_is_refused(self):
    shape = jax.ShapeDtypeStruct((), np.float32)
    read = lambda x: jax.experimental.io_callback(lambda y: y, shape, x)
    for fun in (read, jax.jit(read), lambda x: lax.cond(
        x > 0, read, lambda x: x, x)):
      with self.assertRaisesRegex(
          ValueError, "io_callback.*second time.*test_rounding"):
        _bounds(fun, np.float32(2))

  def test_whole_numbers_of_what_is_not_finite_have_no_bound(self):
    x = jnp.array([jnp.nan, jnp.inf, 4.])
    for fun, expected in ((lambda x: x.astype(jnp.int8), [jnp.inf, jnp.inf, 0]),
                          (lambda x: x < 1, [jnp.inf, 0, 0])):
      found, = rounding.bounds(jax.make_jaxpr(fun)(x), [x])
      np.testing.assert_array_equal(found, expected)


if __name__ == "__main__":
  absltest.main()
