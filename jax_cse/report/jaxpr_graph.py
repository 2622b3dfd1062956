"""The graph of a jaxpr, as SVG.

A node is an equation, an input or an output; an edge is a value, from what
computes it to what reads it. What is computed again is drawn in one color, what
it repeats in another, with a dashed line between them. The colors are those of
the page that it stands on: the SVG has classes only,

    n        a node, with `in` or `out`; `again`, `before` or `apart`
    e, pair  the edges; what joins a node with the one that it repeats

and `data-findings` has the numbers of the findings that a node belongs to.

Limits: a large graph is cut to the equations nearest to what is marked. What is
inside of an equation is a graph of its own.
"""

from collections.abc import Sequence
from typing import NamedTuple

from markupsafe import escape

from jax_cse.report.layered_layout import layout

# 0.1 s to place on one core, 0.3 to 1 s for twice as many; and nobody sees
# anything in more.
LIMIT = 400
_CHARACTER = 6.7   # the width of one in a font of 11 px
_LONGEST = 24
_HEIGHT = 34


class Node(NamedTuple):
  """What is drawn as one box.

  Attributes:
    kind: "equation", "in" or "out".
    label: its first line, as the name of the primitive.
    type: its second line, the type of what it computes.
    title: what is said about it when it is pointed at.
    mark: "again", "before" or "apart" (computed again and kept); else "".
    findings: numbers of those that it belongs to.
    first: the node that it repeats, or None.
  """
  kind: str
  label: str
  type: str
  title: str = ""
  mark: str = ""
  findings: tuple[int, ...] = ()
  first: int | None = None


class Graph(NamedTuple):
  """Nodes, in an order in which each comes after those that it reads.

  Attributes:
    nodes: in that order.
    edges: pairs of their indices, in the direction of the values.
    total: how many equations the jaxpr has; more than nodes if it was cut.
  """
  nodes: Sequence[Node]
  edges: Sequence[tuple[int, int]]
  total: int

  @property
  def shown(self) -> int:
    return sum(node.kind == "equation" for node in self.nodes)


def cut(graph: Graph, limit: int = LIMIT) -> Graph:
  """At most `limit` equations, those nearest to what is marked.

  If nothing is marked, those nearest to the first one. Inputs and outputs stay
  that have an edge to one of those.
  """
  nodes = graph.nodes
  if graph.shown <= limit:
    return graph
  near: list[list[int]] = [[] for _ in nodes]
  for start, end in graph.edges:
    near[start].append(end)
    near[end].append(start)
  equations = [i for i, node in enumerate(nodes) if node.kind == "equation"]
  todo = [i for i in equations if nodes[i].mark] or equations[:1]
  kept: dict[int, None] = {}
  while len(kept) < limit:
    if not todo:   # what is left has no path to these
      todo = [next(i for i in equations if i not in kept)]
    i, *todo = todo
    if nodes[i].kind == "equation" and i not in kept:
      kept[i] = None
      todo += [j for j in near[i] if j not in kept]
  chosen = [i for i, node in enumerate(nodes) if i in kept or (
      node.kind != "equation" and not kept.keys().isdisjoint(near[i]))]
  place: dict[int | None, int] = {i: k for k, i in enumerate(chosen)}
  return Graph(
      [nodes[i]._replace(first=place.get(nodes[i].first)) for i in chosen],
      [(place[a], place[b]) for a, b in graph.edges
       if a in place and b in place], graph.total)


def svg(graph: Graph, description: str) -> str:
  """The picture, for a page of HTML; everything in it is escaped."""
  texts = [(_short(node.label), _short(node.type)) for node in graph.nodes]
  widths = [max(40, 16 + _CHARACTER * max(map(len, pair))) for pair in texts]
  edges = sorted(set(graph.edges))
  places, paths, (width, height) = layout(widths, edges)
  parts = [
      (f'<svg class="graph" xmlns="http://www.w3.org/2000/svg" width='
      f'"{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} '
      f'{height:.0f}" role="img" aria-label="{escape(description)}">')]
  if paths:
    parts.append(f'<path class="e" d="{"".join(map(_curve, paths))}"/>')
  for node, (x, y) in zip(graph.nodes, places):
    if node.first is not None:
      to_x, to_y = places[node.first]
      parts.append(f'<path class="pair"{_findings(node)} d="M{to_x:.0f} '
                   f'{to_y:.0f}L{x:.0f} {y:.0f}"/>')
  for node, pair, place, w in zip(graph.nodes, texts, places, widths):
    parts.append(_box(node, pair, place, w))
  return "".join([*parts, "</svg>"])


def _box(node, texts, place, width):
  classes = " ".join(filter(None, (
      "n", node.kind if node.kind != "equation" else "", node.mark)))
  label, kind = map(escape, texts)
  title = f"<title>{escape(node.title)}</title>" if node.title else ""
  focus = ' tabindex="0"' if node.findings else ""
  return (
      f'<g class="{classes}"{_findings(node)}{focus} transform="translate('
      f'{place[0]:.0f},{place[1]:.0f})">{title}<rect x="{-width / 2:.0f}" y="'
      f'{-_HEIGHT // 2}" width="{width:.0f}" height="{_HEIGHT}" rx="'
      f'{5 if node.kind == "equation" else _HEIGHT // 2}"/><text y="-3">{label}'
      f'</text><text class="t" y="11">{kind}</text></g>')


def _findings(node):
  if not node.findings:
    return ""
  return f' data-findings="{" ".join(map(str, node.findings))}"'


def _curve(points):
  """A line through points that leaves and enters each one downwards."""
  (x, y), *rest = points
  y += _HEIGHT / 2
  parts = [f"M{x:.0f} {y:.0f}"]
  for i, (to_x, to_y) in enumerate(rest):
    if i == len(rest) - 1:
      to_y -= _HEIGHT / 2
    half = (y + to_y) / 2
    parts.append(f"C{x:.0f} {half:.0f} {to_x:.0f} {half:.0f} {to_x:.0f} "
                 f"{to_y:.0f}")
    x, y = to_x, to_y
  return "".join(parts)


def _short(text):
  return text if len(text) <= _LONGEST else text[:_LONGEST - 1] + "…"
