"""The benchmarks run, refuse to time what is wrong, and leave no row out."""

import collections
import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest.mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import (contenders, contests, figures, history,
                        large_networks, machine, sizes, tables, ways)
from benchmarks import __main__ as command
from benchmarks.contests import Contest
from benchmarks.frame import (BEHIND, ENTRIES, SLOWER, Case, Count, Line,
                              Ratio, ratio)
from benchmarks.sizes import DEFAULT, FULL, QUICK
from jax_cse.orders import blowup
from jax_cse.orders import order_counts
import jax_cse


def run(*arguments):
  """What the command line returns, and what it prints."""
  out = io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
    try:
      status = command.main(arguments)
    except SystemExit as e:
      status = e.code
  return status, out.getvalue()


def device_bench(*arguments):
  tool = pathlib.Path(command.__file__).parents[1] / "device_bench"
  return subprocess.run(
      [tool, *arguments], capture_output=True, text=True, env={
          **os.environ, "PYTHON": sys.executable, "JAX_PLATFORMS": "cpu"})


def contest(**ways):
  """A third derivative, and other ways to it."""
  plain = order_counts.nested_jvp(blowup.function, 3)
  return Contest("third", {"plain": plain, **ways}, (1.1,))


def by_way(lines):
  return {line.name.removeprefix("third, "): line for line in lines}


class FrameTest(absltest.TestCase):

  def test_a_ratio_is_of_medians_with_the_range_of_the_turns(self):
    found = ratio([2., 6., 3.], [1., 2., 4.])
    self.assertEqual(found, Ratio(3 / 2, 3 / 4, 3.))
    self.assertEqual(str(found), "1.50 (0.75 to 3.00)")

  def test_turns_alternate_and_are_prepared(self):
    calls = []
    case = Case("x", lambda: calls.append("a"), lambda: calls.append("b"),
                turns=2, prepare=lambda: calls.append("-"))
    list(case.lines(FULL))
    self.assertEqual("".join(calls), "ab-a-b-b-a")

  def test_a_quick_case_has_one_turn(self):
    calls = collections.Counter()
    case = Case("x", lambda: calls.update("a"), lambda: calls.update("b"))
    (line,) = case.lines(QUICK)
    self.assertEqual(calls, {"a": 2, "b": 2})
    self.assertEqual(line.cells["ratio"].low, line.cells["ratio"].high)

  def test_what_is_slower_is_marked(self):
    (slower,), (faster,), (other,) = (
        Count("x", 2, n, ours=ours).lines(FULL)
        for n, ours in ((3, True), (1, True), (3, False)))
    self.assertEqual(slower.losses, {"ratio": SLOWER})
    self.assertEqual(faster.losses, {})
    self.assertEqual(other.losses, {})

  def test_a_limit_is_missed_above_it(self):
    for candidate, missed in ((5, False), (6, True)):
      (line,) = Count("x", 2, candidate, limit=2.5).lines(FULL)
      self.assertEqual(line.missed, missed)


class SizesTest(absltest.TestCase):

  def test_a_full_run_has_all_turns_and_a_quick_one_one(self):
    self.assertLen([*FULL.turns(7)], 7)
    self.assertLen([*QUICK.turns(7)], 1)

  def test_a_default_run_takes_turns_while_there_is_time(self):
    times = iter([0., 0.1, 1., 5.])
    with unittest.mock.patch.object(sizes.time, "perf_counter",
                                    lambda: next(times)):
      self.assertLen([*DEFAULT.turns(9, least=2)], 4)
    self.assertLen([*DEFAULT._replace(seconds=-1.).turns(9, least=2)], 2)
    self.assertLen([*DEFAULT.turns(3)], 3)

  def test_there_is_one_choice_for_each_size(self):
    self.assertEqual([size.of(1, 2, 3) for size in (QUICK, DEFAULT, FULL)],
                     [1, 2, 3])


