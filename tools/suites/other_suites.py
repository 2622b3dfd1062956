"""Test suites of other projects, from their source distributions.

  tools/other_suites [NAMES...]

NAMES are those of SUITES (default: all). Each is unpacked and installed, at the
version in the table, into an environment of its own below --records, with this
checkout; its tests are run plain and in every way of enabling CSE, as
tools/jax_suite does. Of the libraries one might expect here equinox 0.13.8,
diffrax 0.7.2, lineax 0.1.1 and optimistix 0.1.0 have no tests in their source
distributions.
"""

import argparse
import pathlib
import subprocess
import sys
import tarfile
import venv
from typing import NamedTuple

from . import command
from . import running

_CHECKOUT = pathlib.Path(__file__).parent.parent.parent


class Suite(NamedTuple):
  version: str
  tests: list[str]             # globs below the unpacked distribution
  requirements: list[str]      # of the tests, beyond those of the library


SUITES = {
    "chex": Suite("0.1.92", ["chex/_src/*_test.py"],
                  ["cloudpickle", "dm-tree"]),
    "optax": Suite("0.2.8", ["optax/**/*_test.py"],
                   ["dm-tree", "flax", "scikit-learn", "scipy"]),
    # Right below tests/ some want TensorFlow and Orbax.
    "flax": Suite("0.12.8", ["tests/core/**/*_test.py", "tests/nnx/*_test.py",
                             "tests/linen/linen_*_test.py"],
                  ["cloudpickle", "einops", "jaxtyping", "ml-collections",
                   "treescope"]),
    "blackjax": Suite("1.7.1", ["tests/**/test_*.py"], ["chex", "numpy"]),
    # The distribution leaves out test/infer.
    "numpyro": Suite("0.22.0", ["test/test_*.py"],
                     ["importlib-metadata", "pyro-api", "scikit-learn"]),
}


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      prog="tools/other_suites", description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("names", nargs="*", metavar="NAMES")
  parser.add_argument("--files", nargs="+", default=[""], metavar="PART",
                      help="only the test files whose path has one of these")
  command.add_options(parser, pathlib.Path(".suites") / "other")
  args = parser.parse_intermixed_args(argv)
  if unknown := set(args.names) - set(SUITES):
    parser.error(f"no suite {', '.join(sorted(unknown))}; there are "
                 f"{', '.join(SUITES)}")
  records = args.records.resolve()
  units = []
  for name in args.names or SUITES:
    source, python = _prepare(name, records)
    for file in _files(name, source):
      if any(part in file for part in args.files):
        units += [_unit(way, name, file, source, records, python)
                  for way in args.ways]
  return command.run_and_report(units, args)


def _prepare(name, records):
  """Unpacks and installs a suite; its directory, and the interpreter."""
  suite = SUITES[name]
  source = records / "src" / f"{name}-{suite.version}"
  environment = records / f"venv-{name}-{suite.version}"
  python = environment / "bin" / "python"
  pip = [python, "-m", "pip", "--quiet", "--disable-pip-version-check"]
  if not python.exists():
    venv.create(environment, with_pip=True)
  if not source.exists():
    print(f"installing {name} {suite.version}", flush=True)
    wanted = f"{name}=={suite.version}"
    subprocess.run([*pip, "download", "--no-deps", "--no-binary", name,
                    "--dest", source.parent, wanted], check=True)
    subprocess.run([*pip, "install", "pytest", wanted, *suite.requirements,
                    "--editable", _CHECKOUT], check=True)
    with tarfile.open(source.with_name(source.name + ".tar.gz")) as archive:
      archive.extractall(source.parent, filter="data")
  return source, python


def _files(name, source):
  return sorted(str(path.relative_to(source)) for glob in SUITES[name].tests
                for path in source.glob(glob))


def _unit(way, name, file, source, records, python):
  journal = records / "outcomes" / way / source.name / (file + ".jsonl")
  options = ["-c", _configuration(source), *command.WAYS[way], file]
  return running.Unit(way, f"{name}/{file}", options, str(source), journal, {},
                      str(python))


def _configuration(source):
  """The suite's own, even if empty: pytest would go up to this checkout's."""
  own = source / "pytest.ini"
  return str(own if own.exists() else source / "pyproject.toml")


if __name__ == "__main__":
  sys.exit(main())
