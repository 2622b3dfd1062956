"""`pushfwd`: values, and what the thread hoped of it."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from specs import SPECS_BY_NAME, nested

THREAD = SPECS_BY_NAME["thread"].fun


def count(fun):
  return jax_cse.count_primitives(fun)(1.1).total()


def wave(p):
  return {"u": jnp.sin(p["x"] * p["y"]) * p["x"]**2, "n": 3}


def along(p, **directions):
  return {k: jnp.full_like(v, directions.get(k, 0)) for k, v in p.items()}


class PushfwdTest(parameterized.TestCase):

  @parameterized.parameters(0, 1, 2, 5)
  def test_is_nested_jvp(self, order):
    self.assertEqual(jax_cse.pushfwd(THREAD, 1.1, [1.0] * order),
                     nested(THREAD, order)(1.1))

  def test_of_itself_it_shares_nothing(self):
    plain = lambda order: lambda t: jax_cse.pushfwd(THREAD, t, (1.0,) * order)
    for order in (2, 4, 8):
      self.assertEqual(count(plain(order)), count(nested(THREAD, order)))
    with jax_cse.enabled():
      self.assertEqual(count(plain(8)), 108)
    self.assertEqual(count(plain(8)), 17_154)

  def test_mixed_partials_of_pytrees(self):
    p = {"x": np.float32(0.6), "y": np.float32(-1.3)}
    x, y = along(p, x=1), along(p, y=1)
    expected = jax.grad(jax.grad(jax.grad(
        lambda x, y: wave({"x": x, "y": y})["u"]), 1))(p["x"], p["y"])
    for vs in ([x, x, y], [y, x, x], (x, y, x)):
      actual = jax_cse.pushfwd(wave, p, vs)
      np.testing.assert_allclose(actual["u"], expected, rtol=1e-5)
      self.assertEqual(actual["n"].dtype, jax.dtypes.float0)

  def test_an_array_of_directions(self):
    f = lambda x: jnp.prod(jnp.sin(x))
    x = np.array([0.3, 0.5, 0.7], "float32")
    np.testing.assert_allclose(
        jax_cse.pushfwd(f, x, np.eye(3, dtype="float32")[:2]),
        jax.hessian(f)(x)[0, 1], rtol=1e-5)

  def test_composes(self):
    fun = lambda t: jax_cse.pushfwd(THREAD, t, [1.0, 1.0])
    expected = nested(THREAD, 3)(1.1)
    for derived in (jax.grad(fun), jax.jit(jax.grad(fun)),
                    jax_cse.cse(jax.grad(fun))):
      np.testing.assert_allclose(derived(1.1), expected, rtol=1e-5)

  @parameterized.parameters((1.0,), (None,), ({"x": 1.0},), (np.float32(1),))
  def test_refuses_what_is_no_sequence(self, vs):
    with self.assertRaisesRegex(TypeError, "sequence of directions.*got "):
      jax_cse.pushfwd(THREAD, 1.1, vs)

  def test_a_direction_of_another_type_is_JAXs_error(self):
    with self.assertRaisesRegex(TypeError, "primal and tangent"):
      jax_cse.pushfwd(THREAD, 1.1, [1])


if __name__ == "__main__":
  absltest.main()