class ContestTest(absltest.TestCase):

  def test_every_way_has_a_line_with_every_stage(self):
    lines = by_way(contest(
        explicit=jax_cse.cse(order_counts.nested_jvp(blowup.function, 3)),
        jet=order_counts.taylor(blowup.function, 3)).lines(QUICK))
    for way in ("memo", "explicit", "jet"):
      for stage in contests.STAGES:
        self.assertIsInstance(lines[way].cells[stage], Ratio, (way, stage))
    sizes = [int(lines[way].cells["equations"])
             for way in ("explicit", "memo", "plain")]
    self.assertEqual(sizes, sorted(sizes))
    self.assertLess(sizes[0], sizes[2])
    self.assertEqual({way for way, line in lines.items() if line.ours},
                     {"memo", "explicit"})

  def test_a_way_that_refuses_keeps_its_line(self):
    def refuses(t):
      raise NotImplementedError("no rule")
    lines = by_way(contest(jet=refuses).lines(QUICK))
    self.assertEqual(lines["jet"].cells["equations"], "NotImplementedError")

  def test_what_is_not_installed_keeps_its_line(self):
    with unittest.mock.patch.dict("sys.modules", {"enzyme_ad.jax": None,
                                                  "jet_array": None}):
      lines = by_way(contest(
          **{"jet-array": contenders.jet_array(blowup.function, 3)}
      ).lines(QUICK))
    for way in ("jet-array", "Enzyme-JAX"):
      self.assertEqual(lines[way].cells["equations"], "ModuleNotFoundError")

  def test_what_has_no_form_is_named(self):
    with unittest.mock.patch.object(contenders, "is_installed",
                                    lambda way: way != "folx"):
      lines = by_way(contest().lines(QUICK))
    self.assertIn("not installed: folx", lines)
    self.assertIn("no form of it: explicit, derivatives, laplacian, jet, "
                  "jet-array", lines)

  def test_a_wrong_value_of_others_is_said(self):
    lines = by_way(contest(jet=lambda t: 2 * t).lines(QUICK))
    self.assertEqual(lines["jet"].cells["equations"], "wrong value")

  def test_a_wrong_value_of_ours_is_not_timed(self):
    with self.assertRaisesRegex(AssertionError, "explicit"):
      list(contest(explicit=lambda t: 2 * t).lines(QUICK))

  def test_an_error_of_ours_is_raised(self):
    def fails(t):
      raise TypeError("a mistake")
    with self.assertRaisesRegex(TypeError, "a mistake"):
      list(contest(explicit=fails).lines(QUICK))

  def test_plain_code_that_fails_is_an_error(self):
    with self.assertRaises(ZeroDivisionError):
      list(Contest("x", {"plain": lambda t: 1 / 0}, (1.,)).lines(QUICK))

  def test_structures_and_shapes_are_compared(self):
    for other in (lambda t: {"a": t}, lambda t: (t, t, t),
                  lambda t: (t, t * jnp.ones(2))):
      lines = by_way(Contest("third", {"plain": lambda t: (t, t),
                                       "jet": other}, (1.,)).lines(QUICK))
      self.assertEqual(lines["jet"].cells["equations"], "wrong value")

  def test_losses_are_to_the_control_and_to_the_best_of_the_others(self):
    ratios = {name: Ratio(m, m, m) for name, m in (
        ("plain", 1.), ("memo", 0.8), ("explicit", 1.2), ("derivatives", 0.4),
        ("jet", 0.7), ("jet-array", 0.5))}
    self.assertEqual([contenders.marks(name, ratios) for name in ratios],
                     ["", BEHIND, SLOWER + BEHIND, "", "", ""])
    del ratios["jet"], ratios["jet-array"]
    self.assertEqual([contenders.marks(name, ratios) for name in ratios],
                     ["", "", SLOWER, ""])


class WaysTest(absltest.TestCase):

  def compared(self, *counts):
    found = [(str(i), np.ones(1), {"flops": [n], "run": [1.]})
             for i, n in enumerate(counts)]
    return list(ways.compared("x", found, SLOWER, (0., 0.), lambda way: True))

  def test_counts_over_the_first(self):
    _, less, more = self.compared(4., 2., 8.)
    self.assertEqual((less.cells["flops"], more.cells["flops"]), (0.5, 2.))
    self.assertEqual((less.losses, more.losses), ({}, {"flops": SLOWER}))

  def test_the_first_takes_nothing(self):
    _, none, some = self.compared(0, 0, 1200)
    self.assertEqual((none.cells["flops"], some.cells["flops"]),
                     (1.0, "1,200 over 0"))
    self.assertEqual((none.losses, some.losses), ({}, {"flops": SLOWER}))

  def test_what_xla_leaves_out_is_none(self):
    def way(name):
      return ways.Way(name, lambda x: x[::-1])
    found = list(ways.measured([way("a"), way("b")], np.ones(3, "float32"), 1,
                               1, QUICK))
    self.assertEqual([figures["flops"] for _, _, figures in found],
                     [[0.0]] * 2)


