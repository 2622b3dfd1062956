"""The mode "exact" does no algebra: the equations and the bits stay."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp

import checking
import jax_cse
import specs

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


class ExactTest(parameterized.TestCase):

  @parameterized.parameters(
      "(x+y)+z, x+(y+z)", "x*(y*z), (x*y)*z", "x+x, 2*x", "x*1", "x-x", "-(-x)",
      "x/4, 0.25*x", "x*(y+z), x*y+x*z", "x**2, x*x")
  def test_no_algebra(self, expression):
    fun = lambda x, y, z: eval(expression, {"x": x, "y": y, "z": z})
    args = X, Y, X * 1.1 - 3
    self.assertEqual(checking.count(jax_cse.cse(fun, "exact"), *args),
                     checking.count(fun, *args))
    checking.assert_same_bits(jax_cse.cse(fun, "exact")(*args), fun(*args))

  @parameterized.parameters(*specs.SPECS)
  def test_same_bits(self, name, fun):
    del name
    with jax.disable_jit():
      for composed in (fun, specs.nested(fun, 2)):
        x = jnp.float32(0.7)
        checking.assert_same_bits(jax_cse.cse(composed, "exact")(x),
                                  composed(x))


if __name__ == "__main__":
  absltest.main()
