"""`check=True` finds what was rewritten into what is not equal."""

import contextlib
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse import compat
from jax_cse.numbering import algebra
from jax_cse.numbering import keys

_X = jnp.asarray([0.5, -1.25, 2.0])


@contextlib.contextmanager
def _wrong(primitive):
  """The rule of a primitive, planted to give twice what is right."""
  number = keys.plan_of(primitive).number
  right = algebra._rules[number]
  def rule(ring, operands, avals, params):
    element, aval = right(ring, operands, avals, params)
    return ring.scale(element, 2), aval
  jax.clear_caches()
  with mock.patch.dict(algebra._rules, {number: rule}):
    yield
  jax.clear_caches()


def three_lines(x):
  y = jnp.sin(x)
  z = y * x   # the line that is planted
  return z + y


class VerificationTest(parameterized.TestCase):

  @parameterized.parameters("eager", "jit", "vmap", "grad")
  def test_a_wrong_rule_is_found_and_named(self, way):
    way = {"eager": lambda f: f, "jit": jax.jit, "vmap": jax.vmap,
           "grad": lambda f: jax.grad(lambda x: f(x).sum())}[way]
    with _wrong(compat.mul_p), self.assertRaisesRegex(
        jax_cse.CheckFailed, r"(?s)mul.*test_verification\.py:36"):
      way(jax_cse.cse(lambda x: three_lines(x), check=True))(_X)

  def test_a_wrong_derivative_is_found(self):
    with _wrong(compat.mul_p), self.assertRaises(jax_cse.CheckFailed):
      jax_cse.derivatives(three_lines, 2, check=True)(_X)

  @parameterized.parameters(
      lambda x: three_lines(x), lambda x: (x + 1e8) - 1e8, jax.nn.softmax,
      lambda x: (x * x - 1) / (x + 3), lambda x: jnp.cumsum(x * 2) + x.sum(),
      lambda x: x.astype(jnp.bfloat16) * 3 + 1)
  def test_what_is_right_passes(self, fun):
    for checked, unchecked in (
        (jax_cse.cse(fun, check=True), jax_cse.cse(fun)),
        (jax_cse.derivatives(fun, 2, check=True), jax_cse.derivatives(fun, 2))):
      jax.tree.map(np.testing.assert_array_equal, checked(_X), unchecked(_X))
    jax_cse.laplacian(lambda x: jnp.sum(jnp.sin(x)) ** 2, check=True)(_X)

  @parameterized.parameters("bfloat16", "float16", "float32", "complex64")
  def test_sums_into_places_pass_in_every_type(self, dtype):
    x = _X.astype(dtype)
    at = jnp.array([0, 0, 1])
    jax_cse.cse(lambda x: x.at[at].add(x), check=True)(x)
    if dtype != "complex64":
      jax_cse.cse(jax.grad(lambda x: jnp.sum(x[at]**2).astype(np.float32)),
                  check=True)(x)

  @parameterized.parameters(3, 3.0, True, 1j, None)
  def test_constant_results_pass(self, constant):
    fun = lambda x: (x, constant)
    jax_cse.cse(fun, check=True)(_X)
    jax_cse.derivatives(fun, 1, check=True)(_X)

  def test_a_rule_that_gives_another_value_passes(self):
    fun = jax.custom_jvp(lambda x: 1. * x)
    fun.defjvp(lambda xs, ts: (2. * xs[0], ts[0] * xs[0]))
    jax_cse.derivatives(lambda x: jnp.sin(fun(x)), 2, check=True)(_X)

  def test_jaxprs_are_checked(self):
    jaxpr = jax.make_jaxpr(lambda x: (jnp.sin(x) + x) * jnp.sin(x)
                           - x * jnp.sin(x))(_X)
    simpler = jax_cse.cse_jaxpr(jaxpr, check=True)
    self.assertLess(len(simpler.eqns), len(jaxpr.eqns))
    with _wrong(compat.mul_p), self.assertRaisesRegex(
        jax_cse.CheckFailed, "mul"):
      jax_cse.cse_jaxpr(jaxpr, check=True)

  def test_what_cannot_be_checked_is_refused(self):
    def seen(x):
      jax.experimental.io_callback(lambda: None, None)
      return x * 2
    looks = lambda x: x * x if x[0] > 0 else x
    for fun, message in ((seen, "IOEffect"), (looks, "has to know the values")):
      with self.assertRaisesRegex(ValueError, message):
        jax_cse.cse(fun, check=True)(_X)

  def test_effects_happen_once(self):
    seen = []
    def fun(x):
      jax.debug.callback(seen.append, x[0])
      return x * 2
    jax_cse.cse(fun, check=True)(_X)
    jax.effects_barrier()
    self.assertLen(seen, 1)


if __name__ == "__main__":
  absltest.main()
