"""The parts that need no JAX: fingerprints, the eager table, statistics."""

import struct

import numpy as np
from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_cse.memo import statistics
from jax_cse.memo.eager_table import ENTRY_BYTES, EagerTable
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


class EagerTableTest(absltest.TestCase):

  @settings(max_examples=300, deadline=None, derandomize=True, database=None)
  @given(st.lists(st.tuples(st.sampled_from(["put", "get", "discard"]),
                            st.integers(0, 9), st.integers(0, 5000))),
         st.integers(0, 20_000))
  def test_the_budget_holds_and_nothing_is_lost(self, steps, budget):
    evicted = []
    table = EagerTable(budget, lambda entry, nbytes: evicted.append(entry))
    inside = {}
    for step, key, nbytes in steps:
      if step == "put":
        table.put(key, (nbytes, "name", key))
        inside.setdefault(key, (nbytes, "name", key))
      elif step == "get":
        self.assertEqual(table.get(key), inside.get(key))
      else:
        table.discard(key)
        inside.pop(key, None)
      while evicted:
        self.assertIsNotNone(inside.pop(evicted.pop()[2], None))
      self.assertLen(table, len(inside))
      self.assertLessEqual(table.nbytes, budget)
      self.assertEqual(table.nbytes, sum(
          ENTRY_BYTES + entry[0] for entry in inside.values()))


class StatisticsTest(absltest.TestCase):

  def test_table(self):
    stats = statistics.Statistics()
    stats.hits_of["sin"] += 2
    stats.misses_of["sin"] += 1
    stats.bypass("io_callback", "a reason")
    stats.evict("cos", 4096)
    self.assertEqual((stats.hits, stats.misses, stats.bypassed, stats.evicted,
                      stats.evicted_bytes), (2, 1, 1, 1, 4096))
    self.assertEqual(stats.by_primitive["sin"]["hits"], 2)
    self.assertEqual(stats.bypass_reasons, {"a reason": 1})
    text = str(stats)
    for part in ("sin", "io_callback", "a reason", "4,096 bytes", "total"):
      self.assertIn(part, text)
    stats.clear()
    self.assertEqual((stats.hits, stats.evicted_bytes), (0, 0))


class CountingTest(absltest.TestCase):

  def test_inner_jaxprs_count(self):
    import jax
    from jax import lax
    import jax_cse

    def fun(x):
      y = lax.fori_loop(0, 3, lambda i, c: lax.sin(c), x)
      return lax.cond(x > 0, lax.sin, lax.cos, jax.jit(lax.exp)(y))

    counts = jax_cse.count_primitives(fun)(1.0)
    self.assertEqual(
        {k: counts[k] for k in ("sin", "cos", "exp", "jit", "cond", "scan")},
        {"sin": 2, "cos": 1, "exp": 1, "jit": 1, "cond": 1, "scan": 1})
    self.assertEqual(type(counts).__name__, "Counter")


if __name__ == "__main__":
  absltest.main()
