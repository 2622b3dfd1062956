"""Functions with rules of the user's under `vmap`, simplified to a constant."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse

X = jnp.arange(3.0)
VALUES = {
    "zero": lambda x: x * 0,
    "difference": lambda x: x - x,
    "number": lambda x: jnp.sin(x) * 0 + 2,
}
LOSSES = {
    "vmap": lambda f: lambda x: jax.vmap(f)(x).sum(),
    "vmap of jit": lambda f: lambda x: jax.vmap(jax.jit(f))(x).sum(),
    "jit of vmap": lambda f: lambda x: jax.jit(jax.vmap(f))(x).sum(),
    "vectors": lambda f: lambda x: (
        jax.vmap(jax.jit(f))(jnp.stack([x, x])).sum()),
    "vmap of vmap": lambda f: lambda x: (
        jax.vmap(jax.vmap(jax.jit(f)))(x[None]).sum()),
    "one mapped": lambda f: lambda x: jax.vmap(
        lambda a, b: jax.jit(f)(a) * b, in_axes=(None, 0))(x[0], x).sum(),
    "loop": lambda f: lambda x: jax.lax.scan(
        lambda c, y: (c + jax.vmap(jax.jit(f))(x).sum() * y, y), 0.0, x)[0],
}
DERIVATIVES = {
    "grad": jax.grad,
    "jit grad": lambda loss: jax.jit(jax.grad(loss)),
    "grad jit": lambda loss: jax.grad(jax.jit(loss)),
    "grad grad": lambda loss: jax.grad(lambda x: jax.grad(loss)(x).sum()),
}
RULES = ("jvp", "vjp")


def with_rule(value, rule):
  """A function with the derivative 1, whatever its value is."""
  # Another one for each way, or JAX would answer from its caches.
  if rule == "jvp":
    f = jax.custom_jvp(lambda x: value(x))
    f.defjvp(lambda primals, tangents: (f(*primals), tangents[0]))
  else:
    f = jax.custom_vjp(lambda x: value(x))
    f.defvjp(lambda x: (f(x), None), lambda _, cotangent: (cotangent,))
  return f


class GradientsTest(parameterized.TestCase):

  @parameterized.product(value=tuple(VALUES), loss=tuple(LOSSES), rule=RULES)
  def test_are_those_without_cse(self, value, loss, rule):
    for name, derivative in DERIVATIVES.items():
      make = lambda derivative=derivative: derivative(
          LOSSES[loss](with_rule(VALUES[value], rule)))
      expected = make()(X)
      for mode in ("exact", "reassociate", "ring"):
        with self.subTest(name, mode=mode):
          with jax_cse.enabled(mode):
            got = make()(X)
          np.testing.assert_array_equal(got, expected)
          np.testing.assert_array_equal(jax_cse.cse(make(), mode)(X), expected)

  @parameterized.product(mode=("exact", "reassociate", "ring"),
                         staged=(True, False))
  def test_the_cotangent_of_an_operand_that_rows_share(self, mode, staged):
    def loss(w):   # the rule gives 2 for w in each row
      f = jax.custom_vjp(lambda x, w: x * w)
      f.defvjp(lambda x, w: (x * w, None), lambda _, g: (g, g * 0 + 2))
      return jax.vmap(jax.jit(f), (0, None))(X, w).sum()
    gradient = jax.jit(jax.grad(loss)) if staged else jax.grad(loss)
    with jax_cse.enabled(mode):
      self.assertEqual(gradient(1.0), 6)

  @parameterized.product(staged=(True, False), mode=("reassociate", "ring"))
  def test_of_a_function_that_returns_a_constant(self, staged, mode):
    f = with_rule(lambda x: np.zeros(x.shape, x.dtype), "jvp")
    loss = lambda x: jax.vmap(f)(x).sum()
    gradient = jax.jit(jax.grad(loss)) if staged else jax.grad(loss)
    with jax_cse.enabled(mode):
      np.testing.assert_array_equal(gradient(X), [1, 1, 1])

  def test_of_sinc(self):
    loss = lambda p: jax.vmap(jnp.sinc)(p * jnp.arange(1.0, 4.0)).sum()
    expected = jax.grad(loss)(0.1)
    with jax_cse.enabled("ring"):
      np.testing.assert_allclose(jax.grad(loss)(0.1), expected, 1e-6)

  @parameterized.parameters("reassociate", "ring")
  def test_what_does_not_vary_stays_so(self, mode):
    f = jax.custom_jvp(lambda x, n: (x * 0, n + 1))
    f.defjvp(lambda primals, tangents: (
        f(*primals), (tangents[0], np.zeros((), jax.dtypes.float0))))
    fun = jax.vmap(jax.jit(f), in_axes=(0, None), out_axes=(0, None))
    with jax_cse.enabled(mode):
      values, count = jax.jit(fun)(X, jnp.int32(4))
    np.testing.assert_array_equal(values, [0, 0, 0])
    self.assertEqual(count, 5)


if __name__ == "__main__":
  absltest.main()
