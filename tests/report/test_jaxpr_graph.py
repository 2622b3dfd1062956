"""A graph: where its nodes are placed, how it is cut, and its SVG."""

import itertools
import random
from xml.etree import ElementTree

from absl.testing import absltest
from absl.testing import parameterized

from jax_cse.report import graph_svg
from jax_cse.report import jaxpr_graph
from jax_cse.report.jaxpr_graph import Graph, Node
from jax_cse.report.layered_layout import layout
from report_parts import chain, node


class GraphTest(parameterized.TestCase):

  def test_nodes_do_not_overlap_and_edges_go_down(self):
    random.seed(0)
    for number in (0, 1, 2, 10, 80):
      widths = [random.choice((40, 90, 170)) for _ in range(number)]
      edges = sorted({(random.randrange(i), i) for i in range(1, number)
                      for _ in range(random.randrange(3))})
      places, paths, (width, height) = layout(widths, edges)
      self.assertLen(places, number)
      rows = {}
      for (x, y), w in zip(places, widths):
        rows.setdefault(y, []).append((x - w / 2, x + w / 2))
        self.assertBetween(x, w / 2, width - w / 2)
        self.assertBetween(y, 0, height)
      for row in rows.values():
        row.sort()
        for (_, end), (start, _) in itertools.pairwise(row):
          self.assertLess(end, start)
      for (start, end), path in zip(edges, paths, strict=True):
        self.assertEqual((path[0], path[-1]), (places[start], places[end]))
        for (_, above), (_, below) in itertools.pairwise(path):
          self.assertLess(above, below)

  def test_long_edges_go_around(self):
    # From the first to the last past 10 others: not through any of them.
    places, paths, _ = layout(
        [60] * 12, [(i, i + 1) for i in range(11)] + [(0, 11)])
    for (x, y), (other, same) in zip(paths[-1][1:-1], places[1:-1]):
      self.assertEqual(y, same)
      self.assertGreater(abs(x - other), 30)

  def test_svg(self):
    graph = Graph([
        Node("in", "x", "f32[]"),
        node("sin", title="a <b> & c", findings=(1,), mark="before"),
        node("<script>", findings=(1, 2), mark="again", first=1),
        Node("out", "out", "f32[]")],
        [(0, 1), (0, 2), (1, 3), (1, 3)], 2)
    root = ElementTree.fromstring(graph_svg.svg(graph, 'say "<what>"'))
    space = "{http://www.w3.org/2000/svg}"
    boxes = root.findall(f"{space}g")
    self.assertEqual([box.get("class") for box in boxes],
                     ["n in", "n before", "n again", "n out"])
    self.assertEqual([box.get("data-findings") for box in boxes],
                     [None, "1", "1 2", None])
    self.assertEqual([box.find(f"{space}text").text for box in boxes],
                     ["x", "sin", "<script>", "out"])
    self.assertEqual(boxes[1].find(f"{space}title").text, "a <b> & c")
    self.assertEqual(root.get("aria-label"), 'say "<what>"')
    edges, pair = root.findall(f"{space}path")
    self.assertEqual((edges.get("class"), pair.get("class")), ("e", "pair"))
    self.assertEqual(edges.get("d").count("M"), 3)

  def test_cut(self):
    graph = cut = jaxpr_graph.cut(chain(10), 10)
    self.assertIs(cut, graph)
    cut = jaxpr_graph.cut(chain(50, marked=[20]), 5)
    self.assertEqual([n.label for n in cut.nodes],
                     ["n18", "n19", "n20", "n21", "n22"])
    self.assertEqual(cut.edges, [(0, 1), (1, 2), (2, 3), (3, 4)])
    self.assertEqual((cut.shown, cut.total), (5, 50))
    self.assertEqual([n.label for n in jaxpr_graph.cut(chain(50), 2).nodes],
                     ["n0", "n1"])

  def test_cut_keeps_what_belongs_to_it(self):
    nodes = [Node("in", "x", ""), Node("in", "y", ""), node("a"), node("b"),
             node("far"), node("again", mark="again", first=3)]
    graph = Graph(nodes, [(0, 4), (1, 5)], 4)   # in pieces
    cut = jaxpr_graph.cut(graph, 2)
    self.assertEqual([n.label for n in cut.nodes], ["y", "a", "again"])
    self.assertIsNone(cut.nodes[-1].first)
    cut = jaxpr_graph.cut(graph, 3)
    self.assertEqual([n.label for n in cut.nodes], ["y", "a", "b", "again"])
    self.assertEqual(cut.nodes[-1].first, 2)


if __name__ == "__main__":
  absltest.main()
