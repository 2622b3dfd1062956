"""Figures are written by entry, and the documents are rendered from them."""

import json
import pathlib
import tempfile
import re
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from benchmarks import figures as store
from benchmarks.frame import ENTRIES, Line, Ratio
from benchmarks.tables import ENDED, Section
import benchmarks.__main__   # noqa: F401, enters all entries
from documents import figures
from documents.figure_tables import TABLES, Table

_ENTRY = {"command": "tools/bench times", "date": "2026-01-02",
          "machine": "a processor, 2 cores", "versions": {"jax": "0.10.2"},
          "lines": {
              "beam, ours": {"run": [0.25, 0.2, 0.3], "flops": 0.5, "n": 1200},
              "plate, ours": {"run": [0.004, 0.004, 0.004], "flops": 2.0},
              "plate, jet": {"run": "KeyError"},
              "a: b, theirs": {"run": 1.5}}}
_OTHER = {**_ENTRY, "command": "tools/bench --full counts",
          "date": "2026-01-03", "lines": {"beam": {"n": 3}}}
FIGURES = figures.Figures({"times": _ENTRY, "counts": _OTHER})


class ReferenceTest(parameterized.TestCase):

  @parameterized.parameters(
      ("times: beam, ours: run", "0.25"),
      ("times: beam, ours: n", "1,200"),
      ("spread times: beam, ours: run", "0.25 (0.20 to 0.30)"),
      ("spread times: beam, ours: flops", "0.50"),
      ("faster times: beam, ours: run", "4.00"),
      ("fasters times: beam, ours: run", "4.00 (3.33 to 5.00)"),
      ("times: plate, ours: run", "0.004"),
      ("times: plate, jet: run", "KeyError"),
      ("times: a: b, theirs: run", "1.50"),
      ("range times: *, ours: flops", "0.50 to 2.00"),
      ("mean times: *, ours: flops", "1.00"))
  def test_text(self, reference, wanted):
    self.assertEqual(FIGURES.text(reference), wanted)

  @parameterized.parameters(
      ("nothing: beam: run", "no entry 'nothing'; there are: times, counts"),
      ("times: beam: run", "no figure"),
      ("times: beam, ours: speed", "no figure"),
      ("times: *, ours: run", "2 figures .* give range or mean"),
      ("times: beam", "not .FORM .ENTRY: LINE: COLUMN"),
      ("best times: beam, ours: run", "no form 'best'; there are: spread"))
  def test_what_is_not_there_is_an_error(self, reference, message):
    with self.assertRaisesRegex(ValueError, message):
      FIGURES.text(reference)


class RenderTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(mock.patch.dict(TABLES, {
        "all": Table("", {"*": "times: *, ours"}, {
            "run": "times: {}, ours: run; times: {}, jet: run",
            "flops, n, run": "times: {}, ours: flops; times: {}, ours: n; "
                             "times: {}, ours: run",
            "count": "counts: {}: n"}),
        "across": Table("x", {"operations": "times: {}, ours: flops"},
                        {"a beam": "beam", "a plate": "plate"}),
        "empty": Table("", {"a": "nobody"}, {"run": "times: {}, ours: run"})}))

  def test_a_table_has_its_rows_commands_and_dates(self):
    text = "before\n<!-- figures: all -->\nold\n<!-- end figures -->\nafter\n"
    self.assertEqual(figures.rendered(text, FIGURES), """before
<!-- figures: all -->
|  | run | flops, n, run | count |
| --- | ---: | ---: | ---: |
| beam | 0.25, - | 0.50, 1,200, 0.25 | 3 |
| plate | 0.004, KeyError | 2.00, -, 0.004 |  |

`tools/bench times` and `tools/bench --full counts`, 2026-01-02 and \
2026-01-03, JAX 0.10.2, 2 cores.
<!-- end figures -->
after
""")

  def test_keys_may_stand_in_columns(self):
    self.assertIn("| operations | 0.50 | 2.00 |",
                  figures.table(FIGURES, "across"))

  def test_a_row_without_figures_is_an_error(self):
    with self.assertRaisesRegex(figures.Missing, "'empty' has nothing in 'a'"):
      figures.table(FIGURES, "empty")
    with self.assertRaisesRegex(figures.Missing, "no table 'none'; there are"):
      figures.table(FIGURES, "none")

  def test_figures_in_sentences_are_replaced_alone(self):
    run, spread = "<!-- =times: beam, ours: run -->", (
        "<!-- =spread times: beam, ours: run -->")
    both = "<!-- =range times: *, ours: flops -->"
    self.assertEqual(
        figures.rendered(f"from 7 to 0.3{run}, 9 (8 to\n10){spread}, of 4\n"
                         f"1 to 3{both}; 5.", FIGURES),
        f"from 7 to 0.25{run}, 0.25 (0.20 to 0.30){spread}, of 4\n"
        f"0.50 to 2.00{both}; 5.")


  def test_words_and_small_numbers_are_replaced(self):
    run, word = "<!-- =times: beam, ours: run -->", (
        "<!-- =times: plate, jet: run -->")
    for old in ("KeyError", "wrong value", "1e-05", "1,200"):
      self.assertEqual(figures.rendered(f"takes {old}{run} and {old}{word}.",
                                        FIGURES),
                       f"takes 0.25{run} and KeyError{word}.")

  def test_a_mark_that_cannot_be_filled_is_an_error(self):
    for text, message in (
        ("0.5<!-- =rnage times: *, ours: flops -->", "no form 'rnage'"),
        ("0.5<!-- =times: beam, ours -->", "not .FORM .ENTRY: LINE: COLUMN"),
        ("0.5<!-- =times: none: run -->", "no figure 'times: none: run'"),
        ("takes <!-- =times: beam, ours: run -->", "no figure stands before")):
      with self.assertRaisesRegex(ValueError, message):
        figures.rendered(text, FIGURES)


