"""Mixed derivatives by many numbers: how they grow, and what they are."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from checking import assert_close
import jax_cse
from mixed_partials import GROW_AS_SUBSETS, GROW_LITTLE, mixed, point


def _size(fun, order):
  return jax_cse.count_primitives(mixed(fun, order))(*point(order)).total()


class GrowthTest(parameterized.TestCase):

  @parameterized.parameters(*GROW_LITTLE)
  def test_traced(self, name):
    with jax_cse.enabled("ring"):
      small, large = (_size(GROW_LITTLE[name], order) for order in (4, 8))
    self.assertLessEqual(large, 4 * small if name != "network" else 6 * small)

  @parameterized.parameters(*GROW_LITTLE)
  def test_rebuilt(self, name):
    with jax_cse.enabled():
      small, large = (jax_cse.count_primitives(
          jax_cse.cse(mixed(GROW_LITTLE[name], order)))(*point(order)).total()
                      for order in (4, 6))
    self.assertLessEqual(large, 3.5 * small)

  def test_exact(self):
    with jax_cse.enabled():
      self.assertEqual(_size(GROW_LITTLE["loop"], 8), 1)
      self.assertLess(_size(GROW_LITTLE["composition"], 8), 153)


class ValuesTest(parameterized.TestCase):

  @parameterized.product(
      name=[*GROW_LITTLE, *GROW_AS_SUBSETS],
      mode=["exact", "reassociate", "ring"])
  def test_traced(self, name, mode):
    fun = mixed((GROW_LITTLE | GROW_AS_SUBSETS)[name], 4)
    wanted = fun(*point(4))
    with jax_cse.enabled(mode):
      got = jax.jit(lambda *xs: fun(*xs))(*point(4))
    assert_close(got, wanted)
    self.assertEqual((got.dtype, got.weak_type),
                     (wanted.dtype, wanted.weak_type))

  @parameterized.parameters(*GROW_LITTLE, *GROW_AS_SUBSETS)
  def test_rebuilt(self, name):
    fun = mixed((GROW_LITTLE | GROW_AS_SUBSETS)[name], 4)
    assert_close(jax.jit(jax_cse.cse(fun))(*point(4)), fun(*point(4)))

  @parameterized.parameters(*GROW_LITTLE)
  def test_batched_and_derived_in_reverse(self, name):
    fun = mixed(GROW_LITTLE[name], 4)
    xs = [jnp.linspace(x, 2., 3) for x in point(4)]
    wanted = jax.vmap(fun)(*xs), jax.grad(fun)(*point(4))
    with jax_cse.enabled("ring"):
      got = jax.jit(lambda xs, ys: (
          jax.vmap(fun)(*xs), jax.grad(fun)(*ys)))(xs, point(4))
    assert_close(got, wanted)

  def test_what_cancels_may_be_nan(self):
    def fun(x, y):
      return (x - x) * y + jnp.where(x > 0, x, y)

    nan = jnp.float32(jnp.nan)
    with jax_cse.enabled("ring"):
      got = jax.jit(lambda x, y: mixed(fun, 1)(x, y) + fun(x, y))(nan, 1.)
    self.assertTrue(np.isnan(got))

  @parameterized.parameters("float16", "bfloat16")
  def test_small_floats_are_in_no_ring(self, dtype):
    xs = [jnp.asarray(x, dtype) for x in (1., jnp.inf, 2.)]
    with jax_cse.enabled("ring"):
      got = jax.jit(lambda *xs: _derivative(*xs))(*xs)
    self.assertTrue(np.isnan(got) and np.isnan(_derivative(*xs)))


def _derivative(x, y, z):
  one = jnp.ones_like(x)
  f = lambda *xs: jnp.prod(jnp.stack(xs))
  for i in range(3):
    f = lambda *xs, f=f, i=i: jax.jvp(
        lambda t: f(*xs[:i], t, *xs[i + 1:]), (xs[i],), (one,))[1]
  return f(x, y, z)


if __name__ == "__main__":
  absltest.main()
