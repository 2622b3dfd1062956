"""What a program computes twice, as one page of HTML that needs nothing else.

The styles and the script of the page are in `page/`, and are written into it.
Everything that comes from the program is escaped by jinja2. Without JavaScript
the page shows everything below each other; with it, one function at a time.
"""

from collections.abc import Sequence
import pathlib
from typing import NamedTuple

import jinja2
from markupsafe import Markup

from jax_cse.findings.redundancy_report import (
    UNKNOWN, WHOLE, Finding, Line, Redundancy)
from jax_cse.memo import seconds
from jax_cse.memo.statistics import Statistics
from jax_cse.report.graph_pairs import GraphPair
from jax_cse.report.graph_svg import svg
from jax_cse.report.jaxpr_graph import MARKS, cut
from jax_cse.report.source_listing import File, listing

_PAGE = pathlib.Path(__file__).parent / "page"
# Pairs of one function: its own first, then those with something marked.
MOST_PAIRS = 24


class Drawing(NamedTuple):
  """The picture of a graph: how many equations it shows, and of how many."""
  svg: Markup
  shown: int
  total: int


class DrawnPair(NamedTuple):
  """A `GraphPair` as it is drawn.

  Attributes:
    name: what the chooser calls it.
    findings: numbers of those that are in it.
    before, after: its drawings; None where there is no graph.
  """
  name: str
  findings: Sequence[int]
  before: Drawing | None
  after: Drawing | None


class Entry(NamedTuple):
  """A function on the page.

  Attributes:
    name: of the function.
    called: from where; None if that is not known.
    arguments: name and type of each.
    error: why there is nothing more to show; None if there is.
    report: what was found.
    flops_error: why XLA does not say how much is computed; None if it does.
    counts: of each primitive, without CSE and with it.
    pairs: of its jaxprs, at most `MOST_PAIRS`.
    number_of_pairs: how many there would be.
  """
  name: str
  called: Line | None
  arguments: Sequence[tuple[str, str]]
  error: str | None = None
  report: Redundancy | None = None
  flops_error: str | None = None
  counts: Sequence[tuple[str, int, int]] = ()
  pairs: Sequence[DrawnPair] = ()
  number_of_pairs: int = 0

  @property
  def findings(self) -> list[Finding]:
    """In the order of their numbers."""
    return ([] if self.report is None
            else [*self.report.findings, *self.report.not_merged])

  @property
  def files(self) -> list[File]:
    """The lines of the program that they name."""
    return listing(self.findings)


class Run(NamedTuple):
  """A program that ran.

  Attributes:
    program: its name.
    command: what it was started with.
    mode: what counts as the same.
    outcome: how it ended.
    versions: name and version of what it ran on.
    entries: its functions.
    left_out: how many more were traced and not kept.
    statistics: of the memo of the main thread; None if CSE was off.
  """
  program: str
  command: str
  mode: str
  outcome: str
  versions: Sequence[tuple[str, str]]
  entries: Sequence[Entry]
  left_out: int
  statistics: Statistics | None


def draw(pairs: Sequence[GraphPair]) -> list[DrawnPair]:
  """The pairs of one function that have room on the page, drawn."""
  marked = [sorted({n for node in before.nodes for n in node.findings})
            if before else [] for _, before, _ in pairs]
  chosen = sorted(range(len(pairs)), key=lambda i: (
      i > 0, not marked[i], -max(g.total for g in pairs[i][1:] if g)))
  return [DrawnPair(name, marked[i], _drawing(before, f"{name}, without CSE"),
                    _drawing(after, f"{name}, with CSE"))
          for i, (name, before, after) in enumerate(pairs)
          if i in chosen[:MOST_PAIRS]]


def _drawing(graph, description):
  if graph is None:
    return None
  shown = cut(graph)
  return Drawing(
      Markup(svg(shown, f"{description}: {graph.total} equations")),
      shown.shown, shown.total)


def render(run: Run) -> str:
  """The page."""
  environment = jinja2.Environment(
      loader=jinja2.FileSystemLoader(_PAGE), autoescape=True,
      trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined)
  environment.filters["number"] = _number
  environment.globals |= {
      "marks": MARKS, "unknown": UNKNOWN, "ranked": seconds.ranked,
      "whole": WHOLE,
      "inline": lambda name: Markup((_PAGE / name).read_text("utf-8"))}
  return environment.get_template("report.html").render(run=run)


def _number(x: float | None) -> str:
  return "–" if x is None else f"{x:,.0f}"
