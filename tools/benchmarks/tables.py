"""Lines as text while they come, and as Markdown when all are there.

Consecutive lines of an entry with the same columns are one table. The last
section counts and names every figure in which jax_cse is slower.
"""

from collections.abc import Iterable, Iterator
import itertools
from typing import NamedTuple

from benchmarks.frame import BEHIND, SLOWER, Line, Ratio

# The name of the line of an entry that raised.
ENDED = "ended here"
_NAME, _CELL = 56, 24


class Section(NamedTuple):
  """The lines of one entry."""
  name: str
  what: str
  lines: list[Line]

  @property
  def ended_early(self) -> bool:
    return any(line.name == ENDED for line in self.lines)


def heading(line: Line) -> str:
  """The columns of a line."""
  return f"  {'':{_NAME}}" + "".join(f"{c:>{_CELL}}" for c in line.cells)


def row(line: Line) -> str:
  cells = "".join(f"{_cell(line, c):>{_CELL}}" for c in line.cells)
  return f"  {line.name:{_NAME}}{cells}{'  MISSED' if line.missed else ''}"


def _cell(line, column):
  found = line.cells[column]
  text = (f"{found:,}" if isinstance(found, int)
          else f"{found:.3g}" if isinstance(found, float) else found)
  return f"{text}{line.losses.get(column, '')}"


def losses(sections: Iterable[Section]) -> Iterator[str]:
  """What there is to say of figures in which jax_cse is slower."""
  figures = [(f"{section.name}: {line.name}, {column}", found,
              line.losses.get(column, ""))
             for section in sections for line in section.lines if line.ours
             for column, found in line.cells.items()
             if isinstance(found, (Ratio, float))]
  slower = [f for f in figures if SLOWER in f[2]]
  behind = [f for f in figures if BEHIND in f[2]]
  always = sum((found.low if isinstance(found, Ratio) else found) > 1
               for _, found, _ in slower)
  yield (f"{len(figures)} figures of jax_cse. {SLOWER} slower than the "
         f"control: {len(slower)}, in every turn: {always}. {BEHIND} slower "
         f"than the best of the others: {len(behind)}.")
  for name, found, marks in figures:
    if marks:
      text = found if isinstance(found, Ratio) else f"{found:.3g}"
      yield f"{marks:2} {name}: {text}"


def markdown(facts: Iterable[str], sections: list[Section]) -> str:
  """The whole run: machine and versions, a table for each entry, the losses."""
  parts = ["\n".join(f"- {fact}" for fact in facts)]
  for section in sections:
    parts.append(f"### {section.name}: {section.what}")
    for columns, lines in itertools.groupby(section.lines,
                                            lambda line: tuple(line.cells)):
      rows = [["", *columns], ["---", *("---:" for _ in columns)]] + [
          [line.name + (" (missed)" if line.missed else ""),
           *(_cell(line, c) for c in columns)] for line in lines]
      parts.append("\n".join(
          "| " + " | ".join(cell.replace("|", "\\|").replace("*", "\\*")
                            for cell in cells) + " |" for cells in rows))
  first, *rest = losses(sections)
  parts += ["### Where jax_cse is slower", first.replace("*", "\\*"),
            "\n".join(f"- {line}".replace("*", "\\*") for line in rest)]
  return "\n\n".join(part for part in parts if part) + "\n"
