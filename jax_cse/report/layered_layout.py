"""Where the nodes of an acyclic graph are drawn: in layers, edges downwards.

The layer of a node is the length of the longest path to it; a node moves
further down where that does not make its edges longer. An edge that spans
several layers passes through a point in each, so that it goes around the nodes
there; edges from one node share their points. `igraph` orders the nodes of a
layer so that few edges cross (Sugiyama, Tagawa and Toda 1981). It knows no
widths, so the nodes get their places here: layer by layer, down and up, each as
near to the mean of its neighbors as the room for all of them allows.

Limits: this ends after some sweeps, also if nodes would still move.
"""

from collections.abc import Sequence
import itertools
from typing import NamedTuple

LAYER_HEIGHT = 54
_MARGIN = 10
# To the left and right of a box, and of a point that an edge passes through.
_GAP, _GAP_OF_POINT = 7, 3
_SWEEPS = 6


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
  number = len(widths)
  chains = []   # the node of each layer that an edge goes through
  points: dict[tuple[int, int], int] = {}
  for start, end in edges:
    chain = [start]
    for layer in range(layers[start] + 1, layers[end]):
      point = points.setdefault((start, layer), len(widths))
      if point == len(widths):
        widths.append(0)
        layers.append(layer)
      chain.append(point)
    chains.append([*chain, end])
  short = sorted({pair for chain in chains
                  for pair in itertools.pairwise(chain)})
  xs, width = _xs(_rows(layers, short), short, widths)
  places = [(x, (layer + 0.5) * LAYER_HEIGHT) for x, layer in zip(xs, layers)]
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
    if after[i] and len(before[i]) <= len(after[i]):
      layers[i] = min(layers[j] for j in after[i]) - 1
  return layers


def _rows(layers, edges) -> list[list[int]]:
  """The nodes of each layer, from left to right."""
  import igraph
  if not layers:
    return []
  graph = igraph.Graph(n=len(layers), edges=edges, directed=True)
  columns = graph.layout_sugiyama(layers=layers).coords
  rows: list[list[int]] = [[] for _ in range(max(layers) + 1)]
  for i in sorted(range(len(layers)), key=lambda i: columns[i][0]):
    rows[layers[i]].append(i)
  return rows


def _xs(rows, edges, widths):
  """The position of each node, and the width of all."""
  room = [w / 2 + _GAP if w else _GAP_OF_POINT for w in widths]
  up: list[list[int]] = [[] for _ in widths]
  down: list[list[int]] = [[] for _ in widths]
  for start, end in edges:
    up[end].append(start)
    down[start].append(end)
  near = [a + b for a, b in zip(up, down)]
  xs = [0.0] * len(widths)
  for row in rows:
    for i, x in zip(row, _apart([0.0] * len(row), [1.0] * len(row),
                                [room[i] for i in row])):
      xs[i] = x
  for others in [up, down] * _SWEEPS + [near]:
    for row in rows if others is not down else reversed(rows):
      wanted = [sum(xs[j] for j in others[i]) / len(others[i])
                if others[i] else xs[i] for i in row]
      # A bend in an edge is worse than a box off its place.
      weights = [1.0 if widths[i] else 4.0 for i in row]
      for i, x in zip(row, _apart(wanted, weights, [room[i] for i in row])):
        xs[i] = x
  left = min((x - r for x, r in zip(xs, room)), default=0) - _MARGIN
  xs = [x - left for x in xs]
  return xs, max((x + r for x, r in zip(xs, room)), default=0) + _MARGIN


def _apart(wanted: Sequence[float], weights: Sequence[float],
           room: Sequence[float]) -> list[float]:
  """The positions that leave room and are nearest to those wanted.

  Nearest by least squares. With the room to its left subtracted, no position is
  less than the one before; where it would be, all of a block get their mean
  (pool adjacent violators).
  """
  offsets = [0.0]
  for a, b in itertools.pairwise(room):
    offsets.append(offsets[-1] + a + b)
  blocks: list[tuple[float, float, int]] = []   # mean, weight, how many
  for x, offset, weight in zip(wanted, offsets, weights):
    mean, count = x - offset, 1
    while blocks and blocks[-1][0] > mean:
      other, of_other, more = blocks.pop()
      mean = (mean * weight + other * of_other) / (weight + of_other)
      weight, count = weight + of_other, count + more
    blocks.append((mean, weight, count))
  means = [mean for mean, _, count in blocks for _ in range(count)]
  return [mean + offset for mean, offset in zip(means, offsets)]
