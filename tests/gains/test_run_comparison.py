"""Turns, failures and the table of `compare`, from runs that are made up."""

import contextlib
import io
import json
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from jax_cse.gains import comparison_table
from jax_cse.gains import gain
from jax_cse.gains import run_comparison
from jax_cse.gains.measured_run import Figures
from jax_cse.report import running

ADVICE = {"exact": "a.py:3: nested", "ring": None}
LINES = {"exact": "a.py:1 computes again", "ring": "a.py:2 computes again"}


def function(first=1.0, **fields):
  return {"to the first results": first, "a call": 0.001, "later calls": 9,
          "equations": 100, "flops": 1000.0, "temporary bytes": 64,
          "error": None} | fields


def figures(trace=1.0, lines=None, **fields):
  return Figures(**({
      "ended": "well", "parts": {"to trace": trace, gain.LATER: 0.01},
      "clock": 2.0, "functions": {"step:3": function()}, "entered": [],
      "cache_hits": 0, "lines": lines or {}, "advice": {}} | fields))


class CompareTest(parameterized.TestCase):

  def compare(self, runs, mode=None, turns=2):
    """With `runs`: a way to what it gives, figures or a function of the turn.
    """
    self.asked, said = [], io.StringIO()

    def run(settings, args, way):
      self.asked.append((way, settings.modes, list(args)))
      found = runs[way]
      if callable(found):
        found = found(sum(way == w for w, *_ in self.asked))
      return found, "it\nprinted"

    with mock.patch.object(run_comparison, "_run", run):
      with contextlib.redirect_stderr(said):
        compared = run_comparison.compare("a.py", ["x"], False, mode, turns)
    self.said = said.getvalue()
    self.ways = [way for way, *_ in self.asked]
    self.text = comparison_table.text(compared)
    return compared

  def test_both_modes_in_turns(self):
    compared = self.compare({
        "plain": figures(1.0, LINES), "mode exact": figures(1.0),
        "mode ring": figures(0.5)}, turns=3)
    self.assertEqual(self.ways, [
        "plain", "mode exact", "mode ring", "mode ring", "mode exact", "plain",
        "plain", "mode exact", "mode ring"])
    # What is computed again is looked for once.
    self.assertEqual([modes for _, modes, _ in self.asked],
                     [["exact", "ring"]] + 8 * [[]])
    self.assertEqual((compared.verdict.word, compared.verdict.way),
                     (gain.WORTH_IT, "mode ring"))
    self.assertEqual((compared.status, compared.line), (0, LINES["ring"]))
    self.assertIn("worth it in mode ring: 0.50 s less to trace", self.text)
    self.assertIn("may round otherwise", self.text)
    self.assertIn('@jax_cse.enabled("ring") below @jax.jit', self.text)
    self.assertIn("Where most is computed again: a.py:2 computes", self.text)
    self.assertIn("run 1, plain", self.said)
    self.assertIn("run 9 of 9, mode ring", self.said)

  def test_one_mode(self):
    compared = self.compare({"plain": figures(1.0, {"exact": None}),
                             "mode exact": figures(1.5)}, mode="exact")
    self.assertEqual(self.ways, ["plain", "mode exact", "mode exact", "plain"])
    self.assertIn("run 1 of 4, plain", self.said)
    self.assertEqual((compared.verdict.word, compared.status),
                     (gain.LEAVE_OFF, 1))
    self.assertNotIn("Where most is computed again", self.text)
    self.assertNotIn("What would pay", self.text)
    self.assertNotIn("may round", self.text)
    self.assertNotIn("To turn it on", self.text)

  @parameterized.parameters(
      ("reassociate", [], "reassociate"), ("exact", ["ring"], "ring"),
      ("exact", ["exact"], None), (None, ["exact", "ring"], "ring"),
      (None, ["reassociate"], "reassociate"), (None, ["exact"], None))
  def test_the_mode_that_may_round(self, mode, entered, rounds):
    way = f"mode {mode}" if mode else "as written"
    compared = self.compare({"plain": figures(1.0, LINES, entered=entered),
                             way: figures(0.5)}, mode)
    self.assertEqual(compared.verdict.word, gain.WORTH_IT)
    self.assertEqual(compared.mode, rounds or "exact")
    if rounds:
      self.assertIn(f'round otherwise in mode "{rounds}".', self.text)
    else:
      self.assertNotIn("round", self.text)
    self.assertEqual(compared.line, LINES.get(compared.mode))

  def test_what_would_pay(self):
    plain = figures(1.0, LINES, advice=ADVICE)
    compared = self.compare({"plain": plain, "mode exact": figures()}, "exact")
    self.assertEqual(compared.advice, "a.py:3: nested")
    self.assertIn("\nWhat would pay: a.py:3: nested", self.text)
    self.compare({"plain": plain, "mode ring": figures()}, "ring")
    self.assertNotIn("What would pay", self.text)

  def test_a_program_that_enters_enabled_runs_as_it_is_written(self):
    runs = {"plain": figures(1.0, LINES, entered=["ring"]),
            "as written": figures(0.5), "mode exact": figures(0.5)}
    compared = self.compare(runs)
    self.assertEqual(self.ways, ["plain", "as written", "as written", "plain"])
    self.assertIn("worth it as written: 0.50 s less to trace", self.text)
    self.assertEqual(compared.line, LINES["ring"])
    self.compare(runs, mode="exact")
    self.assertEqual(self.ways, ["plain", "mode exact", "mode exact", "plain"])

  def test_a_program_that_fails_is_not_run_again(self):
    compared = self.compare({"plain": figures(ended="failed")})
    self.assertEqual(self.ways, ["plain"])
    self.assertEqual(compared.status, 2)
    self.assertIn("a.py failed, plain:", self.text)
    self.assertIn("    it\n    printed", self.text)
    self.assertNotIn("without CSE it did not", self.text)

  def test_a_way_that_fails_is_left_out(self):
    compared = self.compare({
        "plain": figures(), "mode exact": figures(),
        "mode ring": figures(ended="failed")})
    self.assertEqual(self.ways, ["plain", "mode exact", "mode ring",
                                 "mode exact", "plain"])
    self.assertEqual((compared.verdict.way, compared.status), ("mode exact", 0))
    self.assertIn("a.py failed, mode ring:", self.text)
    self.assertIn("without CSE it did not", self.text)
    compared = self.compare({"plain": figures(), "mode exact": lambda turn: (
        figures(ended="failed" if turn == 2 else "well"))}, mode="exact")
    self.assertEqual((compared.verdict, compared.status), (None, 2))
    self.assertNotIn("mode exact", self.text.split("did not.")[1])

  def test_a_program_that_fails_in_a_later_turn(self):
    compared = self.compare({
        "plain": lambda turn: figures(ended="well" if turn < 2 else "failed"),
        "mode exact": figures(), "mode ring": figures(ended="failed")})
    self.assertEqual(self.ways, ["plain", "mode exact", "mode ring",
                                 "mode exact", "plain"])
    self.assertEqual((compared.verdict, compared.status), (None, 2))
    self.assertIn("a.py failed, plain:", self.text)
    self.assertIn("a.py failed, mode ring:", self.text)
    self.assertNotIn("without CSE it did not", self.text)
    self.assertEqual(list(json.loads(compared.json())["ways"]), ["mode exact"])

  def test_no_program(self):
    with self.assertRaisesRegex(running.NoProgram, "^No module named none$"):
      self.compare({"plain": figures(ended="no program: No module named none")})

  def test_table(self):
    other = {"step:3": function(0.5, equations=10), "same:9": function(),
             "late:7": function(equations=None, error="it <cannot>")}
    self.compare({
        "plain": figures(1.0, functions={
            "same:9": function(), "step:3": function(),
            "late:7": function(0.25)}),
        "mode exact": figures(0.5, functions=other, cache_hits=1)}, "exact")
    rows = {" ".join(line.split()) for line in self.text.splitlines()}
    for row in ("a.py, 2 turns plain mode exact", "s to trace 1.000 0.500",
                "s of processor time, in all 1.010 0.510",
                "s by the clock 2.000 2.000",
                "equations 200 110", "flops by XLA's count 3,000 3,000",
                comparison_table.IN_PART, "step:3, 9 calls after the first",
                "s to the first results 1.000 0.500",
                "ms a call after that 1.000 1.000", "equations 100 10",
                "equations 100 -", "not looked at: it <cannot>"):
      self.assertIn(row, rows)
    self.assertNotIn("same:9", self.text)
    self.assertIn("has compiled programs kept on disk", self.text)

  def test_totals_of_what_is_nowhere_known(self):
    known = {"step:3": function(flops=None)}
    self.compare({"plain": figures(functions=known),
                  "mode exact": figures(functions=known)}, "exact")
    self.assertRegex(self.text, r"flops by XLA's count +- +-")
    self.assertRegex(self.text, r"equations +100 +100")
    self.assertNotIn("could not be looked at", self.text)

  def test_many_functions(self):
    self.compare({
        "plain": figures(functions={f"f{i}:1": function(i) for i in range(20)}),
        "mode exact": figures(functions={
            f"f{i}:1": function(i, equations=1) for i in range(20)})}, "exact")
    self.assertIn("f19:1", self.text)
    self.assertNotIn("f7:1", self.text)
    self.assertIn("8 more functions differ", self.text)

  def test_json(self):
    compared = self.compare({"plain": figures(1.0, LINES),
                             "mode exact": figures(0.5)}, "exact")
    read = json.loads(compared.json())
    self.assertEqual(read["verdict"]["word"], "worth it")
    self.assertEqual(read["status"], 0)
    self.assertLen(read["ways"]["plain"], 2)
    self.assertEqual(read["ways"]["mode exact"][0]["parts"]["to trace"], 0.5)


class RunTest(absltest.TestCase):

  def test_the_last_lines(self):
    file = pathlib.Path(
        self.enter_context(tempfile.TemporaryDirectory()), "log")
    file.write_bytes(b"".join(b"line %d\n" % i for i in range(99)) + b"\xff\n")
    lines = run_comparison._end(file).splitlines()
    self.assertLen(lines, run_comparison._TAIL)
    self.assertEqual(lines[-2], "line 98")

  def test_the_options_of_python(self):
    said = subprocess.run(
        [sys.executable, "-O", "-Wignore", "-Xdev", "-c",
         "from jax_cse.gains import run_comparison as r; print(r._options())"],
        capture_output=True, text=True, timeout=120, check=True).stdout
    for option in ("'-O'", "'-Wignore'", "'-X', 'dev'"):
      self.assertIn(option, said)


if __name__ == "__main__":
  absltest.main()