class StoreTest(absltest.TestCase):

  def test_a_run_replaces_its_entries_only(self):
    folder = self.enter_context(tempfile.TemporaryDirectory())
    path = pathlib.Path(folder) / "figures.json"
    path.write_text(store.text({"times": _ENTRY, "counts": _OTHER}))
    self.assertEqual(json.loads(path.read_text()),
                     {"times": _ENTRY, "counts": _OTHER})
    described = {"date": "2026-02-02", "versions": {}}
    self.assertTrue(store.write(described, "default", Section("counts", "", [
        Line("a", {"n": 2, "limit": ""}),
        Line("b", {"r": Ratio(1.23456, 1., 2.), "f": 0.123456})]), path))
    self.assertFalse(store.write(described, "default", Section("times", "", [
        Line(ENDED, {"error": "TypeError"})]), path))
    found = json.loads(path.read_text())
    self.assertEqual(found["times"], _ENTRY)
    self.assertEqual(found["counts"], {
        "command": "tools/bench counts", **described,
        "lines": {"a": {"n": 2}, "b": {"r": [1.235, 1., 2.], "f": 0.1235}}})
    self.assertEqual(path.read_text().count("\n"), 18)


class DocumentsTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    cls.FOUND = figures.read()

  def test_documents_are_as_rendered(self):
    for page in figures.PAGES:
      text = page.read_text()
      self.assertEqual(figures.rendered(text, self.FOUND), text,
                       f"{page.name}: run tools/figures")

  def test_figures_are_of_entries_that_there_are(self):
    self.assertContainsSubset(self.FOUND.found, ENTRIES)
    for name, table in TABLES.items():
      self.assertContainsSubset(figures.entries(table), self.FOUND.found, name)
      figures.table(self.FOUND, name)

  def test_verdicts_agree_with_the_figures(self):
    rows = figures.table(self.FOUND, "for-me").splitlines()[2:-2]
    for row in rows:
      *cells, verdict = row.strip("| ").split(" | ")
      found = [float(x) for cell in cells[1:]
               for x in re.findall(r"\d+\.\d+", cell)]
      if "worth it" in verdict:
        self.assertLess(min(found), 0.9, row)
      if verdict == "leave it off":
        self.assertGreater(min(found), 1, row)

  def test_each_table_names_its_command_and_date(self):
    for name, table in TABLES.items():
      last = figures.table(self.FOUND, name).splitlines()[-1]
      self.assertRegex(last, r"^`tools/bench .+`, \d{4}-\d\d-\d\d\b")
      for entry in figures.entries(table):
        self.assertIn(entry, last)

  def test_each_table_stands_in_one_place(self):
    names = re.findall(r"^<!-- figures: (.+) -->$", "\n".join(
        page.read_text() for page in figures.PAGES), re.MULTILINE)
    self.assertSameElements(names, TABLES)
    self.assertLen(names, len(set(names)))

  def test_every_mark_is_a_reference_and_follows_a_figure(self):
    for page in figures.PAGES:
      text = page.read_text()
      # At the start of a line it would end the paragraph.
      self.assertNotRegex(text, r"(?m)^[\s>*-]*<!-- =", page.name)
      for reference in re.findall(r"<!-- =(.+?) -->", text):
        self.assertIn(f"{self.FOUND.text(reference)}<!-- ={reference} -->",
                      text)


if __name__ == "__main__":
  absltest.main()
