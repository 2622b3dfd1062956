"""The command line of the benchmarks."""

import argparse
from collections.abc import Sequence
import importlib
import itertools
import os
import pathlib
import sys
import time
import traceback

import benchmarks
from benchmarks import figures, history, machine, tables
from benchmarks.frame import ENTRIES, Line
from benchmarks.sizes import DEFAULT, FULL, QUICK
from documents import figures as documents

# Importing one enters what it has.
for _module in ("overhead", "calls", "instructions", "eager", "nested",
                "minute", "side_by_side", "stablehlo", "growth",
                "workload_stages", "derivatives", "explicit", "rebuilding",
                "training_steps", "laplacians", "collapsed", "wavefunctions",
                "resident_memory", "vectors", "odes", "others", "patched_core"):
  importlib.import_module(f"benchmarks.{_module}")


def _parser():
  parser = argparse.ArgumentParser(
      prog="tools/bench", description=benchmarks.__doc__.split("\n\n")[0])
  parser.add_argument("entries", nargs="*", metavar="ENTRY",
                      help="what to run (default: all)")
  parser.add_argument("--list", action="store_true", help="name the entries")
  size = parser.add_mutually_exclusive_group()
  size.add_argument("--quick", dest="size", action="store_const", const=QUICK,
                    help="one turn, small sizes: whether it runs at all")
  size.add_argument("--full", dest="size", action="store_const", const=FULL,
                    help="all rows, orders and turns, which takes hours")
  parser.add_argument("--markdown", metavar="FILE", type=_in_a_folder,
                      help="write the tables there, with machine and versions")
  parser.add_argument("--write", action="store_true",
                      help="put the figures into docs/figures.json and the "
                      "documents")
  parser.add_argument("--history", metavar="FILE", type=pathlib.Path,
                      default=history.default_path(),
                      help="where a line is added for each run that is not a "
                      "quick one, and compared with (default: %(default)s)")
  parser.set_defaults(size=DEFAULT)
  return parser


def _in_a_folder(name):
  path = pathlib.Path(name)
  if not path.parent.is_dir():
    raise argparse.ArgumentTypeError(
        f"there is no folder {str(path.parent)!r}")
  return path


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
  if options.write and options.size is QUICK:
    parser.error("--write: what --quick measures is no figure; leave out one")
  if options.size is not QUICK:
    try:
      history.check(options.history)
    except ValueError as e:
      parser.error(f"--history: {e}")
  described = machine.described()
  if options.write and not described["device"].startswith("cpu "):
    parser.error("--write: the documents have figures of a CPU; this is of "
                 f"{described['device']}")
  facts = list(machine.facts(described))
  print(*facts, "ratio: median of the candidate / median of the control (least "
        "to greatest of the turns)", sep="\n")
  started, worked = time.perf_counter(), _cpu_seconds()
  sections = []
  for name in dict.fromkeys(options.entries or ENTRIES):
    sections.append(_run(name, options.size))
    # After each, so that a run that is interrupted leaves what it measured.
    if options.write and not figures.write(described, options.size.name,
                                           sections[-1]):
      print(f"{name} ended early: its figures are left as they were")
  facts.append(f"{time.perf_counter() - started:.0f} s, of the CPUs "
               f"{_cpu_seconds() - worked:.0f}, for {len(sections)} entries")
  print("", *tables.losses(sections), "", facts[-1], sep="\n")
  if options.markdown:
    options.markdown.write_text(tables.markdown(facts, sections))
    print(f"tables written to {options.markdown}")
  _keep(options, described, sections)
  return int(any(line.missed for section in sections for line in section.lines))


def _keep(options, described, sections):
  """Adds to the history, says what changed, and writes the figures."""
  if options.size is QUICK:
    return
  run = history.record(described, options.size.name, sections)
  print("", *history.compared(history.read(options.history), run), sep="\n")
  history.append(options.history, run)
  print(f"history: {options.history}")
  if options.write:
    documents.main()


def _run(name, size):
  what, function = ENTRIES[name]
  print(f"\n{name}: {what}")
  section, columns = tables.Section(name, what, []), None
  started, worked = time.perf_counter(), _cpu_seconds()
  # A quick run is of the first rows.
  rows = itertools.islice(function(size), 2 if size.quick else None)
  for line in _lines(rows, size):
    if columns != (columns := tuple(line.cells)):
      print(tables.heading(line))
    print(tables.row(line), flush=True)
    section.lines.append(line)
  print(f"  {time.perf_counter() - started:.0f} s, of the CPUs "
        f"{_cpu_seconds() - worked:.0f}")
  return section


def _cpu_seconds():
  """Of this process and of those that it started and that ended."""
  return sum(os.times()[:4])


def _lines(items, size):
  try:
    for item in items:
      yield from item.lines(size)
  except Exception as e:  # the other entries are measured all the same
    traceback.print_exc()
    yield Line(tables.ENDED, {"error": type(e).__name__}, missed=True)


if __name__ == "__main__":
  sys.exit(main())
