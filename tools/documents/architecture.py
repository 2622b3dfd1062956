"""Draws the folders of the package, from the ground up, and their imports.

An arrow goes from a folder to one that it imports. One that follows from others
is left out: what is imported by a way round is so anyhow.
"""

import ast
import pathlib
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
OUT = ROOT / "docs" / "pictures" / "architecture.png"
PACKAGE = ROOT / "jax_cse"

# Where a folder stands: a column and a row, from the ground up.
PLACES = {
    "foundation": (0, 0), "compat": (0, 1), "ring": (2, 1),
    "primitives": (1, 2), "numbering": (1, 3), "directions": (1, 4),
    "rebuild": (1, 5), "memo": (1, 6), "findings": (0, 8), "checking": (2, 7),
    "transforms": (2, 8), "orders": (0, 9), "advice": (1, 9), "report": (1, 10),
    "gains": (1, 11)}
_WIDTH, _HEIGHT = 1.7, 0.6
_BLUE, _GREY = "#0072B2", "#777777"


def imports() -> dict[str, set[str]]:
  """The other folders that each imports."""
  found: dict[str, set[str]] = {}
  for folder in PLACES:
    names = {node.module + "." + node.names[0].name
             for path in (PACKAGE / folder).glob("*.py")
             for node in ast.walk(ast.parse(path.read_text()))
             if isinstance(node, ast.ImportFrom) and node.module}
    found[folder] = {name.split(".")[1] for name in names
                     if name.startswith("jax_cse.")} - {folder}
  return found


def direct(needs: dict[str, set[str]]) -> list[tuple[str, str]]:
  """The pairs that do not follow from others."""
  def reach(folder):
    return needs[folder].union(*map(reach, needs[folder]))
  return [(source, target) for source in needs for target in needs[source]
          if not any(target in reach(other) for other in needs[source])]


def draw() -> Figure:
  fig = Figure(figsize=(6.5, 11), layout="constrained")
  ax: Any = fig.subplots()
  at = {folder: (2.4 * column, 1.3 * row)
        for folder, (column, row) in PLACES.items()}
  for source, target in direct(imports()):
    (x, y), (u, v) = at[source], at[target]
    ax.add_patch(FancyArrowPatch(
        (x, y - _HEIGHT / 2), (u, v + _HEIGHT / 2), color=_GREY,
        arrowstyle="-|>", mutation_scale=14, linewidth=1.5, shrinkA=4,
        shrinkB=6))
  for folder, (x, y) in at.items():
    ax.add_patch(FancyBboxPatch(
        (x - _WIDTH / 2, y - _HEIGHT / 2), _WIDTH, _HEIGHT, facecolor="white",
        edgecolor=_BLUE, linewidth=1.5, boxstyle="round,pad=0.05"))
    ax.text(x, y, f"{folder}/", ha="center", va="center", fontsize=12)
  top = max(y for _, y in at.values())
  ax.set(xlim=(-1.2, 6), ylim=(-0.6, top + 0.6), aspect="equal")
  ax.axis("off")
  return fig


if __name__ == "__main__":
  draw().savefig(OUT, dpi=100)
  print(f"figure saved to {OUT.relative_to(ROOT)}")
