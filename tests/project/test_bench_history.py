"""The history of the benchmarks: what is kept of a run, and what changed."""

import contextlib
import io
import json
import pathlib
import tempfile

from absl.testing import absltest

from benchmarks import history
from benchmarks.frame import Line, Ratio
from benchmarks.tables import ENDED, Section

_FACTS = {"date": "2026-01-01", "commit": "abc", "machine": "one, 2 cores",
          "versions": {"jax": "0.10.2"}}


def run(cells, size="default", entry="entry", **facts):
  return history.record({**_FACTS, **facts}, size, [
      Section(entry, "what", [Line("a", cells)])])


def changes(before, now):
  """Of one entry, without the line that says since when."""
  return [*history.compared([run(before)], run(now))][1:]


class HistoryTest(absltest.TestCase):

  def path(self):
    return pathlib.Path(self.enter_context(
        tempfile.TemporaryDirectory())) / "new" / "runs.jsonl"

  def test_counts_are_apart_from_times(self):
    found = run({"n": 3, "flops": 0.5, "run": Ratio(1., 0.5, 2.), "why": "-"})
    self.assertEqual(found["counts"], {"entry": {"a": {"n": 3, "flops": 0.5}}})
    self.assertEqual(found["times"], {"entry": {"a": {"run": [1., 0.5, 2.]}}})
    self.assertEqual((found["commit"], found["size"]), ("abc", "default"))

  def test_a_run_is_a_line(self):
    path = self.path()
    self.assertEqual(history.read(path), [])
    runs = [run({"n": 1}), run({"n": 2})]
    for one in runs:
      history.append(path, one)
    self.assertEqual(history.read(path), runs)
    self.assertLen(path.read_text().splitlines(), 2)

  def test_damaged_lines_are_named_and_left_out(self):
    path, good = self.path(), run({"n": 1})
    for bad in ("3", '{"date": "2026-01-01"}', '{"date": "2026', "\0"):
      history.append(path, good)
      with path.open("a") as file:
        file.write(bad)   # with no end of its line
    history.append(path, good)
    with contextlib.redirect_stderr(io.StringIO()) as said:
      self.assertEqual(history.read(path), [good] * 5)
    self.assertEqual(said.getvalue(), "".join(
        f"{path}, line {n}: no run; left out\n" for n in (2, 4, 6, 8)))

  def test_what_ended_early_is_left_out(self):
    lines = [Line("a", {"n": 1}), Line("b", {"n": 2})]
    whole, early = (history.record(_FACTS, "default", [
        Section("entry", "what", section), Section("other", "", lines)])
        for section in (lines, [lines[0], Line(ENDED, {"error": "E"})]))
    self.assertEqual([*early["counts"]], ["other"])
    self.assertEqual([*history.compared([whole], early)][1:],
                     ["  nothing changed"])
    # The next is compared with the one before.
    self.assertEqual([*history.compared([whole, early], whole)],
                     ["entry: since 2026-01-01, commit abc",
                      "  nothing changed",
                      "other: since 2026-01-01, commit abc",
                      "  nothing changed"])

  def test_where_nothing_can_be_kept(self):
    path = self.path()
    history.check(path)   # its folder is made
    with self.assertRaisesRegex(ValueError, "runs.jsonl' is a folder"):
      path.mkdir(parents=True)
      history.check(path)
    (path / "file").write_text(json.dumps({}))
    history.check(path / "file")
    with self.assertRaisesRegex(ValueError, "file' is a file"):
      history.check(path / "file" / "runs.jsonl")

  def test_counts_that_changed_are_said(self):
    self.assertEqual(changes({"n": 3, "m": 1}, {"n": 4, "m": 1}),
                     ["  a, n: 3 to 4"])
    self.assertEqual(changes({"n": 3}, {"m": 3}),
                     ["  a, n: gone, was 3", "  a, m: new, 3"])
    self.assertEqual(changes({"n": 3}, {"n": 3}), ["  nothing changed"])

  def test_instructions_may_differ_in_the_last_digits(self):
    self.assertEqual(changes({"n": 45_162_510}, {"n": 45_162_600}),
                     ["  nothing changed"])
    self.assertEqual(changes({"n": 45_000_000}, {"n": 46_000_000}),
                     ["  a, n: 4.5e+07 to 4.6e+07"])

  def test_times_changed_where_turns_do_not_overlap(self):
    before = {"run": Ratio(1., 0.9, 1.1)}
    self.assertEqual(changes(before, {"run": Ratio(1.2, 1.05, 1.3)}),
                     ["  nothing changed"])
    self.assertEqual(changes(before, {"run": Ratio(1.3, 1.2, 1.4)}),
                     ["  a, run: 1 (0.9 to 1.1) to 1.3 (1.2 to 1.4)"])
    # One turn says nothing about the spread.
    self.assertEqual(changes(before, {"run": Ratio(9., 9., 9.)}),
                     ["  nothing changed"])

  def test_the_last_on_the_same_machine_is_compared(self):
    runs = [run({"n": 1}, commit="same"),
            run({"n": 2}, commit="else", machine="other"),
            run({"n": 3}, commit="full", size="full")]
    self.assertEqual([*history.compared(runs, run({"n": 4}))],
                     ["entry: since 2026-01-01, commit same", "  a, n: 1 to 4"])

  def test_what_differs_is_said(self):
    old = run({"n": 1}, machine="other", versions={"jax": "0.11.2"})
    self.assertEqual([*history.compared([old], run({"n": 1}))], [
        "entry: since 2026-01-01, commit abc",
        "  machine: other, now one, 2 cores", "  jax: 0.11.2, now 0.10.2",
        "  nothing changed"])
    self.assertEqual([*history.compared([], run({"n": 1}))],
                     ["entry: no run before"])


if __name__ == "__main__":
  absltest.main()
