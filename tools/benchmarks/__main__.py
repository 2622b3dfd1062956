"""The command line of the benchmarks."""

import argparse
from collections.abc import Sequence
import importlib
import itertools
import pathlib
import sys
import time
import traceback

import benchmarks
from benchmarks import machine, tables
from benchmarks.frame import ENTRIES, Line

# Importing one enters what it has.
for _module in ("overhead", "calls", "eager", "nested", "minute",
                "side_by_side", "stablehlo", "growth", "workload_stages",
                "derivatives", "explicit", "rebuilding", "training_steps",
                "laplacians", "wavefunctions", "vectors", "odes", "others",
                "patched_core"):
  importlib.import_module(f"benchmarks.{_module}")


def _parser():
  parser = argparse.ArgumentParser(
      prog="tools/bench", description=benchmarks.__doc__.split("\n\n")[0])
  parser.add_argument("entries", nargs="*", metavar="ENTRY",
                      help="what to run (default: all)")
  parser.add_argument("--list", action="store_true", help="name the entries")
  parser.add_argument("--quick", action="store_true",
                      help="one turn, small sizes: whether it runs at all")
  parser.add_argument("--markdown", metavar="FILE",
                      help="write the tables there, with machine and versions")
  return parser


def main(argv: Sequence[str] | None = None) -> int:
  """Runs what is named; 1 if a limit was missed or an entry ended early."""
  parser = _parser()
  options = parser.parse_args(argv)
  if options.list:
    for name, (what, _) in ENTRIES.items():
      print(f"{name:28}{what}")
    return 0
  unknown = [name for name in options.entries if name not in ENTRIES]
  if unknown:
    parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(ENTRIES)}")
  if options.markdown and not pathlib.Path(options.markdown).parent.is_dir():
    parser.error("--markdown: there is no folder "
                 f"{str(pathlib.Path(options.markdown).parent)!r}")
  facts = list(machine.facts())
  print(*facts, "ratio: median of the candidate / median of the control (least "
        "to greatest of the turns)", sep="\n")
  started = time.perf_counter()
  sections = [_run(name, options.quick) for name in options.entries or ENTRIES]
  facts.append(f"{time.perf_counter() - started:.0f} s for "
               f"{len(sections)} entries")
  print("", *tables.losses(sections), sep="\n")
  if options.markdown:
    pathlib.Path(options.markdown).write_text(tables.markdown(facts, sections))
    print(f"tables written to {options.markdown}")
  return int(any(line.missed for section in sections for line in section.lines))


def _run(name, quick):
  what, function = ENTRIES[name]
  print(f"\n{name}: {what}")
  section, columns = tables.Section(name, what, []), None
  # A quick run is of the first rows.
  for line in _lines(itertools.islice(function(quick), 2 if quick else None),
                     quick):
    if columns != (columns := tuple(line.cells)):
      print(tables.heading(line))
    print(tables.row(line), flush=True)
    section.lines.append(line)
  return section


def _lines(items, quick):
  try:
    for item in items:
      yield from item.lines(quick)
  except Exception as e:  # the other entries are measured all the same
    traceback.print_exc()
    yield Line("ended here", {"error": type(e).__name__}, missed=True)


if __name__ == "__main__":
  sys.exit(main())
