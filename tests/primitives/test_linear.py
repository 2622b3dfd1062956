"""Linear primitives as linear maps, and what collapses by it."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse import compat
from jax_cse.primitives import linear

_rng = np.random.RandomState(0)


def normal(*shape):
  return _rng.randn(*shape).astype("float32")


_X = normal(3, 4)
_ROW, _POSITIVE = _X[:1] + 1, _X > 0
_INDICES = np.array([[0], [2]])
_MATRIX = normal(3, 3) + 4 * np.eye(3, dtype="float32")
_INVERSE = np.linalg.inv(_MATRIX)
_GATHER = lax.GatherDimensionNumbers((1,), (0,), (0,))
_SCATTER = lax.ScatterDimensionNumbers((1,), (0,), (0,))
_IMAGE = normal(2, 3, 5)
_KERNEL, _WIDE, _TALL = normal(4, 3, 2), normal(4, 2), normal(2, 3)

# By primitive: functions that apply it once to what they are linear in, and an
# operand of them.
LINEAR = {
    "broadcast_in_dim": [(lambda x: lax.broadcast_in_dim(
        x, (2, 3, 4), (1, 2)), _X)],
    "concatenate": [(lambda x: lax.concatenate([x, _ROW], 0), _X),
                    (lambda x: lax.concatenate([x, _X[:, :1]], 1), _X)],
    "complex": [(lambda x: lax.complex(x, jnp.zeros_like(x)), _X)],
    "conj": [(lambda x: lax.conj_p.bind(x, input_dtype=np.dtype("complex64")),
              _X + 1j * _X[::-1])],
    "conv_general_dilated": [
        (lambda x: lax.conv_general_dilated(x, _KERNEL,
                                            (1,), "SAME"), _IMAGE),
        (lambda x: lax.conv_general_dilated(_KERNEL, x,
                                            (1,), "SAME"), _IMAGE)],
    "convert_element_type": [(lambda x: x.astype("complex64"), _X)],
    "copy": [(lambda x: lax.copy_p.bind(x), _X)],
    "cumsum": [(lambda x: lax.cumsum(x, 1), _X)],
    "dot_general": [(lambda x: x @ _WIDE, _X),
                    (lambda x: _TALL @ x, _X),
                    (lambda x: jnp.einsum("bij,bjk->bik", x, _IMAGE.transpose(
                        0, 2, 1)), _IMAGE)],
    "dynamic_slice": [(lambda x: lax.dynamic_slice(
        x, (jnp.int32(1), jnp.int32(0)), (2, 4)), _X)],
    "dynamic_update_slice": [(lambda x: lax.dynamic_update_slice(
        x, _ROW, (jnp.int32(1), jnp.int32(0))), _X)],
    "fft": [(lambda x: jnp.fft.fft(x), _X + 0j)],
    "gather": [(lambda x, mode=mode: lax.gather(
        x, _INDICES, _GATHER, (1, 4), mode=mode), _X)
               for mode in ("clip", "fill", "promise_in_bounds")],
    "imag": [(lax.imag, _X + 1j * _X[::-1])],
    "custom_linear_solve": [(lambda x: lax.custom_linear_solve(
        lambda y: _MATRIX @ y, x, lambda _, b: _INVERSE @ b,
        symmetric=False), normal(3))],
    "pad": [(lambda x: lax.pad(x, _X[0, 0], ((1, 0, 0), (0, 0, 0))), _X)],
    "real": [(lax.real, _X + 1j * _X[::-1])],
    "reduce_sum": [(lambda x: x.sum(0), _IMAGE),
                   (lambda x: x.sum((0, 2)), _IMAGE)],
    "reduce_window_sum": [(lambda x: lax.reduce_window(
        x, np.float32(0), lax.add, (2, 1), (1, 1), "VALID"), _X)],
    "reshape": [(lambda x: x.reshape(2, 15), _IMAGE),
                (lambda x: lax.reshape(x, (12,)), _X)],
    "rev": [(lambda x: lax.rev(x, (0,)), _X)],
    "scatter-add": [(lambda x: lax.scatter_add(
        x, _INDICES, _X[:2], _SCATTER, mode="clip"), _X)],
    "scatter": [(lambda x: lax.scatter(
        x, _INDICES, _X[:2], _SCATTER, unique_indices=True, mode="clip"), _X)],
    "select_n": [(lambda x: lax.select_n(np.bool_(True), _X, x), _X),
                 (lambda x: lax.select_n(_POSITIVE, _X, x), _X)],
    "slice": [(lambda x: lax.slice(x, (1, 0), (3, 4)), _X)],
    "squeeze": [(lambda x: lax.squeeze(x, (1,)), _X[:, None])],
    "stack": [(lambda x: jnp.stack([x, _X, x], axis=1), _X)],
    "tile": [(lambda x: lax.tile(x, (2, 1)), _X)],
    "transpose": [(lambda x: lax.transpose(x, (2, 0, 1)), _IMAGE)],
    "triangular_solve": [(lambda x: lax.linalg.triangular_solve(
        _MATRIX, x, left_side=True, lower=True), _X)],
}
if jax.__version_info__ < (0, 10, 1):
  LINEAR["stack"] = []   # which concatenates there
_CASES = [(f"{name} {i}", name, fun, x) for name, rows in LINEAR.items()
          for i, (fun, x) in enumerate(rows)]


def count(fun, *args):
  return jax_cse.count_primitives(fun)(*args)


class TableTest(parameterized.TestCase):

  def test_every_primitive_has_a_case(self):
    names = {primitive.name for primitive in linear.GROUPS}
    self.assertEqual(names, LINEAR.keys())
    self.assertContainsSubset(linear.THROUGH,
                              linear.GROUPS)
    self.assertContainsSubset(linear.INDEX_MAPS,
                              linear.GROUPS)

  @parameterized.named_parameters(*_CASES)
  def test_a_sum_of_images_is_the_image_of_the_sum(self, name, fun, x):
    y, z = x[::-1] * 2, x * x

    def plain(x, y, z):
      return fun(x) + fun(y) - fun(z)

    def summed(x, y, z):
      return fun(x + y - z)

    wanted = plain(x, y, z)
    rebuilt = jax_cse.cse(plain)
    np.testing.assert_allclose(rebuilt(x, y, z), wanted, 1e-4, 1e-4)
    # What was broadcast stays as small as it can until the end.
    self.assertEqual(count(rebuilt, x, y, z)[name],
                     2 if name == "broadcast_in_dim" else 1)
    if name in ("copy", "custom_linear_solve"):
      return   # which are excluded from the memo, or known by what is inside
    # Under the memo the second is not computed at all.
    with jax_cse.enabled("ring"):
      both = jax.make_jaxpr(lambda *a: (plain(*a), summed(*a)))(x, y, z)
    self.assertIs(*both.jaxpr.outvars)

  @parameterized.named_parameters(*_CASES)
  def test_a_sum_over_an_axis_goes_inside(self, name, fun, x):
    jaxpr = jax.make_jaxpr(fun)(x)
    eqn, operands = _application(jaxpr, x, name)
    rule = linear.THROUGH.get(eqn.primitive)
    if rule is None:
      return
    out = eqn.primitive.bind(*operands, **eqn.params)
    for axis in range(out.ndim):
      inside = rule(eqn.params, [v.aval for v in eqn.invars], axis, 1)
      if inside is None:
        continue
      params, axes = inside
      summed = [jnp.sum(v, axes[i], keepdims=True, dtype=v.dtype)
                if axes.get(i) is not None
                else v * out.shape[axis] if i in axes else v
                for i, v in enumerate(operands)]
      np.testing.assert_allclose(
          eqn.primitive.bind(*summed, **params).astype(complex),
          jnp.sum(out, axis, keepdims=True).astype(complex), 5e-2, 5e-2)

  def test_what_is_not_linear(self):
    # What is out of bounds is a number among integers, not their sum.
    fill = lambda x: lax.gather(x, np.array([[0], [7]]), _GATHER, (1, 4),
                                mode="fill")
    x = np.arange(12).reshape(3, 4)
    twice = lambda x: fill(x) + fill(x + 1)
    np.testing.assert_array_equal(jax_cse.cse(twice)(x), twice(x))
    # Nor does a sum of floats round as one of integers does.
    floor = lambda x: x.astype("int32")
    y = np.full((3,), 0.6, "float32")
    twice = lambda y: floor(y) + floor(y + 0.1)
    np.testing.assert_array_equal(jax_cse.cse(twice)(y), twice(y))

  @parameterized.parameters("int32", "uint8", "int64")
  def test_integers_are_exact(self, dtype):
    w = np.arange(12).reshape(4, 3).astype(dtype) * 37

    def fun(x, y):
      return (x @ w + (x * y) @ w - y @ w).sum(0) + (x * 2).sum(0) @ w

    x, y = (np.arange(8).reshape(2, 4).astype(dtype) * k for k in (91, 57))
    np.testing.assert_array_equal(jax_cse.cse(fun)(x, y), fun(x, y))


def _application(closed_jaxpr, x, name):
  """The equation of a primitive in a jaxpr, calls inlined, and its operands."""
  env = dict(zip(closed_jaxpr.jaxpr.invars, [jnp.asarray(x)]))
  env.update(zip(closed_jaxpr.jaxpr.constvars, closed_jaxpr.consts))
  read = lambda v: v.val if isinstance(v, compat.Literal) else env[v]
  for eqn in closed_jaxpr.jaxpr.eqns:
    operands = [jnp.asarray(read(v)) for v in eqn.invars]
    if eqn.primitive.name == name:
      return eqn, operands
    if eqn.primitive.name == "jit":
      inner = eqn.params["jaxpr"]
      if len(operands) == 1:
        return _application(inner, operands[0], name)
    outs = eqn.primitive.bind(*operands, **eqn.params)
    env.update(zip(eqn.outvars, outs if eqn.primitive.multiple_results
                   else [outs]))
  raise AssertionError(f"no {name}")


if __name__ == "__main__":
  absltest.main()
