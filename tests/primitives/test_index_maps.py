"""Index maps of what was put together: values, and that they are known to be
the operands."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
from checking import assert_close
import jax_cse

X, Y = jnp.arange(1., 4.), jnp.arange(4., 7.)

# What is an operand, or a part of one, moved or not; and that.
SAME = {
    "stack": lambda x, y: (jnp.stack([x, y])[1], y),
    "last axis": lambda x, y: (jnp.stack([x, y], -1)[:, 0], x),
    "concatenate": lambda x, y: (jnp.concatenate([x, y])[3:], y),
    "a part": lambda x, y: (jnp.concatenate([x, y])[4:6], y[1:]),
    "of a sum": lambda x, y: (jnp.stack([x, y])[0] + jnp.stack([x, y])[1],
                              x + y),
    "of a product": lambda x, y: ((2 * jnp.stack([x, y]) ** 2)[1], 2 * y**2),
    "of products": lambda x, y: (
        (jnp.stack([x, y]) * jnp.stack([y, x]))[1], x * y),
    "dynamic": lambda x, y: (lax.dynamic_slice(
        jnp.concatenate([x, y]), (3,), (3,)), y),
    "dynamic, clamped": lambda x, y: (lax.dynamic_slice(
        jnp.concatenate([x, y]), (5,), (3,)), y),
    "reshaped": lambda x, y: (x.reshape(3, 1).reshape(1, 3).ravel(), x),
    "expanded": lambda x, y: (jnp.squeeze(x[None, :, None]), x),
    "transposed": lambda x, y: (
        jnp.stack([x, y]).T.T.reshape(6).reshape(2, 3)[0], x),
    "an axis moved": lambda x, y: (x[None].T[:, 0], x),
}
OTHER = {
    "the other": lambda x, y: (jnp.stack([x, y])[0], y),
    "across the border": lambda x, y: (jnp.concatenate([x, y])[2:5],
                                       jnp.concatenate([x, y])[1:4]),
    "strides": lambda x, y: (jnp.concatenate([x, y])[:6:2], x),
    "both": lambda x, y: (jnp.stack([x, y])[:, 1], y[:2]),
    "reversed": lambda x, y: (x[::-1], x),
    "repeated and tiled": lambda x, y: (
        jnp.broadcast_to(x[:, None], (3, 3)).ravel(),
        jnp.broadcast_to(x, (3, 3)).ravel()),
    "repeated in two orders": lambda x, y: (
        (x[None, :, None] * jnp.arange(6.).reshape(2, 3, 1)).reshape(6),
        (x[None, :, None] * jnp.arange(6.).reshape(1, 3, 2)).reshape(6)),
    "a slice of what is repeated": lambda x, y: (
        (jnp.broadcast_to(jnp.concatenate([x[None], y[None]], 1), (2, 6))
         * jnp.arange(12.).reshape(2, 6))[:, :3], jnp.stack([x, x])),
    "an element of what is repeated": lambda x, y: (
        (jnp.broadcast_to(jnp.stack([x]), (4, 3)) * jnp.arange(4.)[:, None]
         )[2:3], jnp.stack([x])),
    "a grid": lambda x, y: tuple(g.ravel() for g in jnp.meshgrid(x, x)),
    "a product of Kronecker's": lambda x, y: (
        jnp.kron(x, jnp.ones(2)), jnp.kron(jnp.ones(2), x)),
    "transposed": lambda x, y: (jnp.stack([x, y]).T.reshape(6),
                                jnp.stack([x, y]).reshape(6)),
    "a shape": lambda x, y: (jnp.stack([x, y]).reshape(3, 2)[1],
                             jnp.stack([x, y])[1, :2]),
}


class IndexMapsTest(parameterized.TestCase):

  @parameterized.parameters(
      *((name, False) for name in SAME),
      # Under `vmap` a dynamic slice is a gather.
      *((name, True) for name in SAME if "dynamic" not in name))
  def test_an_operand_is_known(self, name, batched):
    fun = lambda x, y: lax.sub(*SAME[name](x, y))
    args = X, Y
    if batched:
      # Of a part that is moved the order of the maps is not known.
      axis = int(name != "a part")
      fun = jax.vmap(fun, (0, axis))
      args = jnp.stack([X, 2 * X]), jnp.stack([Y, 3 * Y], axis)
    np.testing.assert_array_equal(jax_cse.cse(fun)(*args), fun(*args))
    self.assertLessEqual(checking.count(jax_cse.cse(fun), *args), 1)

  @parameterized.product(name=tuple(OTHER), batched=(False, True))
  def test_others_are_told_apart(self, name, batched):
    fun = lambda x, y: lax.sub(*OTHER[name](x, y))
    args = X, Y
    if batched:
      fun = jax.vmap(fun, (0, 1))
      args = jnp.stack([X, 2 * X]), jnp.stack([Y, 3 * Y], 1)
    wanted = fun(*args)
    self.assertTrue(np.any(wanted != 0))
    assert_close(jax_cse.cse(fun)(*args), wanted)


class ComplexScalarsTest(parameterized.TestCase):
  """Maps that are linear over the real numbers only."""

  @parameterized.parameters(
      lambda x, y, z: jnp.conj(x) * y - x * jnp.conj(y),
      lambda x, y, z: x.real * (y * z).real - (x * y).real * z.real,
      lambda x, y, z: x.imag * (y * z).imag - (x * y).imag * z.imag,
      lambda x, y, z: jnp.conj(x * y) * z - jnp.conj(z) * x * y,
      lambda x, y, z: jnp.conj(x + y) - jnp.conj(x) - jnp.conj(y),
      lambda x, y, z: jax.grad(lambda x: (x * x * jnp.conj(x)).real)(x))
  def test_values(self, fun):
    args = jnp.complex64(1 + 2j), jnp.complex64(3 - 1j), jnp.complex64(.5 + 1j)
    assert_close(jax_cse.cse(fun)(*args), fun(*args))


if __name__ == "__main__":
  absltest.main()
