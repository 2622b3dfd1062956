"""What the public functions refuse, and that they do it at once."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
from jax import lax

import jax_cse

# A public function, the name that it goes by, and how its result is asked for.
TAKE_A_FUNCTION = (
    ("cse", jax_cse.cse, lambda g: g(1.0)),
    ("polysimp", jax_cse.polysimp, lambda g: g(1.0)),
    ("jarrett", jax_cse.jarrett, lambda g: g(1.0)),
    ("derivatives", lambda f: jax_cse.derivatives(f, 1), lambda g: g(1.0)[0]),
    ("laplacian", jax_cse.laplacian, lambda g: g(1.0)),
    ("pushfwd", lambda f: jax_cse.pushfwd(f, 1.0, []), lambda y: y),
    ("count_primitives", jax_cse.count_primitives, lambda g: g(1.0)["sin"]),
    ("redundancy", jax_cse.redundancy, lambda g: g(1.0).plain),
)


class _Scaled:

  def __call__(self, x):
    return lax.mul(lax.sin(x), 2.0)


class CallableTest(parameterized.TestCase):

  @parameterized.parameters(*TAKE_A_FUNCTION)
  def test_what_is_no_function(self, name, take, _):
    for got, called in ((3, "int"), (None, "NoneType"),
                        (lax.sin(1.0), "ArrayImpl")):
      with self.assertRaisesRegex(
          TypeError, f"^{name} takes a function; got {called}$"):
        take(got)

  @parameterized.parameters(*TAKE_A_FUNCTION)
  def test_whatever_can_be_called(self, _, take, result):
    def scaled(x, by):
      return lax.mul(lax.sin(x), by)
    want = result(take(lambda x: scaled(x, 2.0)))
    self.assertEqual(result(take(functools.partial(scaled, by=2.0))), want)
    self.assertEqual(result(take(_Scaled())), want)


if __name__ == "__main__":
  absltest.main()
