"""The graphs of a comparison in pairs, before and after: the whole and inside.

Each jaxpr in the params of an equation has a pair of its own. An equation that
stays computes the same variables; by these its jaxprs are found again in what
CSE leaves. Where everything was rebuilt, the next equation of the same
primitive, name and line is taken.

Limits: a jaxpr that several equations share is drawn once. In the modes that
rebuild, a pair is a guess, which may be wrong.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
import itertools
from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.findings.comparison import Comparison
from jax_cse.findings.findings import line_of
from jax_cse.report.jaxpr_graph import Graph, Mark, called, of_jaxpr


class GraphPair(NamedTuple):
  """The graphs of a jaxpr before and after; None where there is no such jaxpr.

  Attributes:
    name: where the jaxpr is, as "scan body › jit f".
    before, after: the graphs.
  """
  name: str
  before: Graph | None
  after: Graph | None


def graph_pairs(comparison: Comparison, names: Sequence[str]
                ) -> Iterator[GraphPair]:
  """The pair of the whole jaxpr first, then those inside it, in order.

  Findings have the numbers of their places in `comparison`, from 1 on.

  Args:
    comparison: whose jaxprs.
    names: of the inputs.
  """
  marks = _marks(comparison.findings)
  stay = {id(v): Mark("before", mark.findings)
          for mark in marks.values() if mark.kind == "before"
          for v in mark.eqn.outvars}
  seen = set()

  def inside(name, before, after, names):
    key = id(before), id(after)
    if key in seen:
      return
    seen.add(key)
    yield GraphPair(
        name,
        before and of_jaxpr(before, names, lambda eqn: marks.get(id(eqn))),
        after and of_jaxpr(after, names, lambda eqn: next(
            (stay[id(v)] for v in eqn.outvars if id(v) in stay), None)))
    for old, new in _pairs(before, after):
      for label, a, b in _before_and_after(old, new):
        yield from inside(f"{name} › {label}" if name else label, a, b, ())

  for pair in inside("", comparison.plain.jaxpr, comparison.merged.jaxpr,
                     names):
    yield pair._replace(name=pair.name or "the whole function")


def _marks(findings) -> dict[int, Mark]:
  """The marks of equations, by their ids."""
  marks: dict[int, Mark] = {}
  for number, (finding, duplicates) in enumerate(findings, start=1):
    for eqn, first, *_ in duplicates:
      kind = "again" if finding.reason is None else "apart"
      marks[id(eqn)] = Mark(kind, (number,), eqn, first)
  for number, (_, duplicates) in enumerate(findings, start=1):
    for _, first, *_ in duplicates:
      if first is not None:
        mark = marks.get(id(first), Mark("before", (), first))
        marks[id(first)] = mark._replace(
            findings=tuple(sorted({*mark.findings, number})))
  return marks


def _inside(eqn) -> list[tuple[str, Any]]:
  """The jaxprs in the params of an equation, and what they are called."""
  line = line_of(eqn)
  where = f" ({line})" if line else ""
  found = [(key.removesuffix("jaxpr").removesuffix("_"), jaxpr)
           for key, value in eqn.params.items()
           for jaxpr in compat.jaxprs_in_params({key: value})]
  if len(found) == 1:
    return [(called(eqn) + where, found[0][1])]
  number = Counter(key for key, _ in found)
  places: Counter[str] = Counter()
  labelled = []
  for key, jaxpr in found:
    label = f"{called(eqn)}: {key}"
    if number[key] > 1:
      label += f" {places[key]}"
      places[key] += 1
    labelled.append((label + where, jaxpr))
  return labelled


def _before_and_after(old, new) -> Iterator[tuple[str, Any, Any]]:
  """What is inside of an equation, and of what it became; None if nothing."""
  found = [_inside(eqn) if eqn is not None else [] for eqn in (old, new)]
  for a, b in itertools.zip_longest(*found, fillvalue=(None, None)):
    yield a[0] or b[0], a[1], b[1]


def _pairs(before, after):
  """The equations with jaxprs inside, and what each became; None if nothing."""
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
