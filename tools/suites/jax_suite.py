"""JAX's own tests, run from a checkout, plain and in every way of enabling CSE.

  tools/jax_suite CHECKOUT [FILES...]

FILES are names below CHECKOUT/tests (default: all of them, `*_test.py`). What
was run is kept in --records and not run again. The report lists every test
whose outcome differs, and compares with the table of expected differences
beside this file. Exit status 1: a difference that the table does not have, or
an entry of the table that does not differ.
"""

import argparse
import os
import pathlib
import re
import sys
import tomllib

import jax

from . import comparison
from . import jax_checkout
from . import running

# How to enable CSE for a whole process: pytest options, and environment.
WAYS = {
    "plain": [],
    "exact": ["--jax-cse=exact"],
}
_EXPECTED = pathlib.Path(__file__).parent / "expected_differences.toml"


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      prog="tools/jax_suite", description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("checkout", type=pathlib.Path,
                      help="of JAX, at the tag of the installed version")
  parser.add_argument("files", nargs="*")
  parser.add_argument("--cases", type=int, default=10,
                      help="of each test that JAX draws at random (JAX's own "
                      "default, %(default)s); each number has records apart")
  add_options(parser, pathlib.Path(".suites") / "jax")
  args = parser.parse_intermixed_args(argv)
  _check(parser, args.checkout)
  tests = args.checkout.resolve() / "tests"
  files = args.files or sorted(
      (str(path.relative_to(tests)) for path in tests.rglob("*_test.py")))
  missing = [file for file in files if not (tests / file).exists()]
  if missing:
    parser.error(f"not in {tests}: {', '.join(missing)}")
  units = [_unit(way, file, args) for file in files for way in args.ways]
  return run_and_report(units, args)


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


def run_and_report(units, args) -> int:
  """Runs what is left of `units`; prints the report; the exit status."""
  expected = tomllib.loads(_EXPECTED.read_text())
  if args.again:
    found = running.suites(units)
    for way in args.ways:
      if way != "plain":
        running.forget(units, comparison.sort_out(
            comparison.differences(found["plain"], found[way]),
            expected.get(way, {}), found["plain"])[0])
  if not args.report:
    running.run(units, args.workers, args.patience)
  text, good = comparison.report(running.suites(units), expected)
  print(text)
  return 0 if good else 1


def _check(parser, checkout):
  """The checkout must be JAX's, at the version that is installed."""
  version = checkout / "jax" / "version.py"
  if not version.exists():
    parser.error(f"{checkout} is not a checkout of JAX: no jax/version.py")
  found = re.search(r'^_version = "(.+)"', version.read_text(), re.M)
  if not found or found[1] != jax.__version__:
    parser.error(f"{checkout} is at {found and found[1]}, installed is "
                 f"{jax.__version__}: check out jax-v{jax.__version__}")


def _unit(way, file, args):
  checkout = args.checkout.resolve()
  options = ["-p", "suites.jax_checkout",
             "-c", str(checkout / "pyproject.toml"), *WAYS[way],
             str(checkout / "tests" / file)]
  records = args.records / f"{jax.__version__}-{args.cases}" / way
  environment = {jax_checkout.CHECKOUT: str(checkout),
                 "JAX_NUM_GENERATED_CASES": str(args.cases)}
  return running.Unit(way, file, options, str(checkout / "tests"),
                      (records / (file + ".jsonl")).resolve(), environment)


if __name__ == "__main__":
  sys.exit(main())
