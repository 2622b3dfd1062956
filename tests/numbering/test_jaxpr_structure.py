"""Jaxprs that are written alike have one number, others do not."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.numbering.structure import Structures
from jax_cse.rebuild import simplification


def _traced(fun, x=1.0):
  return jax.make_jaxpr(fun)(x)


class StructureTest(parameterized.TestCase):

  def test_alike(self):
    make = lambda: _traced(
        lambda x: lax.cond(x > 0, lambda x: x * 2., jnp.sin, x))
    s, first, second = Structures(), make(), make()
    self.assertIsNot(first.jaxpr, second.jaxpr)
    self.assertIsNotNone(s.number(first))
    self.assertEqual(s.number(first), s.number(second))

  @parameterized.parameters(
      (lambda x: x * 2., lambda x: x * 3.),
      (lambda x: x * 0., lambda x: x * -0.),
      (lambda x: jnp.sin(x) - x, lambda x: x - jnp.sin(x)),
      (lambda x: (x, x + 1), lambda x: (x + 1, x)),
      (lambda x: lax.cond(x > 0, jnp.sin, jnp.cos, x),
       lambda x: lax.cond(x > 0, jnp.cos, jnp.sin, x)),
      (lambda x: lax.cond(x > 0, lambda x: x * 2, jnp.cos, x),
       lambda x: lax.cond(x > 0, lambda x: x * 3, jnp.cos, x)))
  def test_not_alike(self, f, g):
    s = Structures()
    self.assertNotEqual(s.number(_traced(f)), s.number(_traced(g)))

  def test_types_differ(self):
    s = Structures()
    self.assertNotEqual(s.number(_traced(jnp.sin)),
                        s.number(_traced(jnp.sin, np.float32(1))))

  def test_constants_have_none(self):
    array = jnp.arange(4.)
    self.assertIsNone(Structures().number(_traced(lambda x: x * array)))

  def test_branches_of_one_structure_are_simplified_once(self):
    def fun(x):
      for _ in range(8):
        x = lax.cond(x > 0, lambda x: x * 2. + x * x, lambda x: x * 2. - x, x)
      return x
    count, plain = [], simplification.simplify
    def counted(*args):
      count.append(args)
      return plain(*args)
    simplification.simplify = counted
    try:
      simpler = jax_cse.cse_jaxpr(_traced(fun))
    finally:
      simplification.simplify = plain
    self.assertLessEqual(len(count), 3)   # of 16 branches
    self.assertIs(jax_cse.cse_jaxpr(simpler), simpler)


if __name__ == "__main__":
  absltest.main()
