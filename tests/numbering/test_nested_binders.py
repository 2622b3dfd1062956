"""Loops in loops: what is bound in one is not what is bound in the other."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from calls_and_loops import scan
import checking
import jax_cse
from jax_cse.compat import core

X = jnp.linspace(0.5, 1.5, 4)


def _delays(op):
  """Two loops, one in the other, whose carries are x and then y."""
  def outer(a, _):
    return 3., scan(lambda b, _: (3., op(a, b)), 2.)[1]
  return scan(outer, 2.)[1]


def _solve(matvec, b, solve):
  return lax.custom_linear_solve(matvec, b, solve, symmetric=True)


def _nested_solve(b):
  return _solve(lambda w: 2 * w, b, lambda _, v: _solve(
      lambda w: w * v, 3 * b, lambda _, r: r * v))


def _while_with_a_reference(x):
  ref = jax.new_ref(x)

  def body(c):
    ref[...] = ref[...] + 1.
    return c[0] + 1, c[1] * 2, c[2] * 2

  lax.while_loop(lambda c: c[0] < 3, body, (0, x, x))
  return ref[...]


class NestedBindersTest(parameterized.TestCase):
  """What is bound in a loop is not what is bound in the loop around it."""

  @parameterized.named_parameters(
      ("elements of one array", lambda xs: scan(
          lambda c, x: (c, scan(lambda d, y: (d, x - y), 0., xs,
                                length=None)[1]), 0., xs, length=None)[1], X),
      ("elements backwards", lambda xs: scan(
          lambda c, x: (scan(lambda d, y: (d + x * x * y, None), c, xs,
                             length=None, reverse=True)[0], None),
          0., xs, length=None)[0], X),
      ("carries that are delays", lambda x: [
          _delays(op) for op in (lambda a, b: a * b, lambda a, b: b * b,
                                 lambda a, b: a * a)], X),
      ("linear solves", _nested_solve, X),
      ("while with a reference", _while_with_a_reference, np.float32(2)),
  )
  def test_values(self, fun, x):
    expected = jax.jit(fun)(x)
    plain = checking.trace(fun, x)
    with jax_cse.enabled():
      checking.assert_same_bits(jax.jit(fun)(x), expected)
    checking.assert_same_bits(
        core.jaxpr_as_fun(jax_cse.cse_jaxpr(plain, "exact"))(x),
        jax.tree.leaves(expected))


if __name__ == "__main__":
  absltest.main()
