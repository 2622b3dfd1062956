"""The table of eager results: its budget holds, and nothing else is lost."""

from absl.testing import absltest
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_cse.memo.eager_table import ENTRY_BYTES, EagerTable


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


if __name__ == "__main__":
  absltest.main()
