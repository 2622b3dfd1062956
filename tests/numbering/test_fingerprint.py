"""Fingerprints of params: equal exactly if the params are identical."""

import struct

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
import numpy as np

from jax_cse.numbering import fingerprint

scalars = st.one_of(
    st.booleans(), st.integers(-3, 3), st.floats(), st.complex_numbers(),
    st.sampled_from([0.0, -0.0, 1, 1.0, True, 1 + 0j, 0, False, None, "1"]))
params = st.recursive(
    scalars, lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.lists(inner, max_size=3).map(tuple),
        st.dictionaries(st.sampled_from("ab"), inner, max_size=2)),
    max_leaves=6)


def identical(a, b) -> bool:
  """Same types all through, same bits, written without fingerprints."""
  if type(a) is not type(b):
    return False
  if isinstance(a, (list, tuple)):
    return len(a) == len(b) and all(map(identical, a, b))
  if isinstance(a, dict):
    return list(a) == list(b) and all(identical(a[k], b[k]) for k in a)
  if isinstance(a, float):
    return struct.pack("d", a) == struct.pack("d", b)
  if isinstance(a, complex):
    return identical((a.real, a.imag), (b.real, b.imag))
  return a == b


class FingerprintTest(parameterized.TestCase):

  @settings(max_examples=1000, deadline=None, derandomize=True, database=None)
  @given(params, params)
  def test_equal_exactly_if_identical(self, a, b):
    same = fingerprint.of_param(a) == fingerprint.of_param(b)
    self.assertEqual(same, identical(a, b))

  @settings(max_examples=300, deadline=None, derandomize=True, database=None)
  @given(params)
  def test_is_hashable_and_equal_to_itself(self, a):
    self.assertEqual(hash(fingerprint.of_param(a)),
                     hash(fingerprint.of_param(a)))

  def test_arrays_are_keyed_by_what_they_hold_now(self):
    a = np.zeros(3)
    before = fingerprint.of_param(a)
    a[0] = 1
    self.assertNotEqual(fingerprint.of_param(a), before)
    self.assertNotEqual(fingerprint.of_param(np.zeros(2, "int32")),
                        fingerprint.of_param(np.zeros(2, "float32")))
    self.assertNotEqual(fingerprint.of_param(np.zeros((2, 1))),
                        fingerprint.of_param(np.zeros((1, 2))))

  @parameterized.parameters(
      (np.zeros(fingerprint.MAX_ARRAY_BYTES + 1, "int8"), "more than 65536"),
      (np.array([object()]), "Python objects"),
      (set(), "without a hash"))
  def test_unkeyable(self, x, reason):
    with self.assertRaisesRegex(fingerprint.Unkeyable, reason):
      fingerprint.of_param((1, [x]))

  def test_names_of_params_count(self):
    self.assertNotEqual(fingerprint.of_params({"a": 1}),
                        fingerprint.of_params({"b": 1}))


if __name__ == "__main__":
  absltest.main()
