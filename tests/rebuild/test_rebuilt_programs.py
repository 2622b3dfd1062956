"""Programs that are rebuilt in every mode: loops, effects, linear algebra."""

from absl.testing import absltest
from absl.testing import parameterized
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


def _shard_map(x):
  mesh = jax.make_mesh((1,), ("i",),
                       axis_types=(jax.sharding.AxisType.Auto,))
  spec = jax.sharding.PartitionSpec("i")
  return jax.shard_map(
      lambda y: y * y + lax.psum(y * y + y * 2, "i") + y + y,
      mesh=mesh, in_specs=spec, out_specs=spec)(x * 2 + x)


def _while(x):
  return lax.while_loop(
      lambda c: (c[0] < 3) & jnp.all(c[1] + c[1] < 1e9),
      lambda c: (c[0] + 1, c[1] * 2 + c[1]), (0, x))


def _a_reference_read_for_nobody(x):
  unread, used = jax.new_ref(x * 2), jax.new_ref(x)
  def body(c):
    used[...] = used[...] + c[2]
    return c[0] + 1, c[1] + unread[...], c[2] * x
  return lax.while_loop(lambda c: c[0] < 3, body, (0, x, x))[2], used[...]


PROGRAMS = {
    "shard_map": _shard_map,
    "while": _while,
    "a reference read for nobody": _a_reference_read_for_nobody,
    "random": lambda x: jax.random.normal(jax.random.key(3), (4,)) * x * 2,
    "sort": lambda x: lax.sort((x * -1, x + x), num_keys=1),
    "linear algebra": lambda x: jnp.linalg.eigh(
        jnp.outer(x, x) + jnp.eye(4))[0],
    "grad of checkpoint": jax.grad(lambda x: jax.checkpoint(
        lambda y: jnp.sum(jnp.sin(y * y + y * y)))(x)),
    "vmap of scan": jax.vmap(lambda x: lax.scan(
        lambda c, y: (c * y + y * c, c + c), x, jnp.arange(3.))[0]),
    "booleans": lambda x: (x > 0) & (x + x > 0),
    "convolution": lambda x: jnp.convolve(x, x) * 2 + jnp.convolve(x, x),
    "dtypes": lambda x: (x.astype(jnp.float16) * 2 + x.astype(jnp.bfloat16) + x,
                         x.astype(int) * 2.5),
    "nothing": lambda x: (x[:0] * 2 + x[:0], jnp.zeros((0, 3)) + 1),
    "one element": lambda x: x[:1] * x[0] + x[0] * x[:1] + x.sum() * x[:1],
    "select": lambda x: jnp.where(x > 1, x * 2 + x, x * x - x),
    "callback": lambda x: jax.pure_callback(
        lambda y: np.asarray(y) * 2, x, x) + x * 2,
    "fft": lambda x: jnp.abs(jnp.fft.fft(x * 2 + x)),
    "complex": lambda x: (x + 1j * x) * (x - 1j * x),
    "powers": lambda x: x**2.5 + x**0.5 + (x + 1.)**-2 + x**0,
    "no operands": lambda x: jnp.ones(3) * 2,
}


class ProgramsTest(parameterized.TestCase):

  @parameterized.product(name=list(PROGRAMS), mode=modes.MODES)
  def test_values(self, name, mode):
    fun = PROGRAMS[name]
    expected = fun(X)
    assert_close(jax_cse.cse(fun, mode)(X), expected)
    assert_close(jax.jit(jax_cse.cse(fun, mode))(X), expected)
    plain = checking.trace(fun, X)
    simpler = jax_cse.cse_jaxpr(plain, mode)
    core.check_jaxpr(simpler.jaxpr)
    assert_close(core.jaxpr_as_fun(simpler)(X), jax.tree.leaves(expected))
    with jax_cse.enabled(mode):
      assert_close(jax.jit(lambda x: fun(x))(X), expected)

  @parameterized.product(mode=modes.MODES, transformation=[
      jax.jit, jax.grad, jax.vmap, lambda f: jax.jit(jax.vmap(jax.grad(f))),
      jax_cse.cse])
  def test_a_jaxpr_that_closes_over_a_tracer(self, mode, transformation):
    inner = lambda x, y: jnp.sin(x * y) * jnp.cos(y) + jnp.sin(x * y)

    def fun(y):
      plain = jax.make_jaxpr(lambda x: inner(x, y))(0.5)
      simpler = jax_cse.cse_jaxpr(plain, mode)
      self.assertLess(checking.size(simpler), checking.size(plain))
      return core.jaxpr_as_fun(simpler)(0.5)[0]

    y = X[0] if transformation is jax.grad else X
    assert_close(transformation(fun)(y),
                 transformation(lambda y: inner(jnp.float32(0.5), y))(y))

  def test_a_high_power_of_a_small_multiple(self):
    # 8**-100, and x**100 for most x, are no floats of 32 bits.
    x = jnp.linspace(1., 8., 8)
    fun = lambda x: (x / 8)**100 + (x / 8)**63
    np.testing.assert_allclose(jax_cse.cse(fun)(x), fun(x), rtol=1e-4)


if __name__ == "__main__":
  absltest.main()
