"""Writes the figures of docs/figures.json into the README and docs/*.md.

A table stands between two marks, and is laid out in `figure_tables`:

    <!-- figures: training-steps -->
    <!-- end figures -->

A figure in a sentence stands before its mark. GitHub and Sphinx show no mark:

    takes 0.20<!-- =training-steps: beam, tanh, jet: run --> of the time

A reference has an entry of the benchmarks, a line, which may be a pattern, a
column, and a form before them: `range derivatives-run: *: ratio`.
"""

from collections.abc import Callable, Iterator, Sequence
import fnmatch
import json
import math
import pathlib
import re
import sys
from typing import Any

from documents.figure_tables import TABLES, Table

ROOT = pathlib.Path(__file__).parents[2]
FIGURES = ROOT / "docs" / "figures.json"
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_BLOCK = re.compile(r"^<!-- figures: (.+?) -->\n(.*?)^<!-- end figures -->$",
                    re.MULTILINE | re.DOTALL)
_NUMBER = r"-?\d[\d,]*(?:\.\d+)?(?:e[+-]\d+)?"
_WORD = r"(?:wrong )?[A-Za-z]\w*"   # of a cell without a number
_MARK = r"<!-- =(?:(\w+) )?(\S+): (.+): (.+?) -->"


_ANY_MARK = re.compile("<!-- =(.*?) -->", re.DOTALL)


class Missing(ValueError):
  """What a document refers to and docs/figures.json has not."""


def number(x: float) -> str:
  """A count whole, a ratio with two digits after the point."""
  if isinstance(x, int) or abs(x) >= 9.995:
    return f"{x:,.0f}"
  return f"{x:.2f}" if abs(x) >= 0.01 or not x else f"{x:.1g}"


def _middle(cell: Any) -> float:
  return cell[0] if isinstance(cell, list) else cell


def _spread(cell: Any) -> str:
  if not isinstance(cell, list) or cell[1] == cell[2]:
    return number(_middle(cell))
  return f"{number(cell[0])} ({number(cell[1])} to {number(cell[2])})"


def _inverse(cell: Any) -> Any:
  return [1 / cell[0], 1 / cell[2], 1 / cell[1]] if isinstance(
      cell, list) else 1 / cell


def _range(cells: list[Any]) -> str:
  low, high = (number(f(map(_middle, cells))) for f in (min, max))
  return low if low == high else f"{low} to {high}"


# Of the cells that a reference finds, to text; and what that text is like. All
# but `range` and `mean` are of one cell.
FORMS: dict[str, tuple[Callable[[list[Any]], str], str]] = {
    "": (lambda cells: number(_middle(*cells)), _NUMBER),
    "spread": (lambda cells: _spread(*cells),
               rf"{_NUMBER}(?:\s\({_NUMBER}\sto\s{_NUMBER}\))?"),
    "faster": (lambda cells: number(_middle(_inverse(*cells))), _NUMBER),
    "fasters": (lambda cells: _spread(_inverse(*cells)),
                rf"{_NUMBER}(?:\s\({_NUMBER}\sto\s{_NUMBER}\))?"),
    "range": (_range, rf"{_NUMBER}(?:\sto\s{_NUMBER})?"),
    "mean": (lambda cells: number(math.exp(sum(
        math.log(_middle(cell)) for cell in cells) / len(cells))), _NUMBER),
}


class Figures:
  """What docs/figures.json has."""

  def __init__(self, found: dict[str, Any]):
    self.found = found

  def entry(self, name: str) -> dict[str, Any]:
    if name not in self.found:
      raise Missing(f"no entry {name!r}; there are: {', '.join(self.found)}")
    return self.found[name]

  def lines(self, entry: str, pattern: str) -> list[str]:
    """Names of lines; only `*` and `?` are special."""
    pattern = pattern.replace("[", "[[]")
    return [name for name in self.entry(entry)["lines"]
            if fnmatch.fnmatchcase(name, pattern)]

  def text(self, reference: str) -> str:
    """What stands in the place of a reference.

    Raises:
      Missing: there is no such figure.
    """
    form, entry, line, column = _parts(reference)
    lines = self.entry(entry)["lines"]
    cells = [lines[name][column] for name in self.lines(entry, line)
             if column in lines[name]]
    words = [cell for cell in cells if isinstance(cell, str)]
    if words and form not in ("range", "mean"):
      return words[0]
    cells = [cell for cell in cells if not isinstance(cell, str)]
    if not cells:
      raise Missing(f"no figure {reference!r}")
    if len(cells) > 1 and form not in ("range", "mean"):
      raise Missing(f"{len(cells)} figures {reference!r}; give range or mean")
    return FORMS[form][0](cells)


