"""Which graphs show a comparison: of the whole jaxpr and of what is inside.

Each jaxpr in the params of an equation has a graph of its own, before and after
side by side. An equation that stays computes the same variables, by which its
jaxprs are found again in what CSE leaves; where everything was rebuilt, the
next equation of the same primitive, name and line is taken.

Limits: a jaxpr that several equations share is drawn once. In the modes that
rebuild, which jaxprs belong together may be guessed wrongly.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
import itertools
from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.report.comparison import Comparison
from jax_cse.report.jaxpr_graph import Graph, Node
from jax_cse.report.redundancy_report import Line


class Picture(NamedTuple):
  """A jaxpr before and after; None where there is no such jaxpr.

  Attributes:
    name: where it is, as "scan body › jit f".
    before, after: the graphs.
  """
  name: str
  before: Graph | None
  after: Graph | None


class _Mark(NamedTuple):
  """What is said about an equation, and the one that it repeats."""
  kind: str
  findings: tuple[int, ...]
  eqn: Any = None
  first: Any = None


def pictures(comparison: Comparison, names: Sequence[str]
             ) -> Iterator[Picture]:
  """The whole first, then what is inside, in order.

  Findings have the numbers of their places in `comparison`, from 1 on.

  Args:
    comparison: whose jaxprs.
    names: of the inputs.
  """
  marks = _marks(comparison.findings)
  stay = {id(v): _Mark("before", mark.findings)
          for mark in marks.values() if mark.kind == "before"
          for v in mark.eqn.outvars}
  seen = set()

  def inside(name, before, after, names):
    key = id(before), id(after)
    if key in seen:
      return
    seen.add(key)
    yield Picture(
        name,
        before and _graph(before, names, lambda eqn: marks.get(id(eqn))),
        after and _graph(after, names, lambda eqn: next(
            (stay[id(v)] for v in eqn.outvars if id(v) in stay), None)))
    for old, new in _pairs(before, after):
      for label, a, b in _before_and_after(old, new):
        yield from inside(f"{name} › {label}" if name else label, a, b, ())

  for picture in inside("", comparison.plain.jaxpr, comparison.merged.jaxpr,
                        names):
    yield picture._replace(name=picture.name or "the whole function")


def _marks(findings):
  marks: dict[int, _Mark] = {}   # of equations
  for number, (finding, duplicates) in enumerate(findings, start=1):
    for eqn, first, *_ in duplicates:
      kind = "again" if finding.reason is None else "apart"
      marks[id(eqn)] = _Mark(kind, (number,), eqn, first)
  for number, (_, duplicates) in enumerate(findings, start=1):
    for _, first, *_ in duplicates:
      if first is not None:
        mark = marks.get(id(first), _Mark("before", (), first))
        marks[id(first)] = mark._replace(
            findings=tuple(sorted({*mark.findings, number})))
  return marks


def _graph(jaxpr, names, mark_of) -> Graph:
  nodes: list[Node] = []
  edges: list[tuple[int, int]] = []
  from_var: dict[Any, int] = {}
  from_eqn: dict[int, int] = {}
  inputs = dict(itertools.zip_longest(
      jaxpr.invars, names[:len(jaxpr.invars)]))
  for i, v in enumerate(jaxpr.invars):
    inputs[v] = inputs[v] or f"in {i}"
  inputs |= dict.fromkeys(jaxpr.constvars, "constant")

  def read(atoms, end):
    for v in atoms:
      if isinstance(v, compat.Literal):
        continue
      edges.append((from_var[v], end))

  def show_inputs(atoms):
    for v in atoms:   # each just before what reads it first
      if not isinstance(v, compat.Literal) and v not in from_var:
        from_var[v] = len(nodes)
        nodes.append(Node("in", inputs[v], _type(v), f"input {inputs[v]}"))

  for number, eqn in enumerate(jaxpr.eqns, start=1):
    show_inputs(eqn.invars)
    mark = mark_of(eqn) or _Mark("", ())
    this = len(nodes)
    first = from_eqn.get(id(mark.first))
    nodes.append(Node(
        "equation", _label(eqn), ", ".join(map(_type, eqn.outvars)),
        _title(eqn, number, len(jaxpr.eqns), mark), mark.kind, mark.findings,
        first))
    read(eqn.invars, this)
    from_eqn[id(eqn)] = this
    from_var.update((v, this) for v in eqn.outvars)
  for i, v in enumerate(jaxpr.outvars):
    if isinstance(v, compat.Literal):
      continue
    show_inputs([v])
    read([v], len(nodes))
    nodes.append(Node("out", f"out {i}" if len(jaxpr.outvars) > 1 else "out",
                      _type(v), f"result {i}"))
  return Graph(nodes, edges, len(jaxpr.eqns))


def _type(atom) -> str:
  return atom.aval.str_short(short_dtypes=True)


def _label(eqn) -> str:
  """The primitive, and what an operand that is a number is."""
  name = eqn.params.get("name")
  words = [eqn.primitive.name, *([name] if isinstance(name, str) else [])]
  words += [str(v.val) for v in eqn.invars
            if isinstance(v, compat.Literal) and compat.is_scalar(v.val)]
  return " ".join(words)


def _title(eqn, number, total, mark) -> str:
  operands = ", ".join(map(_type, eqn.invars))
  results = ", ".join(map(_type, eqn.outvars))
  lines = [f"{_label(eqn)}: equation {number} of {total}",
           f"{operands} → {results}"]
  frame = compat.user_frame(eqn)
  if frame:
    line = Line(*frame)
    lines.append(f"{line}  {line.text}")
  said = {"again": "computed again", "apart": "computed again, and kept",
          "before": "computed here first"}.get(mark.kind)
  if said:
    lines.append(f"{said}: finding {', '.join(map(str, mark.findings))}")
  return "\n".join(lines)


def _inside(eqn) -> list[tuple[str, Any]]:
  """The jaxprs in the params of an equation, and what they are called."""
  frame = compat.user_frame(eqn)
  where = f" ({Line(*frame)})" if frame else ""
  name = eqn.params.get("name")
  call = f"{eqn.primitive.name} {name}" if isinstance(name, str) else (
      eqn.primitive.name)
  found = [(key.removesuffix("jaxpr").removesuffix("_"), jaxpr)
           for key, value in eqn.params.items()
           for jaxpr in compat.jaxprs_in_params({key: value})]
  if len(found) == 1:
    return [(call + where, found[0][1])]
  number = Counter(key for key, _ in found)
  places: Counter[str] = Counter()
  labelled = []
  for key, jaxpr in found:
    label = f"{call}: {key}"
    if number[key] > 1:
      label += f" {places[key]}"
      places[key] += 1
    labelled.append((label + where, jaxpr))
  return labelled


def _before_and_after(old, new) -> Iterator[tuple[str, Any, Any]]:
  """What is inside of an equation and of what it became; one may be None."""
  found = [_inside(eqn) if eqn is not None else [] for eqn in (old, new)]
  for a, b in itertools.zip_longest(*found, fillvalue=(None, None)):
    yield a[0] or b[0], a[1], b[1]


def _pairs(before, after):
  """The equations with jaxprs inside, and what became of each."""
  old, new = ([e for e in jaxpr.eqns if _inside(e)] if jaxpr else []
              for jaxpr in (before, after))
  of_var = {id(v): e for e in new for v in e.outvars}
  found = {id(e): next((of_var[id(v)] for v in e.outvars if id(v) in of_var),
                       None) for e in old}
  left = [e for e in new if not any(e is f for f in found.values())]
  kinds = lambda eqn: [label for label, _ in _inside(eqn)]
  for e in old:
    match = found[id(e)]
    if match is None:
      match = next((n for n in left if kinds(n) == kinds(e)), None)
      left = [n for n in left if n is not match]
    yield e, match
  for e in left:
    yield None, e
