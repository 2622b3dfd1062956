"""`docs/figures.json`: the figures that the documents show, by entry.

A row of the file is a line of an entry, so that a difference can be read.
"""

import json
import pathlib
from typing import Any

from benchmarks.frame import Ratio
from benchmarks.tables import Section

PATH = pathlib.Path(__file__).parents[2] / "docs" / "figures.json"


def write(described: dict[str, Any], size: str, section: Section,
          path: pathlib.Path = PATH) -> bool:
  """Replaces the figures of an entry, unless it ended early."""
  if section.ended_early:
    return False
  found = json.loads(path.read_text()) if path.exists() else {}
  flag = "" if size == "default" else f" --{size}"
  found[section.name] = {
      "command": f"tools/bench{flag} {section.name}", **described,
      "lines": {line.name: {column: _rounded(cell) for column, cell
                            in line.cells.items() if cell != ""}
                for line in section.lines}}
  path.write_text(text(found))
  return True


def _rounded(cell):
  if isinstance(cell, Ratio):
    return [*map(_rounded, cell)]
  return float(f"{cell:.4g}") if isinstance(cell, float) else cell


def text(found: dict[str, Any]) -> str:
  """JSON with a row for each fact and each line."""
  entries = []
  for name, entry in sorted(found.items()):
    rows = [f"{json.dumps(key)}: {json.dumps(value)}"
            for key, value in entry.items() if key != "lines"]
    lines = ",\n   ".join(f"{json.dumps(line)}: {json.dumps(cells)}"
                          for line, cells in entry["lines"].items())
    rows.append(f'"lines": {{\n   {lines}}}')
    entries.append(f"{json.dumps(name)}: {{\n  " + ",\n  ".join(rows) + "}")
  return "{\n " + ",\n ".join(entries) + "}\n"
