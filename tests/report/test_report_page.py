"""The page that `run --report` writes, from what it is made of."""

import tempfile

from absl.testing import absltest
from absl.testing import parameterized
from jax import lax
import numpy as np

import jax_cse
from jax_cse.findings.redundancy_report import Advice, Line
from jax_cse.memo.seconds import Seconds
from jax_cse.memo.statistics import Statistics
from jax_cse.report import jaxpr_graph
from jax_cse.report import report_page
from jax_cse.report.jaxpr_graph import Graph
from jax_cse.report.source_listing import listing
from report_parts import Tags, chain, node

X = np.ones(3, "float32")


def run_of(*entries, **fields):
  fields = {"program": "train.py", "command": "python train.py",
            "mode": "exact", "outcome": "ended well",
            "versions": [("jax", "1.2")], "left_out": 0,
            "statistics": None} | fields
  return report_page.Run(entries=entries, **fields)


EVIL = '</script><img src=x onerror="alert(1)">&amp;'


class PageTest(parameterized.TestCase):

  def test_nothing_was_jitted(self):
    page = Tags(report_page.render(run_of()))
    self.assertIn("No function was given to jax.jit", page.text)
    self.assertIn("CSE was off", page.text)

  def test_nothing_was_kept(self):
    page = Tags(report_page.render(run_of(left_out=2)))
    self.assertNotIn("No function was given", page.text)
    self.assertIn("could be kept", page.text)
    self.assertIn("2 more were traced and not kept", page.text)

  def test_nothing_could_be_traced_again(self):
    page = Tags(report_page.render(run_of(
        report_page.Entry("step", None, [], error="no"))))
    self.assertIn("could be traced again, so there is nothing", page.text)
    self.assertNotIn("Without CSE", page.text)

  def test_what_is_said(self):
    page = Tags(report_page.render(run_of(
        report_page.Entry("step", None, [("x", "f32[3]")], error="no <way>"),
        left_out=7, outcome="ended with exit status 3")))
    for text in ("no <way>", "f32[3]", "ended with exit status 3", "train.py",
                 "1.2", "7 more were traced", "could not be traced again"):
      self.assertIn(text, page.text)

  def test_statistics(self):
    stats = Statistics()
    stats.hits_of["sin"] = 1234
    stats.bypass("print", "may have <effects>")
    page = Tags(report_page.render(run_of(statistics=stats)))
    self.assertIn("1,234", page.text)
    self.assertIn("may have <effects>", page.text)

  def test_seconds_of_each_function(self):
    stats = Statistics()
    stats.seconds = {"step": Seconds(0.125, 0.25, 1.5), "sin": Seconds(0.0625)}
    entry = report_page.Entry("step", None, [], error="no")
    other = report_page.Entry("other", None, [], error="no")
    text = Tags(report_page.render(run_of(
        entry, entry, other, statistics=stats))).text
    functions, ran = text.split("While it ran")
    for part in ("seconds while it ran", "1.500", "counted above",
                 "not on the main thread"):
      self.assertEqual(functions.count(part), 1, part)
    self.assertIn("0.062", ran)
    self.assertNotIn("seconds while it ran", Tags(report_page.render(run_of(
        entry))).text)

  def test_what_would_pay(self):
    report = jax_cse.redundancy(lambda x: x, compiled=False)(X)
    entry = report_page.Entry("f", None, [], report=report)
    self.assertNotIn("What would pay", Tags(report_page.render(
        run_of(entry))).text.split("What is looked at")[0])
    advice = [Advice(Line("/nowhere.py", 3, "f"), "this", "that", 1234, 56789,
                     0.567), Advice(None, "other", "thing", -3, 1, 0.1)]
    page = " ".join(Tags(report_page.render(run_of(entry._replace(
        report=report._replace(advice=advice))))).text.split())
    self.assertIn("1,234 56,789 57 % nowhere.py:3 thisthat -3 1 10 % the "
                  "function as a whole otherthing", page)

  def test_everything_is_escaped(self):
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
      file.write(f"x = '{EVIL}'\n")
      file.flush()
      line = Line(file.name, 1, EVIL)
      finding = jax_cse.redundancy(
          lambda x: lax.sin(x) * lax.sin(x))(X).findings[0]._replace(
              line=line, first=line)
      report = jax_cse.redundancy(lambda x: x)(X)._replace(
          findings=[finding], not_merged=[finding._replace(reason=EVIL)],
          advice=[Advice(line, EVIL, EVIL, 1, 1, 0.5)])
      graph = Graph([node(EVIL, title=EVIL)], [], 1)
      stats = Statistics()
      stats.seconds[EVIL] = Seconds()
      page = report_page.render(run_of(
          report_page.Entry(
              EVIL, line, [(EVIL, EVIL)], None, report, EVIL, [(EVIL, 2, 1)],
              report_page.draw([(EVIL, graph, graph)]), 1),
          report_page.Entry(EVIL, line, [], EVIL),
          program=EVIL, command=EVIL, outcome=EVIL, mode=EVIL,
          versions=[(EVIL, EVIL)], statistics=stats))
    tags = Tags(page)
    self.assertNotIn("img", [tag for tag, _ in tags.started])
    self.assertNotIn(EVIL, page)
    self.assertEqual(page.count("</script>"), 1)
    self.assertGreater(tags.text.count(EVIL), 10)

  def test_what_was_given_and_what_is_not_known(self):
    report = jax_cse.redundancy(lambda x: lax.sin(x) * lax.sin(x),
                                compiled=False)(X)
    finding = report.findings[0]._replace(first=None)
    for is_given in (True, False):
      page = Tags(report_page.render(run_of(report_page.Entry(
          "f", None, [], report=report._replace(
              findings=[finding._replace(is_given=is_given)])))))
      self.assertEqual("is that already" in page.text, is_given)
      self.assertEqual("a line that is not known" in page.text, not is_given)

  def test_needs_nothing_else(self):
    report = jax_cse.redundancy(lambda x: lax.sin(x) * lax.sin(x))(X)
    graph = chain(3, marked=[1])
    page = report_page.render(run_of(report_page.Entry(
        "f", None, [], None, report, None, [("sin", 2, 1)],
        report_page.draw([("all", graph, graph)]), 1)))
    self.assertIn("<svg", page)
    # A name of a namespace, which nobody loads.
    page = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    self.assertNotIn("http:", page)
    self.assertNotIn("https:", page)
    for tag, attributes in Tags(page).started:
      self.assertNotIn("src", attributes, tag)
      self.assertTrue(attributes.get("href", "#").startswith("#"), tag)
    self.assertNotIn("url(", page)
    self.assertNotIn("@import", page)

  def test_large_graphs_are_cut_and_said_to_be(self):
    graph = chain(jaxpr_graph.LIMIT + 1)
    report = jax_cse.redundancy(lambda x: x, compiled=False)(X)
    page = Tags(report_page.render(run_of(report_page.Entry(
        "f", None, [], report=report, number_of_pairs=30,
        pairs=report_page.draw([("all", graph, None)])))))
    self.assertIn("400 of 401 equations are shown", page.text)
    self.assertIn("1 of 30 graphs are here", page.text)
    self.assertIn("There is no such jaxpr any more", page.text)

  def test_which_graphs_are_drawn(self):
    large, small = chain(3), chain(1)
    marked = Graph([node(mark="again", findings=(1,))], [], 1)
    graphs = [("whole", small, small)]
    graphs += [(f"small {i}", small, small)
               for i in range(report_page.MOST_PAIRS)]
    graphs += [("large", None, large), ("marked", marked, small)]
    drawn = report_page.draw(graphs)
    self.assertLen(drawn, report_page.MOST_PAIRS)
    names = [p.name for p in drawn]
    self.assertEqual((names[0], *names[-2:]), ("whole", "large", "marked"))
    self.assertEqual(drawn[-1].findings, [1])

  def test_lines(self):
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
      file.write("".join(f"line {i}\n" for i in range(1, 31)))
      file.flush()
      at = lambda n: Line(file.name, n, "f")
      finding = jax_cse.redundancy(
          lambda x: lax.sin(x) * lax.sin(x))(X).findings[0]
      found, gone = listing([
          finding._replace(line=at(4), first=at(2)),
          finding._replace(line=at(30), first=None),
          finding._replace(line=at(4), first=Line("/nowhere.py", 1, "f")),
          finding._replace(line=None, first=at(4))], around=1)
    self.assertEqual([[row.number for row in run] for run in found.runs],
                     [[1, 2, 3, 4, 5], [29, 30]])
    row = found.runs[0][3]
    self.assertEqual(row, (4, "line 4", (1, 3), (4,)))
    self.assertEqual(row.findings, (1, 3, 4))
    self.assertEqual(found.runs[0][1].before, (1,))
    self.assertEqual((gone.path, list(gone.runs)), ("/nowhere.py", []))


if __name__ == "__main__":
  absltest.main()
