"""Sums whose terms have much in common: what is collected, and what is not."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.foundation import counting
from jax_cse.ring.collecting import Collecting
from jax_cse.ring.cores import Element, monomial
from test_ring import POINTS, element, expressions, of_element, ring


def _collect(r, x):
  """The terms of a sum, and what is made of them."""
  terms = [(c, monomial(r.cores, n))
           for n, c in r.cores[x.core].terms.items()]
  return terms, Collecting(r).collected("R", terms)


def _sum(r, *elements):
  total = elements[0]
  for x in elements[1:]:
    total = r.add(total, x)
  return total


def _at(r, terms, point):
  total = 0
  for c, product in terms:
    for n, e in product:
      c *= of_element(r, Element(1, n), point) ** e
    total += c
  return total


class CollectingTest(parameterized.TestCase):

  def test_directions_share_what_they_are_multiplied_by(self):
    r, (p, q, s) = ring()
    directions = [r.atom(1000 + i, "R") for i in range(8)]
    # As a product rule has it: p*t*t + q*(s*t)*t + t*q*t, twice s.
    total = _sum(r, *(x for t in directions for x in (
        r.mul(p, r.mul(t, t)), r.mul(q, r.mul(r.mul(s, t), t)),
        r.mul(r.mul(t, q), t))))
    terms, collected = _collect(r, total)
    self.assertLen(terms, 24)
    self.assertLen(collected, 8)
    common = _sum(r, p, r.mul(q, s), q)
    self.assertCountEqual(
        collected, [(common.coefficient, ((common.core, 1), (t.core, 2)))
                    for t in directions])

  def test_squares_of_sums_stay(self):
    r, _ = ring()
    xs = [r.atom(1000 + i, "R") for i in range(6)]
    square = r.power(_sum(r, *xs[:4]), 2)
    _, collected = _collect(r, _sum(r, square, *xs[3:]))
    self.assertIsNone(collected)

  def test_what_all_terms_are_multiples_of(self):
    r, (p, q, t) = ring()
    total = _sum(r, r.mul(p, t), r.mul(q, r.sub(t, r.mul(t, p))))
    terms = [(c, monomial(r.cores, n))
             for n, c in r.cores[total.core].terms.items()]
    factor = _sum(r, p, q, r.neg(r.mul(p, q)))
    self.assertEqual(
        Collecting(r).multiple("R", terms, lambda n: n == t.core),
        [(factor.coefficient, tuple(sorted([(t.core, 1),
                                            (factor.core, 1)])))])
    self.assertIsNone(
        Collecting(r).multiple("R", terms, lambda n: n == p.core))

  @given(st.lists(expressions, min_size=3, max_size=12))
  def test_has_the_value_of_the_sum(self, parts):
    r, atoms = ring()
    more = [r.atom(1000 + i, "R") for i in range(3)]
    total = _sum(r, *(r.mul(element(r, atoms, e), more[i % 3])
                      for i, e in enumerate(parts)))
    if not hasattr(r.cores[total.core], "terms"):
      return
    terms, collected = _collect(r, total)
    if collected is None:
      return
    for point in POINTS:
      values = dict(enumerate(point)) | {
          1000: 3, 1001: -7, 1002: 19}
      self.assertEqual(_at(r, collected, values), _at(r, terms, values))


_rng = np.random.RandomState(0)


def _network(activation, dimension, width=8):
  sizes = (dimension, width, width, width, 1)
  weights = [_rng.randn(a, b).astype("float32") / np.sqrt(np.float32(a))
             for a, b in itertools.pairwise(sizes)]

  def fun(x):
    for w in weights[:-1]:
      x = activation(x @ w + w[0])
    return (x @ weights[-1])[0]
  return fun


def _unrolled(fun):
  def laplacian(x):
    second = lambda v: jax.jvp(
        lambda y: jax.jvp(fun, (y,), (v,))[1], (x,), (v,))[1]
    return sum(map(second, jnp.eye(x.size)))
  return laplacian


class DirectionsTest(parameterized.TestCase):

  @parameterized.parameters(jnp.tanh, jax.nn.gelu, jnp.sin, jax.nn.silu)
  def test_equations_for_each_direction(self, activation):
    def equations(dimension):
      fun = jax_cse.cse(_unrolled(_network(activation, dimension)))
      return len(list(counting.equations(
          jax.make_jaxpr(fun)(np.zeros(dimension, "float32")).jaxpr)))
    # Slice, squeeze and three matrix products; its square, in three layers,
    # added to the others'; and, in two, its multiple by the slope, of which
    # one may be negated.
    self.assertLessEqual(equations(14) - equations(6), 8 * (5 + 6 + 2 + 1))

  @parameterized.product(
      form=("vmapped", "unrolled"), dimension=(3, 10))
  def test_constants_are_of_usual_size(self, form, dimension):
    fun = _network(jax.nn.gelu, dimension)
    made = (jax_cse.laplacian(fun) if form == "vmapped"
            else jax_cse.cse(_unrolled(fun)))
    jaxpr = jax.make_jaxpr(made)(np.zeros(dimension, "float32"))
    constants = [abs(float(x.val)) for eqn in counting.equations(jaxpr.jaxpr)
                 for x in eqn.invars if hasattr(x, "val") and not x.aval.shape]
    self.assertLess(max(constants), 1e4)
    self.assertGreater(min(c for c in constants if c), 1e-4)


if __name__ == "__main__":
  absltest.main()
