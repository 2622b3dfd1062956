"""What is known of results: the same whatever the unknown elements are."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.primitives import known_elements

_NAN = np.nan
X = np.array([[0., _NAN, 1.], [2., 0., _NAN]])
Y = np.array([[_NAN, 0., 1.], [2., 0., 3.]])
V = np.array([0., _NAN, 3.])

CASES = {
    "broadcast": (lambda x: lax.broadcast_in_dim(x, (2, 3), (1,)), V),
    "concatenate": (lambda x, y: lax.concatenate([x, y], 1), X, Y),
    "cumsum": (lambda x: lax.cumsum(x, 1), X),
    "cumsum reversed": (lambda x: lax.cumsum(x, 0, reverse=True), X),
    "dot": (lambda x, y: x @ y.T, X, Y),
    "dot in batches": (lambda x, y: lax.dot_general(
        x, y, (((1,), (1,)), ((0,), (0,)))), X, Y),
    "outer product": (lambda x, y: lax.dot_general(
        x, y, (((), ()), ((), ()))), X, V),
    "pad": (lambda x, y: lax.pad(x, y, [(1, 2, 1), (0, 1, 0)]), X, V[0]),
    "sum": (lambda x: lax.reduce_sum(x, (0,)), X),
    "reshape": (lambda x: lax.reshape(x, (3, 2)), X),
    "rev": (lambda x: lax.rev(x, (1,)), X),
    "slice": (lambda x: lax.slice(x, (0, 1), (2, 3)), X),
    "slice with strides": (lambda x: lax.slice(x, (0, 0), (2, 3), (1, 2)), X),
    "squeeze": (lambda x: lax.squeeze(x, (0,)), X[:1]),
    "tile": (lambda x: jnp.tile(x, (2, 1)), X),
    "transpose": (lambda x: x.T, X),
    "product": (lambda x, y: x * y, X, Y),
}
if hasattr(lax, "stack_p"):   # since 0.10.1
  CASES["stack"] = lambda x, y: jnp.stack([x, y], 1), X, Y


def _fillings(xs):
  """The operands with numbers for what is not known."""
  random = np.random.default_rng(0)
  for _ in range(3):
    yield [np.where(np.isnan(x), random.integers(2, 9, np.shape(x)), x)
           .astype(np.float32) for x in xs]


def _known(fun, xs):
  """What the rules say of the last equation of a function."""
  *_, eqn = jax.make_jaxpr(fun)(*map(np.float32, xs)).jaxpr.eqns
  if eqn.primitive is lax.mul_p:
    return known_elements.product(*xs)
  return known_elements.RULES[eqn.primitive](eqn.params, *xs)


class RulesTest(parameterized.TestCase):

  @parameterized.parameters(*(
      name for name in CASES if name not in ("dot", "tile")))
  def test_rules(self, name):
    fun, *xs = CASES[name]
    self._check(fun, xs, _known(fun, xs))

  def _check(self, fun, xs, known):
    known = np.asarray(known)
    self.assertFalse(np.isnan(known).all())
    for filled in _fillings(xs):
      wanted = np.asarray(fun(*filled))
      self.assertEqual(known.shape, wanted.shape)
      is_known = ~np.isnan(known)
      np.testing.assert_array_equal(known[is_known], wanted[is_known])

  def test_what_is_known_of_a_program(self):
    def fun(x):
      known = jnp.stack([x, jnp.zeros_like(x), x, jnp.zeros_like(x)])
      return lax.slice(lax.slice(known, (1,), (4,)) * x, (0,), (1,)), (
          lax.dynamic_slice(known, (3,), (1,))), known.at[2].set(0.)[2]

    with jax_cse.enabled("ring"):
      jaxpr = jax.make_jaxpr(lambda x: jax.jvp(lambda y: jax.jvp(
          fun, (y,), (1.,))[0], (x,), (1.,))[0])(1.)
    self.assertEqual([str(x) for x in jaxpr.eqns], [
        str(x) for x in jaxpr.eqns if x.primitive is lax.broadcast_in_dim_p])

  def test_an_index_out_of_bounds_is_not_known(self):
    numbers = lax.ScatterDimensionNumbers((), (0,), (0,))
    rule = known_elements.AT_INDICES[lax.scatter_p]
    params = {"dimension_numbers": numbers}
    self.assertIsNone(rule([3], params, np.zeros(3), np.ones(())))
    np.testing.assert_array_equal(
        rule([1], params, np.zeros(3), np.ones(())), [0, 1, 0])


if __name__ == "__main__":
  absltest.main()
