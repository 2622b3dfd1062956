"""Laplacians, weighted sums of second derivatives, and all of one pass."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.export
import jax.numpy as jnp
import numpy as np

import jax_cse

_RNG = np.random.RandomState(0)
X = np.float32(_RNG.randn(2, 3))
_MATRIX = np.float32(_RNG.randn(3, 8))


def fun(x):
  return {"sine": jnp.sin(x.sum()) * x[0, 1], "features": jnp.tanh(x @ _MATRIX),
          "count": jnp.sum(x > 0)}


def moving(x):
  out = fun(x)
  return {name: out[name] for name in ("sine", "features")}


def hessians(x):
  """Of each number, the matrix of second derivatives."""
  return jax.tree.map(lambda h: h.reshape(*h.shape[:-4], 6, 6),
                      jax.hessian(moving)(x))


DIAGONAL = _RNG.randn(2, 3)
MATRIX = _RNG.randn(2, 3, 2, 3)
FACTOR = _RNG.randn(2, 3, 4)
# Weights, and the matrix that they are.
WEIGHTS = {
    "diagonal": (DIAGONAL, np.diag(DIAGONAL.ravel())),
    "of a few": (np.arange(6.0).reshape(2, 3) // 4,
                 np.diag([0, 0, 0, 0, 1, 1])),
    "none": (np.zeros((2, 3)), np.zeros((6, 6))),
    "integers": (np.arange(6).reshape(2, 3), np.diag(np.arange(6))),
    "matrix": (MATRIX, MATRIX.reshape(6, 6)),
    "semidefinite": ((m := FACTOR.reshape(6, 4) @ FACTOR.reshape(6, 4).T
                      ).reshape(2, 3, 2, 3), m),
    "factor": (FACTOR, m),
}


class LaplacianTest(parameterized.TestCase):

  def assert_close(self, got, wanted):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, 2e-4, 2e-4),
                 {name: got[name] for name in wanted}, wanted)

  @parameterized.product(name=tuple(WEIGHTS), form=(
      "constant", "traced", "of x", "of x, traced"))
  def test_weights(self, name, form):
    weights, matrix = WEIGHTS[name]
    wanted = jax.tree.map(lambda h: jnp.einsum("...ij,ij", h, matrix),
                          hessians(X))
    if form == "constant":
      got = jax_cse.laplacian(fun, weights=weights)(X)
    elif form == "traced":
      got = jax.jit(lambda x, w: jax_cse.laplacian(
          moving, weights=w)(x))(X, weights)
    elif form == "of x":
      got = jax_cse.laplacian(fun, weights=lambda x: weights)(X)
    else:
      got = jax.jit(jax_cse.laplacian(
          moving, weights=lambda x: weights * jnp.asarray(x)[1, 2]))(X)
      wanted = jax.tree.map(lambda y: y * X[1, 2], wanted)
      if name == "factor":   # is squared
        wanted = jax.tree.map(lambda y: y * X[1, 2], wanted)
    self.assert_close(got, wanted)

  def test_the_diagonal_itself(self):
    diagonals = jax.tree.map(lambda h: jnp.diagonal(
        h, axis1=-2, axis2=-1), hessians(X))
    reshaped = jax.tree.map(lambda d: d.reshape(*d.shape[:-1], 2, 3), diagonals)
    self.assert_close(jax_cse.laplacian(fun, summed=False)(X), reshaped)
    self.assert_close(
        jax_cse.laplacian(fun, weights=DIAGONAL, summed=False)(X),
        jax.tree.map(lambda d: d * DIAGONAL, reshaped))
    columns = FACTOR.reshape(6, 4)
    self.assert_close(
        jax_cse.laplacian(fun, weights=FACTOR, summed=False)(X),
        jax.tree.map(lambda h: jnp.einsum(
            "...ij,ik,jk->...k", h, columns, columns), hessians(X)))

  def test_of_integers(self):
    for got in (jax_cse.laplacian(fun)(X)["count"],
                jax_cse.value_grad_laplacian(fun)(X)[2]["count"]):
      self.assertEqual((got.dtype, got.shape), (jax.dtypes.float0, ()))
    slopes = jax_cse.value_grad_laplacian(fun)(X)[1]["count"]
    self.assertEqual((slopes.dtype, slopes.shape),
                     (jax.dtypes.float0, (2, 3)))

  def test_value_gradient_and_laplacian(self):
    value, gradient, laplacian = jax_cse.value_grad_laplacian(fun)(X)
    self.assert_close(value, fun(X))
    self.assert_close(gradient, jax.jacfwd(moving)(X))
    self.assert_close(laplacian, jax_cse.laplacian(moving)(X))

  @parameterized.parameters((), (1,), (0,), (2, 1, 2))
  def test_shapes(self, *shape):
    x = np.float32(np.arange(1, 1 + np.prod(shape, dtype=int))).reshape(shape)
    value, gradient, laplacian = jax_cse.value_grad_laplacian(
        lambda x: (x ** 3).sum())(x)
    np.testing.assert_allclose(value, (x ** 3).sum())
    np.testing.assert_allclose(gradient, 3 * x ** 2)
    np.testing.assert_allclose(laplacian, 6 * x.sum())

  def test_weights_that_are_far_apart(self):
    with jax.enable_x64():
      fun = lambda x: x[0]**2 + 1e17 * x[1]**2
      weights = np.diag([1., 1e-17])
      self.assertAlmostEqual(jax_cse.laplacian(fun, weights=weights)(
          jnp.ones(2)), 4)

  def test_weights_that_are_not_finite(self):
    fun = lambda x: jnp.exp(x).sum()
    for weights, wanted in ((np.diag([np.nan, 1]), np.nan),
                            (np.array([np.nan, 1]), np.nan),
                            (np.array([np.inf, 1]), np.inf)):
      np.testing.assert_equal(np.asarray(
          jax_cse.laplacian(fun, weights=weights)(jnp.ones(2))), wanted)

  def test_in_a_shard_map(self):
    mesh = jax.make_mesh((1,), ("i",),
                         axis_types=(jax.sharding.AxisType.Auto,))
    for lap in (jax_cse.laplacian(jnp.sin),
                lambda x: jax_cse.value_grad_laplacian(jnp.sin)(x)[2]):
      np.testing.assert_allclose(jax.shard_map(
          lap, mesh=mesh, in_specs=jax.P("i"), out_specs=jax.P("i"))(
              jnp.ones(3)), -np.sin(np.ones(3)), 1e-6)

  def test_symbolic_shape(self):
    n, = jax.export.symbolic_shape("n")
    exported = jax.export.export(jax.jit(jax_cse.laplacian(
        lambda x: jnp.tanh(x) * x.sum())))(
            jax.ShapeDtypeStruct((n,), "float32"))
    np.testing.assert_allclose(exported.call(jnp.ones(2)), jax_cse.laplacian(
        lambda x: jnp.tanh(x) * x.sum())(jnp.ones(2)), 1e-5)

  def test_checked(self):
    jax_cse.laplacian(fun, weights=MATRIX, check=True)(X)
    jax_cse.value_grad_laplacian(fun, check=True)(X)

  def test_python_may_know_the_point(self):
    def branches(x):
      return (x ** 3).sum() if x[0, 0] > 0 else (x ** 2).sum()
    np.testing.assert_allclose(jax_cse.laplacian(branches)(X), 6 * X.sum(),
                               1e-5)

  def test_half_precision(self):
    for dtype in ("float16", "bfloat16"):
      got = jax_cse.laplacian(lambda x: (x * x).sum())(X.astype(dtype))
      self.assertEqual((got.dtype, float(got)), (dtype, 12))

  def test_bad_weights(self):
    for weights, message in (
        (np.ones(5), r"shape.*\(2, 3\).*got \(5,\)"),
        (np.ones((3, 3)), r"got \(3, 3\)"),
        (lambda x: np.ones(2), r"got \(2,\)")):
      with self.assertRaisesRegex(ValueError, message):
        jax_cse.laplacian(fun, weights=weights)(X)
    for weights in (1j * np.ones((2, 3)), np.ones((2, 3), bool), "identity"):
      with self.assertRaisesRegex(TypeError, "real numbers; got"):
        jax_cse.laplacian(fun, weights=weights)(X)
    with self.assertRaisesRegex(ValueError, "without their sum"):
      jax_cse.laplacian(fun, weights=MATRIX, summed=False)(X)

  def test_bad_input(self):
    for transform in (jax_cse.laplacian, jax_cse.value_grad_laplacian):
      with self.assertRaisesRegex(TypeError, "takes a function; got int"):
        transform(3)
      with self.assertRaisesRegex(TypeError, "real-valued.*got int"):
        transform(jnp.sum)(np.arange(3))


if __name__ == "__main__":
  absltest.main()
