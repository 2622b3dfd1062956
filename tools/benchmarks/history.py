"""One line of JSON for each run, and what changed since the last.

The file is the user's, so that all checkouts share it. Counts are the same in
each run, so any other is a change. Times differ anyway: one is said to have
changed if the ranges of its turns do not overlap.
"""

from collections.abc import Iterable, Iterator
import json
import os
import pathlib
import sys
from typing import Any

import platformdirs

from benchmarks import machine
from benchmarks.frame import Ratio
from benchmarks.tables import Section

# What every run has, beside the machine.
_KEYS = {"date", "commit", "versions", "size", "counts", "times"}
# Instructions vary by some ten thousandths from process to process.
_SAME = 1e-3


def default_path() -> pathlib.Path:
  return platformdirs.user_state_path("jax_cse", appauthor=False) / (
      "benchmarks.jsonl")


def record(described: dict[str, Any], size: str,
           sections: Iterable[Section]) -> dict[str, Any]:
  """A run: by entry, line and column its counts, and apart from them times.

  An entry that ended early is left out: its other rows are not gone.
  """
  kinds: dict[str, dict] = {"counts": {}, "times": {}}
  for section in sections:
    if section.ended_early:
      continue
    for found in kinds.values():
      found[section.name] = {}
    for line in section.lines:
      for column, cell in line.cells.items():
        if not isinstance(cell, str):
          kind = "times" if isinstance(cell, Ratio) else "counts"
          kinds[kind][section.name].setdefault(line.name, {})[column] = cell
  return json.loads(json.dumps({**described, "size": size, **kinds}))


def read(path: pathlib.Path) -> list[dict[str, Any]]:
  """The runs of a file, the oldest first; none if there is no file.

  A line that is damaged, as an interrupt leaves it, is named and left out.
  """
  runs = []
  for number, line in enumerate(_text(path).splitlines(), 1):
    if line and (run := _run(line)) is None:
      print(f"{path}, line {number}: no run; left out", file=sys.stderr)
    elif line:
      runs.append(run)
  return runs


def _text(path):
  return path.read_text(errors="replace") if path.exists() else ""


def _run(line):
  try:
    run = json.loads(line)
  except ValueError:
    return None
  return run if isinstance(run, dict) and run.keys() >= _KEYS else None


def check(path: pathlib.Path) -> None:
  """Before anything is measured.

  Raises:
    ValueError: a run cannot be added to that file.
  """
  there = next(p for p in (path, *path.parents) if p.exists())
  if path.is_dir() or (there != path and not there.is_dir()):
    raise ValueError(f"{str(path)!r} cannot be a file: {str(there)!r} is a "
                     + ("folder" if there == path else "file"))
  if not os.access(there, os.W_OK):
    raise ValueError(f"{str(there)!r} may not be written to")


def append(path: pathlib.Path, run: dict[str, Any]) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  # After what an interrupt left, on a line of its own.
  before = _text(path)
  start = "\n" if before and not before.endswith("\n") else ""
  with path.open("a") as file:
    file.write(f"{start}{json.dumps(run)}\n")


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
