"""The runner of other people's suites: journals, going on, comparing."""

import contextlib
import io
import os
import pathlib
import signal
import tempfile
import threading
import time

from absl.testing import absltest
import jax
import numpy as np

from suites import command
from suites import comparison
from suites import jax_suite
from suites import journal
from suites import rebuilt
from suites import running

_SUITE = '''
import os, pytest, jax_cse
def test_good(): pass
def test_bad(): assert 0, "a reason"
def test_counts(): assert jax_cse.active_mode() is None
@pytest.mark.skip(reason="not here")
def test_skipped(): pass
@pytest.mark.xfail
def test_known(): assert 0
def test_broken_fixture(nobody_has_it): pass
def test_dies(): os._exit(7)
def test_after(): pass
'''
_CUT_OFF = '''
import os, pathlib
def test_first(): pass
def test_second():
  marker = pathlib.Path(__file__).with_name("was here")
  if not marker.exists():
    marker.touch()
    os._exit(1)
'''


_REBUILT = '''
import jax, jax.numpy as jnp
import pytest
def both(x, y):
  return x * y + 2 * (x * y), jax.jit(lambda z: z * x + z * y)(x)
def test_rebuilt(pytestconfig):
  x, y = jnp.arange(6, dtype=jnp.int32).reshape(2, 3)
  rebuilder = pytestconfig.rebuilder
  changed = rebuilder.changed
  compiled = jax.jit(both).lower(x, y).compile()
  assert rebuilder.changed == changed + 1
  assert "multiply" in compiled.as_text()
  for got, wanted in zip(compiled(x, y), (3 * x * y, x * x + x * y)):
    assert got.tolist() == wanted.tolist()
  jax.jit(jax.grad(lambda x: sum(both(x, 2.))))(1.)
  assert rebuilder.changed >= changed + 2
def test_unused_and_donated():
  f = jax.jit(lambda x, y, z: (z - z + y, z), donate_argnums=1)
  x, y, z = jnp.zeros(3), jnp.ones(3), jnp.ones(3)
  y_too, _ = f(x, y, z)
  assert y_too.tolist() == [1.0] * 3
  assert y.is_deleted() and not x.is_deleted() and not z.is_deleted()
def test_while_what_is_known_is_computed_at_once():
  with jax.ensure_compile_time_eval():
    sums = jax.vmap(lambda x: jax.lax.map(lambda y: x + y, jnp.arange(2)))
    assert sums(jnp.arange(2)).tolist() == [[0, 1], [1, 2]]
def test_ordered_effects(capsys):
  @jax.jit
  def f(x):
    jax.debug.print("a {}", x + x, ordered=True)
    jax.debug.print("b {}", 2 * x, ordered=True)
    return x
  f(1.)
  jax.effects_barrier()
  assert capsys.readouterr().out == "a 2.0\\nb 2.0\\n"
'''


def passed(*tests):
  return {test: {"outcome": "passed", "why": ""} for test in tests}


class RunningTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.directory = pathlib.Path(self.enterContext(
        tempfile.TemporaryDirectory()))

  def units(self, text, ways):
    (self.directory / "suite_test.py").write_text(text)
    return [running.Unit(way, "suite_test.py", [*options, "suite_test.py"],
                         str(self.directory),
                         self.directory / way / "suite_test.jsonl", {})
            for way, options in ways.items()]

  def run_units(self, units, patience=60):
    with contextlib.redirect_stdout(io.StringIO()) as printed:
      running.run(units, 1, patience)
    return printed.getvalue()

  def test_both_ways_with_a_test_that_dies(self):
    units = self.units(
        _SUITE, {way: command.WAYS[way] for way in ("plain", "exact")})
    printed = self.run_units(units)
    self.assertIn("[2/2] exact", printed)
    suites = running.suites(units)
    outcomes = {test: record["outcome"]
                for test, record in suites["plain"]["suite_test.py"].items()}
    self.assertEqual(outcomes, {
        "test_good": "passed", "test_bad": "failed", "test_counts": "passed",
        "test_skipped": "skipped", "test_known": "xfailed",
        "test_broken_fixture": "failed", "test_dies": "crashed",
        "test_after": "passed"})
    found = comparison.differences(suites["plain"], suites["exact"])
    self.assertEqual([(d.test, d.other["outcome"]) for d in found],
                     [("test_counts", "failed")])
    self.assertIn("assert", found[0].other["why"])
    self.assertIn("2 of 2 were done before", self.run_units(units))
    running.forget(units, found)
    self.assertIn("0 of 2 were done before", self.run_units(units))
    again = comparison.differences(*running.suites(units).values())
    self.assertEqual([d.test for d in again], ["test_counts"])

  def test_all_that_is_compiled_is_rebuilt(self):
    unit, = self.units(_REBUILT, {"rebuilt": command.WAYS["rebuilt"]})
    self.run_units([unit])
    self.assertEqual(
        {test: record["why"] for test, record
         in running.outcomes_of(unit).items() if record["outcome"] != "passed"},
        {})
    self.assertRegex(unit.journal.with_suffix(".log").read_text(),
                     r"rebuilt in mode ring: \d+ jaxprs, [1-9]")

  def test_a_run_that_was_cut_off_goes_on(self):
    unit, = self.units(_CUT_OFF, {"plain": []})
    self.run_units([unit])
    self.assertEqual(comparison.summary(comparison.count(
        {"": running.outcomes_of(unit)})), "2 passed")
    started = unit.journal.read_text().count('"started"')
    self.assertEqual(started, 3)  # the first test was not run twice

  def test_a_test_that_hangs_is_killed(self):
    unit, = self.units("import time\ndef test_hangs(): time.sleep(600)\n",
                       {"plain": []})
    self.run_units([unit], patience=3)
    self.assertEqual(running.outcomes_of(unit)["test_hangs"]["outcome"],
                     "crashed")

  def test_terminated_it_stops_what_runs(self):
    unit, = self.units("import os, time\ndef test_hangs():\n"
                       "  open('pid', 'w').write(str(os.getpid()))\n"
                       "  time.sleep(600)\n", {"plain": []})

    def terminate():
      while not (self.directory / "pid").exists():
        time.sleep(0.1)
      signal.raise_signal(signal.SIGTERM)

    threading.Thread(target=terminate).start()
    with self.assertRaises(SystemExit):
      self.run_units([unit])
    self.assertFalse(journal.is_complete(unit.journal))
    self.assertEqual(running.outcomes_of(unit), {})  # to be run again
    with self.assertRaises(ProcessLookupError):
      os.kill(int((self.directory / "pid").read_text()), 0)

  def test_a_file_that_cannot_be_imported(self):
    unit, = self.units("import nowhere", {"plain": []})
    self.run_units([unit])
    record, = running.outcomes_of(unit).values()
    self.assertEqual(record["outcome"], "failed")
    self.assertTrue(journal.is_complete(unit.journal))


