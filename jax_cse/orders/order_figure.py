"""The figure of counts by order: a panel for each way, a line for a primitive.

A `NotebookFigure` is a matplotlib `Figure` that is made without pyplot: none
stays open, no backend is chosen, and a notebook shows it all the same.

Colors are those of Okabe and Ito 2008, which people tell apart with any kind of
color vision; lines of the same color differ in dashes and markers.
"""

from collections import Counter
from collections.abc import Sequence
import functools
import io
import math
import operator
import textwrap
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import (
    FixedLocator, FuncFormatter, NullFormatter, NullLocator)

MOST_LINES = 13   # in a panel, besides that of the rest and the total
DPI = 100
_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _SKY, _GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#777777")
_COLORS = (_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _SKY)


class NotebookFigure(Figure):
  """A figure that a notebook shows, also where pyplot was never imported."""

  def _repr_png_(self) -> bytes:
    png = io.BytesIO()
    self.savefig(png, format="png", dpi=DPI)
    return png.getvalue()


def plain(text: str) -> str:
  """Text in which no pair of `$` is taken for a formula."""
  return text.replace("$", r"\$")


def _number(x, _=None) -> str:
  return f"{x:,.0f}" if x >= 1 else f"{x:g}"


def _apart(orders: Sequence[int], xscale: str, most: int) -> list[int]:
  """Orders whose numbers do not run into each other below an axis."""
  at = (lambda n: n) if xscale == "linear" else math.log
  least = (at(orders[-1]) - at(orders[0])) / most
  kept = [orders[0]]
  for n in orders[1:]:
    if at(n) - at(kept[-1]) >= least:
      kept.append(n)
  return kept


def _over_orders(ax, orders, xscale: str, most: int) -> None:
  """Scales of a panel of sizes over orders, with `most` numbers below it."""
  ax.set(xlabel="order of differentiation", xscale=xscale, yscale="log")
  ax.xaxis.set_major_locator(FixedLocator(_apart(orders, xscale, most)))
  ax.xaxis.set_minor_locator(NullLocator())
  ax.xaxis.set_major_formatter(FuncFormatter(_number))
  ax.yaxis.set_major_formatter(FuncFormatter(_number))
  ax.yaxis.set_minor_formatter(NullFormatter())
  ax.grid(True, which="major", alpha=0.3)


def _shortened(text: str, width: int, most: int) -> str:
  return "\n".join(textwrap.wrap(text, width, max_lines=most,
                                 placeholder=" ..."))


def _ends(ax, text: str, after: int, highest: int) -> None:
  """Writes into the part of a panel without curves why there are none."""
  style = {"ha": "center", "va": "center", "parse_math": False}
  if not after:
    ax.text(0.5, 0.5, _shortened(text, 32, 8), transform=ax.transAxes, **style)
    return
  ax.axvspan(after + 0.5, highest + 0.5, color="0.93")
  ax.text((after + highest + 1) / 2, 0.5, _shortened(text, 60, 2), fontsize=8,
          linespacing=1.1, rotation=90, transform=ax.get_xaxis_transform(),
          **style)


def _together(names: Sequence[str]) -> str:
  return plain(names[0] if len(names) == 1 else
               textwrap.fill(", ".join(names) + ", each", 26))


class _Lines:
  """The lines of a figure: the primitives and the style of each label.

  Primitives whose counts are equal in every panel share a line, since one would
  hide the other. Of too many, the rarest have one line, with their sum.
  """

  def __init__(self, ways):
    every = [counts for way in ways for counts in way.by_order.values()]
    most: Counter[str] = functools.reduce(operator.or_, every, Counter())
    groups: dict[tuple, list[str]] = {}
    for name in sorted(most, key=lambda name: (-most[name], name)):
      groups.setdefault(tuple(c[name] for c in every), []).append(name)
    lines = list(groups.values())
    self.names = {_together(names): names[:1] for names in lines[:MOST_LINES]}
    rest = [name for names in lines[MOST_LINES:] for name in names]
    kinds = ({"color": color, "marker": marker, "linestyle": dash,
              "markerfacecolor": color if filled else "white"}
             for dash, filled in (("-", True), ("--", False), (":", True))
             for color, marker in zip(_COLORS, "osv^Dp"))
    self.styles = dict(zip(self.names, kinds))
    if rest:
      label = f"{len(rest)} others in all"
      self.names[label] = rest
      self.styles[label] = {"color": _GREY, "marker": "x", "linestyle": "-."}


def draw_counts(name: str, ways: Sequence) -> NotebookFigure:
  """Counts by primitive against order, log scale; see `order_counts`.

  In a name, text between two `$` is a formula; see `plain`.
  """
  lines = _Lines(ways)
  orders = _orders(ways)
  fig = NotebookFigure(figsize=(12, 4.8), layout="constrained")
  axes = fig.subplots(1, len(ways), sharex=True, sharey=True,
                      squeeze=False)[0]
  handles: dict[str, Any] = {}
  for ax, way in zip(axes, ways):
    handles |= _draw_way(ax, way, lines)
    last = max(way.by_order, default=0)
    if last and not any(way.totals.values()):
      _ends(ax, "no equations", 0, last)
    if way.ended is not None:
      _ends(ax, way.ended, last, orders[-1])
    ax.set_title(way.title)
    _over_orders(ax, orders, "linear", 13)
  axes[0].set_xlim(orders[0] - 0.5, orders[-1] + 0.5)
  axes[0].set_ylim(top=2 * axes[0].get_ylim()[1])   # room for the numbers
  axes[0].set_ylabel("equations in the jaxpr")
  labels = [label for label in (*lines.names, "total") if label in handles]
  fig.legend([handles[label] for label in labels], labels,
             loc="outside right center")
  fig.suptitle(f"Derivatives of {name}: equations by primitive")
  return fig


def _draw_way(ax, way, lines: _Lines) -> dict[str, Any]:
  """Draws the curves of a panel; returns them by label."""
  handles = {}
  for label, names in lines.names.items():
    points = [(n, size) for n, counts in way.by_order.items()
              if (size := sum(counts[name] for name in names))]
    if points:
      handles[label], = ax.plot(*zip(*points), markersize=4.5, linewidth=1.2,
                                **lines.styles[label])
  # A log scale has no place for 0.
  sizes = {n: size for n, size in way.totals.items() if size}
  if sizes:
    handles["total"], = ax.plot(*zip(*sizes.items()), color="black",
                                linewidth=2.2)
    end = max(sizes)
    ax.annotate(f"{sizes[end]:,}", (end, sizes[end]), xytext=(-4, 6),
                textcoords="offset points", ha="right", weight="bold")
  return handles


def _orders(ways) -> list[int]:
  """All orders with counts, and one more if every way ends before it."""
  orders = sorted(set().union(*(way.by_order for way in ways)))
  if all(way.ended for way in ways):
    orders.append(orders[-1] + 1)
  return orders
