"""What collapses: Laplacians, operators of higher order; and what must not."""

import itertools
import random

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.primitives import costs
from jax_cse.ring.cores import EQUATION

_rng = np.random.RandomState(0)
DIMENSION, WIDTH = 6, 64


def normal(*shape):
  return _rng.randn(*shape).astype("float32") / np.float32(np.sqrt(shape[0]))


_WEIGHTS = [normal(a, b) for a, b in itertools.pairwise(
    (DIMENSION, WIDTH, WIDTH, WIDTH, 1))]
_BIAS = normal(WIDTH)
_TOKENS = [normal(3, 16), normal(16, 16), normal(16, 16), normal(16, 16),
           normal(16, 1)]


def network(activation):
  def fun(x):
    for w in _WEIGHTS[:-1]:
      x = activation(x @ w + _BIAS)
    return (x @ _WEIGHTS[-1])[0]
  return fun


def attention(x):
  embed, *square, last = _TOKENS
  h = x.reshape(2, 3) @ embed
  q, k, v = (h @ w for w in square)
  h = h + jax.nn.softmax(q @ k.T / 4, axis=-1) @ v
  return (jnp.tanh(h) @ last).sum()


FUNCTIONS = {
    "tanh": network(jnp.tanh),
    "gelu": network(jax.nn.gelu),
    "sine": network(jnp.sin),
    "attention": attention,
    "convolution": lambda x: jnp.tanh(lax.conv_general_dilated(
        jnp.sin(x)[None, None], _WEIGHTS[1][:4, None, :3].astype(x.dtype),
        (1,), "SAME")).sum(),
    "solve": lambda x: jnp.linalg.solve(
        np.eye(DIMENSION, dtype="float32") * 3 + _WEIGHTS[0][:, :DIMENSION],
        jnp.sin(x)).prod(),
    "indexing": lambda x: jnp.cumsum(jnp.tanh(x)[np.array([2, 0, 5])]
                                     ).prod() + jnp.sort(x**3)[::2].sum(),
    "parts": lambda x: jnp.exp(jnp.pad(jnp.concatenate(
        [jnp.sin(x[:3]), x[3:] * x[0]]), 1) @ np.ones(8, "float32")),
    "polynomial": lambda x: (x @ x) ** 2 + x.prod(),
    "linear": lambda x: x @ _WEIGHTS[0][:, 0],
}
POINT = normal(DIMENSION) * 2


def second(fun, x, v):
  return jax.jvp(lambda y: jax.jvp(fun, (y,), (v,))[1], (x,), (v,))[1]


def vmapped(fun):
  return lambda x: jax.vmap(lambda v: second(fun, x, v))(
      jnp.eye(x.size, dtype=x.dtype)).sum(0)


def unrolled(fun):
  return lambda x: sum(second(fun, x, v) for v in jnp.eye(x.size,
                                                         dtype=x.dtype))


def stacked(fun):
  return lambda x: jnp.stack([
      second(fun, x, v) for v in jnp.eye(x.size, dtype=x.dtype)]).sum(0)


FORMS = {"vmapped": vmapped, "unrolled": unrolled, "stacked": stacked}


def trace(fun, x):
  return np.trace(np.asarray(jax.hessian(fun)(x)))


def work(fun, *args):
  """Multiplications in matrix products."""
  jaxpr = jax.make_jaxpr(fun)(*args)
  return sum(costs.cost_of_equation(eqn) - EQUATION
             for eqn in jaxpr.eqns if eqn.primitive.name == "dot_general")


