"""One line of JSON for each run, and what changed since the last.

The file is the user's, so that all checkouts share it. Counts are the same in
each run, so any other is a change. Times differ anyway: one is said to have
changed if the ranges of its turns do not overlap.
"""

from collections.abc import Iterable, Iterator
import json
import pathlib
from typing import Any

import platformdirs

from benchmarks import machine
from benchmarks.frame import Ratio
from benchmarks.tables import Section

# Instructions vary by some ten thousandths from process to process.
_SAME = 1e-3


def default_path() -> pathlib.Path:
  return platformdirs.user_state_path("jax_cse", appauthor=False) / (
      "benchmarks.jsonl")


def record(described: dict[str, Any], size: str,
           sections: Iterable[Section]) -> dict[str, Any]:
  """A run: by entry, line and column its counts, and apart from them times."""
  kinds: dict[str, dict] = {"counts": {}, "times": {}}
  for section in sections:
    for found in kinds.values():
      found[section.name] = {}
    for line in section.lines:
      for column, cell in line.cells.items():
        if not isinstance(cell, str):
          kind = "times" if isinstance(cell, Ratio) else "counts"
          kinds[kind][section.name].setdefault(line.name, {})[column] = cell
  return json.loads(json.dumps({**described, "size": size, **kinds}))


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The runs of a file, the oldest first; none if there is no file."""
  if not path.exists():
    return []
  return [json.loads(line) for line in path.read_text().splitlines() if line]


def append(path: pathlib.Path, run: dict[str, Any]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  with path.open("a") as file:
    file.write(json.dumps(run) + "\n")


def compared(runs: list[dict[str, Any]], run: dict[str, Any]) -> Iterator[str]:
  """Lines on what differs, for each entry from the last run that has it.

  Of runs of the same size, the last on the same machine and versions, or if
  there is none the last.
  """
  for entry in run["counts"]:
    there = [old for old in runs
             if old["size"] == run["size"] and entry in old["counts"]]
    if not there:
      yield f"{entry}: no run before"
      continue
    same = [old for old in there if not [*machine.differences(old, run)]]
    base = (same or there)[-1]
    yield f"{entry}: since {base['date']}, commit {base['commit']}"
    yield from (f"  {line}" for line in machine.differences(base, run))
    changes = [*_changes(base["counts"][entry], run["counts"][entry], _counted),
               *_changes(base["times"][entry], run["times"][entry], _timed)]
    yield from changes or ["  nothing changed"]


def _changes(before, now, change) -> Iterator[str]:
  for name in {**before, **now}:
    old, new = before.get(name, {}), now.get(name, {})
    for column in {**old, **new}:
      if text := change(old.get(column), new.get(column)):
        yield f"  {name}, {column}: {text}"


def _counted(old, new) -> str:
  if old is None or new is None:
    return f"new, {new:,.6g}" if old is None else f"gone, was {old:,.6g}"
  if old == new or (min(old, new) > 1e4 and abs(new / old - 1) < _SAME):
    return ""
  return f"{old:,.6g} to {new:,.6g}"


def _timed(old, new) -> str:
  if old is None or new is None:   # a row that came or went has counts
    return ""
  (before, low, high), (after, least, most) = old, new
  if low == high or least == most or (least <= high and low <= most):
    return ""   # of one turn, or not apart
  return (f"{before:.3g} ({low:.3g} to {high:.3g}) to {after:.3g} "
          f"({least:.3g} to {most:.3g})")