def _parts(reference: str) -> tuple[str, str, str, str]:
  if not (match := re.fullmatch(_MARK, f"<!-- ={reference} -->")):
    raise ValueError(f"{reference!r} is not [FORM ]ENTRY: LINE: COLUMN")
  form, *rest = (part or "" for part in match.groups())
  if form not in FORMS:
    raise ValueError(f"{reference!r}: no form {form!r}; there are: "
                     f"{', '.join(filter(None, FORMS))}")
  return form, *rest   # type: ignore[return-value]


def _references(row: str | tuple[str, ...], columns: Sequence[str]
                ) -> list[list[str]]:
  """Those of each cell of a row."""
  cells = row if isinstance(row, tuple) else (
      column.replace("{}", row) if "{}" in column else row.replace("{}", column)
      for column in columns)
  return [cell.split("; ") if cell else [] for cell in cells]


def _cell(figures: Figures, references: list[str]) -> str:
  """What there is of the references in one cell, and "-" for what is not; empty
  if nothing is."""
  texts = []
  for reference in references:
    try:
      texts.append(figures.text(reference))
    except Missing:
      texts.append("-")
  return ", ".join(texts) if set(texts) - {"-"} else ""


def _rows(figures: Figures, table: Table
          ) -> Iterator[tuple[str, str | tuple[str, ...]]]:
  """Titles and keys; a title with a star is one for each line that fits."""
  for title, key in table.rows.items():
    if title != "*" or isinstance(key, tuple):
      yield title, key
      continue
    entry, pattern = key.split(": ", 1)
    before, _, after = pattern.partition("*")
    for name in figures.lines(entry, pattern):
      found = name[len(before):len(name) - len(after)]
      yield found, found


def table(figures: Figures, name: str) -> str:
  """A table with the commands and dates of its figures.

  Raises:
    Missing: the table, a row or a column has no figure.
  """
  if name not in TABLES:
    raise Missing(f"no table {name!r}; there are: {', '.join(TABLES)}")
  made = TABLES[name]
  source = _source(figures, made)   # which all entries are there for
  columns = tuple(made.columns.values())
  rows = [[title, *(_cell(figures, cell) for cell in _references(key, columns))]
          for title, key in _rows(figures, made)]
  for title, *cells in [*rows, *zip(made.columns, *(r[1:] for r in rows))]:
    if not any(cells):
      raise Missing(f"table {name!r} has nothing in {title!r}")
  lines = [[made.heading, *made.columns],
           ["---", *("---:" for _ in made.columns)], *rows]
  if made.words:
    title, words = made.words
    lines = [[*line, last] for line, last in zip(
        lines, [title, "---", *(words[row[0]] for row in rows)])]
  return "".join(f"| {' | '.join(cells)} |\n" for cells in lines) + (
      f"\n{source}\n")


def entries(made: Table) -> list[str]:
  """The entries that a table is of, each once."""
  columns = tuple(made.columns.values())
  return list(dict.fromkeys(
      re.split(r"^\w+ (?=[a-z-]+: )", reference)[-1].split(": ")[0]
      for row in made.rows.values() for cell in _references(row, columns)
      for reference in cell))


def _source(figures, made) -> str:
  found = [figures.entry(name) for name in entries(made)]
  commands: dict[str, list[str]] = {}
  for entry in found:
    command, name = entry["command"].rsplit(" ", 1)
    commands.setdefault(command, []).append(name)
  each = lambda parts: " and ".join(dict.fromkeys(parts))
  called = [f"`{command} {' '.join(names)}`"
            for command, names in commands.items()]
  cores = (re.findall(r"\d+ cores", entry["machine"]) for entry in found)
  return (f"{each(called)}, {each(e['date'] for e in found)}, JAX "
          f"{each(e['versions']['jax'] for e in found)}, "
          f"{each(c[0] for c in cores if c)}.")


def rendered(text: str, figures: Figures) -> str:
  """A page with its tables and figures as they should be.

  Raises:
    ValueError: a table or a mark that cannot be filled.
  """
  text = _BLOCK.sub(lambda block: (
      f"<!-- figures: {block[1]} -->\n{table(figures, block[1])}"
      "<!-- end figures -->"), text)
  pieces: list[str] = []
  end = 0
  for mark in _ANY_MARK.finditer(text):
    before = text[end:mark.start()]
    like = FORMS[_parts(mark[1])[0]][1]
    old = re.search(rf"(?<![\w.,-])(?:{like}|{_WORD})\Z", before)
    if old is None:
      raise ValueError(f"no figure stands before {mark[0]!r}")
    pieces += before[:old.start()], figures.text(mark[1]), mark[0]
    end = mark.end()
  return "".join(pieces) + text[end:]


def read(path: pathlib.Path = FIGURES) -> Figures:
  return Figures(json.loads(path.read_text()))


def main() -> None:
  figures = read()
  for page in PAGES:
    before = page.read_text()
    try:
      after = rendered(before, figures)
    except ValueError as e:
      sys.exit(f"{page.relative_to(ROOT)}: {e}")
    if after != before:
      page.write_text(after)
      print(f"written: {page.relative_to(ROOT)}")


if __name__ == "__main__":
  main()