class LaplacianTest(parameterized.TestCase):

  @parameterized.product(name=tuple(FUNCTIONS), form=tuple(FORMS))
  def test_is_the_trace_of_the_hessian(self, name, form):
    fun = FUNCTIONS[name]
    wanted = trace(fun, POINT)
    tolerance = 2e-5 * max(1, abs(wanted))
    np.testing.assert_allclose(
        jax_cse.cse(FORMS[form](fun))(POINT), wanted, 2e-5, tolerance)
    if form == "vmapped":
      np.testing.assert_allclose(
          jax_cse.laplacian(fun)(POINT), wanted, 2e-5, tolerance)

  @parameterized.product(name=("tanh", "gelu", "sine"), form=tuple(FORMS))
  def test_each_layer_is_passed_once_for_the_laplacian(self, name, form):
    # Twice WIDTH x WIDTH and once WIDTH, for the value but in the last layer,
    # each coordinate but in the last, and the Laplacian; and the first layer
    # for the value and, as a matrix, for the coordinates.
    got = work(jax_cse.cse(FORMS[form](FUNCTIONS[name])), POINT)
    layer = WIDTH * WIDTH
    first = DIMENSION * WIDTH * (1 + DIMENSION)
    self.assertLessEqual(got, 2 * layer * (DIMENSION + 2) + WIDTH + first)
    plain = work(FORMS[form](FUNCTIONS[name]), POINT)
    self.assertGreater(plain, 1.6 * got)

  @parameterized.parameters(*FORMS)
  def test_attention(self, form):
    plain = FORMS[form](attention)
    self.assertLess(work(jax_cse.cse(plain), POINT), .7 * work(plain, POINT))

  def test_a_batch_outside_and_inside(self):
    fun, points = FUNCTIONS["tanh"], normal(5, DIMENSION)
    wanted = [trace(fun, x) for x in points]
    for batched in (jax.vmap(jax_cse.laplacian(fun)),
                    jax.jit(jax.vmap(jax_cse.laplacian(fun))),
                    jax_cse.cse(jax.vmap(vmapped(fun)))):
      np.testing.assert_allclose(batched(points), wanted, 1e-4, 1e-5)
    layer = WIDTH * WIDTH * 5
    self.assertLess(work(jax_cse.cse(jax.vmap(vmapped(fun))), points),
                    2.5 * layer * (DIMENSION + 2))

  def test_higher_order(self):
    fun, x = FUNCTIONS["tanh"], POINT[:3]
    fun = lambda x: network(jnp.tanh)(jnp.concatenate([x, x * 0]))
    plain = vmapped(vmapped(fun))
    wanted = np.einsum("iijj", np.asarray(jax.hessian(jax.hessian(fun))(x)))
    for biharmonic in (jax_cse.cse(plain),
                       jax_cse.laplacian(jax_cse.laplacian(fun))):
      np.testing.assert_allclose(biharmonic(x), wanted, 1e-3, 1e-4)
      self.assertLess(work(biharmonic, x), .65 * work(plain, x))

  def test_pytrees_shapes_and_dtypes(self):
    def fun(x):
      return {"sines": jnp.sin(x), "sum": [x.sum() ** 3],
              "count": jnp.sum(x > 0)}
    x = normal(2, 3)
    out = jax_cse.laplacian(fun)(x)
    np.testing.assert_allclose(out["sines"], -np.sin(x), 1e-6)
    np.testing.assert_allclose(out["sum"][0], 6 * 6 * x.sum(), 1e-5)
    self.assertEqual(out["count"].dtype, jax.dtypes.float0)
    self.assertEqual(out["count"].shape, ())
    self.assertEqual(jax_cse.laplacian(jnp.sum)(np.zeros((0,))), 0)
    self.assertEqual(jax_cse.laplacian(lambda x: x**3)(2.0), 12)

  def test_composes(self):
    fun, x = FUNCTIONS["sine"], POINT
    lap = jax_cse.laplacian(fun)
    plain = lambda x: jnp.trace(jax.hessian(fun)(x))
    np.testing.assert_allclose(jax.grad(lap)(x), jax.grad(plain)(x), 1e-3, 1e-4)
    np.testing.assert_allclose(jax.jvp(lap, (x,), (x,)),
                               jax.jvp(plain, (x,), (x,)), 1e-4, 1e-4)

  def test_bad_input(self):
    for x in (np.arange(3), 1j * np.ones(3)):
      with self.assertRaisesRegex(TypeError, f"real.*{x.dtype}"):
        jax_cse.laplacian(jnp.sum)(x)
    with self.assertRaisesRegex(TypeError, "dtype"):
      jax_cse.laplacian(lambda x: x[0])([1.0, 2.0])

  @parameterized.product(name=tuple(FUNCTIONS))
  def test_error_at_most_four_times_that_of_nested_jvp(self, name):
    fun = FUNCTIONS[name]
    errors = np.zeros(2)
    for i in range(8):
      x = POINT + np.float32(0.05 * i)
      with jax.enable_x64():
        wanted = trace(fun, x.astype("float64"))
      for j, form in enumerate((jax_cse.laplacian(fun), vmapped(fun))):
        errors[j] = max(errors[j], abs(np.float64(form(x)) - wanted))
    rounding = 16 * np.finfo(np.float32).eps * max(1, abs(wanted))
    self.assertLessEqual(errors[0], max(4 * errors[1], rounding))


