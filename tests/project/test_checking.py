"""The checkers fail on a planted wrong merge and on a missed one."""

from absl.testing import absltest
from jax import lax
import jax.numpy as jnp

import checking
from jax_cse.numbering import fingerprint

X = jnp.arange(3.0) + 1


class CheckersTest(absltest.TestCase):

  def test_a_wrong_merge_is_seen(self):
    fun = lambda x: lax.slice(x, (0,), (2,)) - lax.slice(x, (1,), (3,))
    with checking.params_do_not_count():
      with self.assertRaises(AssertionError):
        checking.check_cse(fun, (X,), 0)
      with self.assertRaises(AssertionError):
        checking.check_cse(fun, (X,), 1)
      with self.assertRaises(AssertionError):
        checking.check_never_larger(fun, (X,))

  def test_a_wrong_constant_is_seen(self):
    plain = fingerprint.of_scalar
    fingerprint.of_scalar = lambda x: 0
    try:
      with self.assertRaises(AssertionError):
        checking.check_cse(
            lambda x: (lax.mul(x, 2.0), lax.mul(x, 3.0)), (1.5,), 0)
    finally:
      fingerprint.of_scalar = plain

  def test_a_missed_merge_is_seen(self):
    with self.assertRaises(AssertionError):
      checking.check_cse(lambda x: (lax.sin(x), lax.sin(x)), (X,), 0)

  def test_bits_tell_zeros_dtypes_and_weak_types_apart(self):
    self.assertNotEqual(checking.bits(0.0), checking.bits(-0.0))
    self.assertNotEqual(checking.bits(1), checking.bits(1.0))
    self.assertNotEqual(checking.bits(jnp.float32(1)), checking.bits(1.0))


if __name__ == "__main__":
  absltest.main()