class RebuiltTest(absltest.TestCase):

  def test_what_may_not_stand_in(self):
    def jaxpr(f, dtype="int32"):
      return jax.make_jaxpr(f)(np.zeros(2, dtype))

    before = jaxpr(lambda x: x + x)
    rebuilt.check(before, jaxpr(lambda x: 2 * x))
    for after in (jaxpr(lambda x: x, "uint32"), jaxpr(lambda x: x[0]),
                  jaxpr(lambda x: jax.debug.print("{}", x) or x)):
      with self.assertRaisesRegex(AssertionError, "rebuilt: .* were"):
        rebuilt.check(before, after)
    wrong = jaxpr(lambda x: x + x.astype("float32").astype("int32"))
    wrong.eqns[2].invars[1] = wrong.eqns[0].outvars[0]   # float32
    with self.assertRaisesRegex(AssertionError, "types are wrong"):
      rebuilt.check(before, wrong)

  def test_effects_on_references(self):
    def jaxpr(f):
      return jax.make_jaxpr(f)(*[jax.new_ref(np.zeros(2)) for _ in range(2)])

    def swap(a, b):
      a[...] = b[...]

    before = jaxpr(swap)
    rebuilt.check(before, jaxpr(swap))
    reads = lambda a, b: (a[...], None)[1]
    rebuilt.check(jaxpr(reads), jaxpr(lambda a, b: None))
    for after in (lambda a, b: swap(b, a), lambda a, b: None):
      with self.assertRaisesRegex(AssertionError, "rebuilt: effects were"):
        rebuilt.check(before, jaxpr(after))


class ComparisonTest(absltest.TestCase):

  def test_the_table_of_expected_differences(self):
    failed = {"t": {"outcome": "failed", "why": "it counts"}}
    suites = {"plain": {"f": passed("t", "u")},
              "exact": {"f": passed("u") | failed}}
    for table, good, words in (
        ({}, False, "NEW f t: passed plain, failed exact. it counts"),
        ({"f": {"t": "counts"}}, True, "expected f t: counts"),
        ({"f": {"t": "counts", "u": "old"}}, False, "STALE f u"),
        ({"g": {"t": "in a file that was not run"}, "f": {"t": "counts"}}, True,
         "0 stale")):
      text, actual = comparison.report(suites, {"exact": table})
      self.assertEqual(actual, good, text)
      self.assertIn(words, text)

  def test_a_test_that_was_run_one_way_only(self):
    suites = {"plain": {"f": passed("t", "u")}, "exact": {"f": passed("t")}}
    text, good = comparison.report(suites, {})
    self.assertFalse(good)
    self.assertIn("NEW f u: passed plain, not run exact", text)

  def test_files_run_one_way_only_are_not_compared(self):
    suites = {"plain": {"f": passed("t")}, "exact": {"f": passed("t"),
                                                     "g": passed("t")}}
    text, good = comparison.report(suites, {})
    self.assertTrue(good)
    self.assertIn("exact against plain, 1 files", text)

  def test_one_way_alone(self):
    text, good = comparison.report({"exact": {"f": passed("t")}}, {})
    self.assertTrue(good)
    self.assertIn("exact against plain, 0 files", text)


class ExpectedDifferencesTest(absltest.TestCase):

  def test_a_way_that_merges_more_differs_where_less_is_merged(self):
    expected = command.expected_differences()
    self.assertLessEqual(expected.keys(), command.WAYS.keys())
    self.assertNotIn("core_test.py", expected["exact"])
    for way in ("reassociate", "ring"):
      self.assertEqual(expected[way]["api_test.py"],
                       expected["exact"]["api_test.py"])
      self.assertIn("core_test.py", expected[way])
    self.assertNotIn("DCETest::test_dce_jaxpr_cond_nontrivial",
                     expected["rebuilt"]["api_test.py"])


class JaxSuiteTest(absltest.TestCase):

  def test_another_version(self):
    with tempfile.TemporaryDirectory() as checkout:
      for text, words in ((None, "is not a checkout of JAX"),
                          ('_version = "0.3.1"\n', "is at 0.3.1, installed")):
        if text:
          (pathlib.Path(checkout) / "jax").mkdir()
          (pathlib.Path(checkout) / "jax" / "version.py").write_text(text)
        with (self.assertRaises(SystemExit),
              contextlib.redirect_stderr(io.StringIO()) as printed):
          jax_suite.main([checkout])
        self.assertIn(words, printed.getvalue())


if __name__ == "__main__":
  absltest.main()