class TablesTest(absltest.TestCase):

  SECTIONS = [tables.Section("entry", "what it is", [
      Line("a | b", {"run": Ratio(1.5, 1.2, 2.0), "n": "3"},
           {"run": SLOWER}),
      Line("c", {"run": Ratio(1.1, 0.9, 2.0), "n": "4"},
           {"run": SLOWER + BEHIND}),
      Line("d", {"run": Ratio(0.5, 0.4, 0.6), "n": "5"}, missed=True),
      Line("of others", {"run": Ratio(2., 2., 2.), "n": "6"}, ours=False),
      Line("other columns", {"other": "x"})])]

  def test_losses_are_counted_and_named(self):
    first, *rest = tables.losses(self.SECTIONS)
    self.assertEqual(first, "3 figures of jax_cse. * slower than the control: "
                     "2, in every turn: 1. + slower than the best of the "
                     "others: 1.")
    self.assertEqual(rest, ["*  entry: a | b, run: 1.50 (1.20 to 2.00)",
                            "*+ entry: c, run: 1.10 (0.90 to 2.00)"])

  def test_markdown_has_a_table_for_each_set_of_columns(self):
    text = tables.markdown(["a machine"], self.SECTIONS)
    self.assertStartsWith(text, "- a machine\n\n### entry: what it is\n\n"
                          "|  | run | n |\n| --- | ---: | ---: |\n"
                          "| a \\| b | 1.50 (1.20 to 2.00)\\* | 3 |\n")
    self.assertIn("| d (missed) | 0.50 (0.40 to 0.60) | 5 |", text)
    self.assertIn("\n\n|  | other |\n| --- | ---: |\n| other columns | x |",
                  text)
    self.assertIn("- \\*+ entry: c, run: 1.10 (0.90 to 2.00)", text)


class WorkloadsTest(absltest.TestCase):

  def test_the_resnet_is_one(self):
    loss, params, images = large_networks.resnet()
    # 25,557,032 by He et al., without the 1,000 of the last bias.
    self.assertEqual(sum(map(np.size, jax.tree.leaves(params))), 25_556_032)
    counts = jax_cse.count_primitives(loss)(params, images)
    self.assertEqual(counts["conv_general_dilated"], 53)

  def test_enzyme_keeps_values(self):
    if not contenders.is_installed("Enzyme-JAX"):
      self.skipTest("enzyme-ad is not installed")
    fun = lambda p, y: {"a": jnp.sin(p["x"]) * y, "b": p["x"].sum()}
    args = {"x": jnp.arange(3.), "unused": jnp.ones(2)}, 2.0
    got, wanted = jax.jit(contenders.enzyme(fun))(*args), fun(*args)
    jax.tree.map(np.testing.assert_allclose, got, wanted)


