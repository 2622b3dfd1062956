"""Where the nodes of an acyclic graph are drawn: in layers, edges downwards.

The layer of a node is the length of the longest path to it, and lower if that
makes its edges shorter. An edge that spans several layers passes through a
point in each, so that it goes around the nodes there. In which order the nodes
of a layer stand, so that few edges cross, and which stand above each other, is
for `igraph` to say (Sugiyama, Tagawa and Toda 1981). It knows no widths: what
it gives are columns, and each is put as far to the left as the widths allow.

Limits: where a column is wide in one layer, it is further to the right in all.
"""

from collections.abc import Sequence
from typing import NamedTuple

LAYER_HEIGHT = 58
_GAP = 14
_WIDTH_OF_POINT = 6


class Layout(NamedTuple):
  """Positions in pixels.

  Attributes:
    places: the center of each node.
    paths: the points of each edge, from its first node to its second.
    size: width and height.
  """
  places: list[tuple[float, float]]
  paths: list[list[tuple[float, float]]]
  size: tuple[float, float]


def layout(widths: Sequence[float], edges: Sequence[tuple[int, int]]) -> Layout:
  """Places nodes of some widths; each edge goes to a later node."""
  layers = _layers(len(widths), edges)
  widths = list(widths)
  chains, short = [], []   # the nodes and points of an edge; one layer each
  for start, end in edges:
    chain = [start]
    for layer in range(layers[start] + 1, layers[end]):
      chain.append(len(widths))
      widths.append(_WIDTH_OF_POINT)
      layers.append(layer)
    chain.append(end)
    chains.append(chain)
    short += zip(chain, chain[1:])
  xs, width = _xs(_columns(layers, short), layers, widths)
  places = [(x, (layer + 0.5) * LAYER_HEIGHT) for x, layer in zip(xs, layers)]
  number = len(widths) - sum(len(chain) - 2 for chain in chains)
  return Layout(places[:number], [[places[i] for i in c] for c in chains],
                (width, (max(layers, default=-1) + 1) * LAYER_HEIGHT))


def _layers(number, edges):
  before: list[list[int]] = [[] for _ in range(number)]
  after: list[list[int]] = [[] for _ in range(number)]
  for start, end in edges:
    assert start < end
    before[end].append(start)
    after[start].append(end)
  layers = [0] * number
  for i in range(number):
    layers[i] = max((layers[j] + 1 for j in before[i]), default=0)
  for i in reversed(range(number)):
    if len(before[i]) < len(after[i]):
      layers[i] = min(layers[j] for j in after[i]) - 1
  return layers


def _columns(layers, edges) -> list[float]:
  import igraph
  if not layers:
    return []
  graph = igraph.Graph(n=len(layers), edges=edges, directed=True)
  return [x for x, _ in graph.layout_sugiyama(layers=layers).coords[
      :len(layers)]]


def _xs(columns, layers, widths):
  """The position of each node, and the width of all."""
  rows: dict[int, list[int]] = {}
  for i in sorted(range(len(columns)), key=lambda i: columns[i]):
    rows.setdefault(layers[i], []).append(i)
  left_of = {b: a for row in rows.values() for a, b in zip(row, row[1:])}
  nodes_at: dict[float, list[int]] = {}
  for i, column in enumerate(columns):
    nodes_at.setdefault(round(column, 3), []).append(i)
  xs = [0.0] * len(columns)
  reached = 0.0
  for column in sorted(nodes_at):
    for i in nodes_at[column]:
      need = widths[i] / 2 + _GAP
      if i in left_of:
        need += xs[left_of[i]] + widths[left_of[i]] / 2
      reached = max(reached, need)
    for i in nodes_at[column]:
      xs[i] = reached
  return xs, max((x + w / 2 for x, w in zip(xs, widths)), default=0) + _GAP
