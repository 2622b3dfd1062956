"""What the commands that run suites have in common: ways, options, report."""

import os
import pathlib
import tomllib

from . import comparison
from . import running

# How to enable CSE for a whole process, to rebuild all that it compiles, or to
# put `jet` in the place of JAX's: pytest's options.
WAYS = {
    "plain": [],
    "exact": ["--jax-cse=exact"],
    "reassociate": ["--jax-cse=reassociate"],
    "ring": ["--jax-cse=ring"],
    "rebuilt": ["-p", "suites.rebuilt"],
    "jet": ["-p", "suites.jet_in_place"],
}
_EXPECTED = pathlib.Path(__file__).parent / "expected_differences.toml"
# A way that merges all that another does differs where that does, and more.
_BEYOND = {"reassociate": "exact", "ring": "reassociate"}


def add_options(parser, records):
  """The options that every suite has."""
  parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
  parser.add_argument("--workers", type=int, default=os.cpu_count())
  parser.add_argument("--records", type=pathlib.Path, default=records,
                      help="where outcomes are kept (default: %(default)s)")
  parser.add_argument("--patience", type=float, default=1800, metavar="SECONDS",
                      help="kill a test that takes longer (%(default)s)")
  parser.add_argument("--again", action="store_true",
                      help="run again what differs and is not expected to")
  parser.add_argument("--report", action="store_true",
                      help="run nothing; report what is recorded")


def expected_differences() -> dict[str, dict[str, dict[str, str]]]:
  """Way -> file -> test -> reason: the table, and what follows from it."""
  table = tomllib.loads(_EXPECTED.read_text())
  for way, less in _BEYOND.items():
    own = table.get(way, {})
    table[way] = {file: table[less].get(file, {}) | own.get(file, {})
                  for file in table[less].keys() | own.keys()}
  return table


def run_and_report(units, args) -> int:
  """Runs what is left of `units`; prints the report; the exit status."""
  expected = expected_differences()
  if args.again:
    found = running.suites(units)
    plain = found.get("plain", {})
    for way in args.ways:
      if way != "plain":
        running.forget(units, comparison.sort_out(
            comparison.differences(plain, found[way]), expected.get(way, {}),
            plain)[0])
  if not args.report:
    running.run(units, args.workers, args.patience)
  text, good = comparison.report(running.suites(units), expected)
  print(text)
  return 0 if good else 1