class UnchangedTest(parameterized.TestCase):
  """What may not go inside."""

  @parameterized.named_parameters(
      ("nonlinear", lambda x, w: jnp.tanh(x @ w).sum(0)),
      ("matrix depends on the axis",
       lambda x, w: jnp.einsum("di,dij->dj", x, jnp.cumsum(
           x[:, :, None] * w, 0)).sum(0)),
      ("predicate depends on the axis",
       lambda x, w: jnp.where(x > 0, x, 2 * x).sum(0)),
      ("indices depend on the axis",
       lambda x, w: jax.vmap(lambda a, i: lax.dynamic_index_in_dim(
           a, i, keepdims=False))(x, jnp.arange(5) % 3).sum(0)),
      ("scan along the axis", lambda x, w: jnp.cumsum(x, 0).sum(0)),
      ("reversed along the axis", lambda x, w: (x[::-1] * x).sum(0)),
      ("slice of the axis", lambda x, w: (x[1:3] @ w).sum(0)),
      ("maximum", lambda x, w: jnp.maximum(x @ w, 0).sum(0)),
      ("product of two", lambda x, w: ((x @ w) * (x @ w)).sum(0)),
      ("padded along the axis", lambda x, w: (jnp.pad(
          x, ((1, 1), (0, 0)), constant_values=2) @ w).sum(0)),
      ("integer division", lambda x, w: (
          (10 * (x @ w)).astype("int32") // 3).sum(0)),
  )
  def test_values(self, fun):
    x, w = normal(5, 64), normal(64, 64)
    np.testing.assert_allclose(jax_cse.cse(fun)(x, w), fun(x, w), 1e-4, 1e-4)

  @parameterized.named_parameters(
      ("nonlinear", lambda x, w: jnp.tanh(x @ w).sum(0)),
      ("product of two", lambda x, w: ((x @ w) * (x @ w)).sum(0)),
      ("maximum", lambda x, w: jnp.maximum(x @ w, 0).sum(0)))
  def test_as_many_products(self, fun):
    x, w = normal(5, 64), normal(64, 64)
    self.assertEqual(work(jax_cse.cse(fun), x, w), 5 * 64 * 64)

  def test_what_is_needed_anyway_stays(self):
    x, w = normal(5, 64), normal(64, 64)

    def fun(x):
      y = x @ w
      return jnp.tanh(y), y.sum(0)

    self.assertEqual(work(jax_cse.cse(fun), x), 5 * 64 * 64)

  @parameterized.parameters(2, 3, 4, 5)
  def test_a_determinant_of_inner_products(self, n):
    # It vanishes for vectors that are shorter than there are of them.
    left, right = normal(n, 7), normal(n, 7)

    def determinant(a, b):
      g = [[a[i] @ b[j] for j in range(n)] for i in range(n)]
      total = 0.0
      for p in itertools.permutations(range(n)):
        sign = (-1) ** sum(p[i] > p[j] for j in range(n) for i in range(j))
        term = sign * g[0][p[0]]
        for i in range(1, n):
          term = term * g[i][p[i]]
        total = total + term
      return total

    got = jax.jit(jax_cse.cse(determinant))(left, right)
    wanted = np.linalg.det(left.astype("float64") @ right.T.astype("float64"))
    self.assertGreater(abs(wanted), 1e-6)
    np.testing.assert_allclose(got, wanted, 1e-2, 1e-5)


_OPERATIONS = {
    "add": lambda a, b, w, k: a + b,
    "sub": lambda a, b, w, k: a - b,
    "mul": lambda a, b, w, k: a * b,
    "dot": lambda a, b, w, k: a @ w,
    "left": lambda a, b, w, k: w @ a,
    "both": lambda a, b, w, k: a @ b,
    "sum": lambda a, b, w, k: jnp.broadcast_to(
        a.sum(k % 2, keepdims=True), (3, 3)),
    "move": lambda a, b, w, k: (
        a.T, a[::-1], a.reshape(9)[::-1].reshape(3, 3))[k % 3],
    "scale": lambda a, b, w, k: a * (k - 15),
    "tanh": lambda a, b, w, k: jnp.tanh(a),
    "pad": lambda a, b, w, k: jnp.pad(a[1:], ((1, 0), (0, 0))),
}


def _long_sums(seed):
  """Sums of many products of images, sums over all elements among them."""
  w = np.array([[2, -1, 0], [1, 3, 1], [0, -2, 1]])

  def fun(x):
    choose = random.Random(seed)
    images = (lambda a: a @ w, lambda a: w @ a, lambda a: a.T,
              lambda a: a.sum(0, keepdims=True) + 0 * a,
              lambda a: jnp.broadcast_to(a.sum(), a.shape),
              lambda a: jnp.broadcast_to(a.sum(1)[:, None], a.shape))
    values, terms = [x, x * x, x[:1] + 0 * x], []
    for _ in range(2):
      total = 0 * x
      for _ in range(choose.randrange(10, 40)):
        term = choose.choice(images)(choose.choice(values))
        for _ in range(choose.randrange(3)):
          term = term * choose.choice((
              2, x[0, 0], choose.choice(values), 1 - choose.choice(values),
              choose.choice(images)(choose.choice(values))))
        terms.append(term)
        total = total + choose.choice((1, 1, -1)) * choose.choice(
            (term, term, choose.choice(terms)))
      values.append(total * choose.choice((1, choose.choice(values))))
    return total, (total * choose.choice(terms)).sum(), total.sum(0)
  return fun


class RandomTest(parameterized.TestCase):

  @parameterized.parameters(*range(0, 40, 10))
  def test_long_sums(self, first):
    x = np.arange(9).reshape(3, 3) % 4
    for seed in range(first, first + 10):
      fun = _long_sums(seed)
      for got, wanted in zip(jax.jit(jax_cse.cse(fun))(x), fun(x)):
        np.testing.assert_array_equal(got, wanted)

  @settings(max_examples=60, deadline=None)
  @given(st.lists(st.tuples(st.sampled_from(sorted(_OPERATIONS)),
                            st.integers(0, 30), st.integers(0, 30)),
                  min_size=3, max_size=14))
  def test_programs_of_linear_maps(self, operations):
    w = np.array([[2, -1, 0], [1, 3, 1], [0, -2, 1]]) / 4

    def fun(x, y):
      values = [x, y]
      for name, i, j in operations:
        a, b = values[i % len(values)], values[j % len(values)]
        values.append(_OPERATIONS[name](a, b, w, j) / 8)
      return values[-1], sum(values), values[-1].sum(0)

    with jax.enable_x64():
      x = np.linspace(-1, 2, 9).reshape(3, 3)
      y = np.cos(np.arange(9.0)).reshape(3, 3)
      for a, b in zip(jax.jit(jax_cse.cse(fun))(x, y), fun(x, y)):
        np.testing.assert_allclose(a, b, 1e-9, 1e-9)


if __name__ == "__main__":
  absltest.main()
