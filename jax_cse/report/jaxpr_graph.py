"""The graph of a jaxpr, and what of it is drawn.

A node is an equation, an input or an output; an edge is a value, from what
computes it to what reads it. A node may carry a mark: that it computes
something again, or that another one repeats it.

Limits: a large graph is cut to the equations nearest to the marked ones. A
jaxpr inside of an equation is a graph of its own.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.findings.findings import line_of

# 0.1 s to place on one core, 0.3 to 1 s for twice as many; and nobody sees
# anything in more.
LIMIT = 400
# Each mark, and what a person reads of it.
MARKS = {"again": "computed again", "before": "computed here first",
         "apart": "computed again, and kept"}


class Mark(NamedTuple):
  """What is said about an equation.

  Attributes:
    kind: one of `MARKS`, or "".
    findings: numbers of those that it belongs to.
    eqn: the equation.
    first: the one that it repeats, or None.
  """
  kind: str
  findings: tuple[int, ...]
  eqn: Any = None
  first: Any = None


class Node(NamedTuple):
  """What is drawn as one box.

  Attributes:
    kind: "equation", "in" or "out".
    label: its first line, as the name of the primitive.
    type: its second line, the type of what it computes.
    title: the text that appears when one points at it.
    mark: one of `MARKS`, or "".
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
  """Nodes, each after those that it reads, and edges.

  Attributes:
    nodes: in that order.
    edges: pairs of their indices, in the direction of the values.
    total: how many equations the jaxpr has; more than are shown if it was cut.
  """
  nodes: Sequence[Node]
  edges: Sequence[tuple[int, int]]
  total: int

  @property
  def shown(self) -> int:
    return sum(node.kind == "equation" for node in self.nodes)


def of_jaxpr(jaxpr, names: Sequence[str],
             mark_of: Callable[[Any], Mark | None]) -> Graph:
  """The graph of all equations of a jaxpr.

  Args:
    jaxpr: an open one.
    names: of its inputs; those without a name are numbered.
    mark_of: the mark of an equation, or None.
  """
  growing = _Growing(_names_of_inputs(jaxpr, names))
  at: dict[int, int] = {}   # the nodes of equations
  for number, eqn in enumerate(jaxpr.eqns, start=1):
    mark = mark_of(eqn) or Mark("", ())
    at[id(eqn)] = growing.add(eqn.invars, Node(
        "equation", _label(eqn), ", ".join(map(_type, eqn.outvars)),
        _title(eqn, number, len(jaxpr.eqns), mark), mark.kind, mark.findings,
        at.get(id(mark.first))), eqn.outvars)
  for i, v in enumerate(jaxpr.outvars):
    if not isinstance(v, compat.Literal):
      label = f"out {i}" if len(jaxpr.outvars) > 1 else "out"
      growing.add([v], Node("out", label, _type(v), f"result {i}"))
  return Graph(growing.nodes, growing.edges, len(jaxpr.eqns))


class _Growing:
  """A graph while nodes are added, each after those that it reads."""

  def __init__(self, inputs: dict[Any, str]):
    self.nodes: list[Node] = []
    self.edges: list[tuple[int, int]] = []
    self._inputs = inputs
    self._from: dict[Any, int] = {}   # the nodes that compute variables

  def add(self, reads: Iterable, node: Node, computes: Iterable = ()) -> int:
    """Adds a node, and before it the inputs that it is the first to read."""
    reads = [v for v in reads if not isinstance(v, compat.Literal)]
    for v in reads:
      if v not in self._from:
        name = self._inputs[v]
        self._from[v] = len(self.nodes)
        self.nodes.append(Node("in", name, _type(v), f"input {name}"))
    this = len(self.nodes)
    self.nodes.append(node)
    self.edges += [(self._from[v], this) for v in reads]
    self._from |= dict.fromkeys(computes, this)
    return this


def _names_of_inputs(jaxpr, names) -> dict[Any, str]:
  given = dict(zip(jaxpr.invars, names))
  inputs = {v: given.get(v) or f"in {i}" for i, v in enumerate(jaxpr.invars)}
  return inputs | dict.fromkeys(jaxpr.constvars, "constant")


def called(eqn) -> str:
  """The primitive, and the name of the function if it calls one."""
  name = eqn.params.get("name")
  return f"{eqn.primitive.name} {name}" if isinstance(name, str) else (
      eqn.primitive.name)


def _label(eqn) -> str:
  """That, and the operands that are plain numbers."""
  return " ".join([called(eqn), *(
      str(v.val) for v in eqn.invars
      if isinstance(v, compat.Literal) and compat.is_scalar(v.val))])


def _type(atom) -> str:
  return atom.aval.str_short(short_dtypes=True)


def _title(eqn, number, total, mark) -> str:
  operands = ", ".join(map(_type, eqn.invars))
  results = ", ".join(map(_type, eqn.outvars))
  lines = [f"{_label(eqn)}: equation {number} of {total}",
           f"{operands} → {results}"]
  if line := line_of(eqn):
    lines.append(f"{line}  {line.text}")
  if mark.kind:
    lines.append(f"{MARKS[mark.kind]}: finding "
                 + ", ".join(map(str, mark.findings)))
  return "\n".join(lines)


def cut(graph: Graph, limit: int = LIMIT) -> Graph:
  """At most `limit` equations, those nearest to the marked ones.

  If none is marked, those nearest to the first one. Inputs and outputs stay if
  they have an edge to one of those.
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