class CommandTest(parameterized.TestCase):

  def test_entries_are_listed(self):
    status, text = run("--list")
    self.assertEqual(status, 0)
    self.assertEqual([line.split()[0] for line in text.splitlines()],
                     list(ENTRIES))

  def test_without_a_device_nothing_is_measured(self):
    ran = device_bench("--quick")
    self.assertEqual((ran.returncode, ran.stdout), (
        0, "JAX finds no device but the CPU; --anyway measures on that\n"))

  @parameterized.parameters("--anyway --list", "--list --anyway")
  def test_where_it_is_measured_anyway(self, arguments):
    ran = device_bench(*arguments.split())
    self.assertEqual(ran.returncode, 0, ran.stderr)
    lines = ran.stdout.splitlines()[-len(ENTRIES):]   # a GPU is named before
    self.assertEqual([line.split()[0] for line in lines], list(ENTRIES))

  def test_an_entry_that_is_named_twice_runs_once(self):
    runs = []
    def entry(size):
      runs.append(size)
      yield Count("row", 2, 3)
    with unittest.mock.patch.dict(ENTRIES, {"made-up": ("", entry)}):
      run("--quick", "made-up", "made-up")
    self.assertLen(runs, 1)

  def test_what_a_device_measures_is_no_figure(self):
    described = {**machine.described(), "device": "gpu (NVIDIA H200)"}
    with (unittest.mock.patch.object(machine, "described",
                                     return_value=described),
          unittest.mock.patch.object(figures, "write") as write,
          unittest.mock.patch.dict(ENTRIES, {"made-up": ("", None)})):
      status, text = run("--write", "--history", os.devnull, "made-up")
    self.assertEqual(status, 2)
    self.assertIn("have figures of a CPU; this is of gpu (NVIDIA H200)", text)
    write.assert_not_called()

  def test_a_history_that_cannot_be_kept_is_an_error(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    with unittest.mock.patch.dict(ENTRIES, {"made-up": ("", None)}):
      status, text = run("--history", folder, "made-up")
    self.assertEqual(status, 2)
    self.assertRegex(text, "--history: .* is a folder")

  def test_an_entry_that_ended_early_is_not_kept(self):
    path = pathlib.Path(self.enter_context(
        tempfile.TemporaryDirectory())) / "runs.jsonl"
    def entry(size):
      yield Count("row", 2, 3)
      raise TypeError("a mistake")
    with unittest.mock.patch.dict(ENTRIES, {"made-up": ("", entry)}):
      run("--history", str(path), "made-up")
    self.assertEqual(history.read(path)[0]["counts"], {})

  def test_an_unknown_entry_is_an_error(self):
    status, text = run("overhead")
    self.assertEqual(status, 2)
    self.assertRegex(text, "unknown: overhead; known: .*overhead-of-tracing, ")

  def test_a_folder_that_is_not_there_is_an_error(self):
    status, text = run("--markdown", "nowhere/at/all.md", "growth")
    self.assertEqual(status, 2)
    self.assertIn("there is no folder 'nowhere/at'", text)

  def test_a_quick_run_is_no_figure(self):
    status, text = run("--quick", "--write", "growth")
    self.assertEqual(status, 2)
    self.assertIn("what --quick measures is no figure", text)

  def test_a_run_is_kept_and_compared_unless_it_is_quick(self):
    path = pathlib.Path(self.enter_context(
        tempfile.TemporaryDirectory())) / "runs.jsonl"
    counts = iter([3, 3, 4])
    def entry(size):
      yield Count("row", 2, next(counts))
    with unittest.mock.patch.dict(ENTRIES, {"made-up": ("", entry)}):
      run("--quick", "--history", str(path), "made-up")
      self.assertFalse(path.exists())
      self.assertIn("made-up: no run before",
                    run("--history", str(path), "made-up")[1])
      text = run("--history", str(path), "made-up")[1]
    self.assertIn("row, candidate: 3 to 4", text)
    self.assertIn(jax.__version__, history.read(path)[0]["versions"]["jax"])
    self.assertLen(history.read(path), 2)

  def test_an_entry_that_fails_does_not_end_the_others(self):
    def fails(size):
      yield Count("first", 1, 1)
      raise TypeError("a mistake")
    def good(size):
      yield Count("second", 1, 1)
    with unittest.mock.patch.dict(ENTRIES, {"fails": ("", fails),
                                            "good": ("", good)}):
      status, text = run("--quick", "fails", "good")
    self.assertEqual(status, 1)
    self.assertRegex(text, r"(?s)first .*ended here +TypeError  MISSED.*second")

  # Of the rest some need packages that compare, some a minute.
  @parameterized.parameters(
      "overhead-of-tracing", "calls-of-tracing", "overhead-of-an-eager-miss",
      "gain-of-an-eager-hit", "nested-jvp-eagerly", "nested-jvp-eagerly-first",
      "nested-jvp", "growth-of-tracing", "stages", "side-by-side",
      "stablehlo-operations", "growth", "minute", "derivatives-run",
      "derivatives-first", "linear-time", "over-tracing", "explicit-over-memo",
      "vector-counts", "derivatives-counts", "mixed-partials",
      "tracing-instructions", "training-steps", "collapsed-operators")
  def test_runs(self, name):
    with tempfile.TemporaryDirectory() as folder:
      path = pathlib.Path(folder) / "tables.md"
      _, text = run("--quick", name, "--markdown", str(path))
      written = path.read_text()
    self.assertIn(f"\n{name}: {ENTRIES[name][0]}\n", text)
    self.assertIn(f"jax {jax.__version__}", written)
    self.assertIn(f"### {name}: {ENTRIES[name][0]}\n\n|", written)
    self.assertRegex(text, r"\d+ figures of jax_cse\.")
    self.assertNotIn("ended here", text)


if __name__ == "__main__":
  absltest.main()
