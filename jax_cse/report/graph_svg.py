"""The graph of a jaxpr as SVG, for a page of HTML.

An equation that computes something again has one color, what it repeats has
another, and a dashed line joins them. The page has the colors; the SVG has
classes only:

    n        a node, with `in` or `out`, and with its mark
    e, pair  the edges; what joins a node with the one that it repeats

and `data-findings` has the numbers of the findings that a node belongs to.
"""

from markupsafe import escape

from jax_cse.report.jaxpr_graph import Graph
from jax_cse.report.layered_layout import layout

_CHARACTER = 6.7   # the width of one in a font of 11 px
_LONGEST = 24
_HEIGHT = 34


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
