"""JAX's own tests, run from a checkout, plain and in every way of enabling CSE.

  tools/jax_suite CHECKOUT [FILES...]

FILES are names below CHECKOUT/tests (default: all of them, `*_test.py`). What
was run is kept in --records and not run again. The report lists every test
whose outcome differs, and compares with the table of expected differences
beside this file. Exit status 1: a difference that the table does not have, or
an entry of the table that does not differ.
"""

import argparse
import pathlib
import re
import sys

import jax

from . import command
from . import jax_checkout
from . import running


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
  command.add_options(parser, pathlib.Path(".suites") / "jax")
  args = parser.parse_intermixed_args(argv)
  _check(parser, args.checkout)
  tests = args.checkout.resolve() / "tests"
  files = args.files or sorted(
      str(path.relative_to(tests)) for path in tests.rglob("*_test.py"))
  missing = [file for file in files if not (tests / file).exists()]
  if missing:
    parser.error(f"not in {tests}: {', '.join(missing)}")
  units = [_unit(way, file, args) for file in files for way in args.ways]
  return command.run_and_report(units, args)


def _check(parser, checkout):
  """The checkout must be JAX's, at the version that is installed."""
  version = checkout / "jax" / "version.py"
  if not version.exists():
    parser.error(f"{checkout} is not a checkout of JAX: no jax/version.py")
  found = re.search(r'^_version = "(.+)"', version.read_text(), re.MULTILINE)
  if not found or found[1] != jax.__version__:
    parser.error(f"{checkout} is at {found and found[1]}, installed is "
                 f"{jax.__version__}: check out jax-v{jax.__version__}")


def _unit(way, file, args):
  checkout = args.checkout.resolve()
  options = ["-p", "suites.jax_checkout",
             "-c", str(checkout / "pyproject.toml"), *command.WAYS[way],
             str(checkout / "tests" / file)]
  records = args.records / f"{jax.__version__}-{args.cases}" / way
  environment = {jax_checkout.CHECKOUT: str(checkout),
                 "JAX_NUM_GENERATED_CASES": str(args.cases)}
  return running.Unit(way, file, options, str(checkout / "tests"),
                      (records / (file + ".jsonl")).resolve(), environment)


if __name__ == "__main__":
  sys.exit(main())
