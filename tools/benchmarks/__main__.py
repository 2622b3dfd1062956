"""The command line of the benchmarks."""

import argparse
import importlib
import platform
import sys

import jax

import benchmarks
from benchmarks.frame import ENTRIES, compare

# Importing one enters what it has.
for _module in ("overhead", "eager", "nested", "derivatives", "explicit",
                "laplacians", "vectors", "odes", "patched_core"):
  importlib.import_module(f"benchmarks.{_module}")


def main() -> None:
  parser = argparse.ArgumentParser(prog="tools/bench",
                                   description=benchmarks.__doc__.split("\n\n")[0])
  parser.add_argument("entries", nargs="*", metavar="ENTRY")
  parser.add_argument("--list", action="store_true", help="name the entries")
  options = parser.parse_args()
  if options.list:
    for name, (what, _) in ENTRIES.items():
      print(f"{name:28}{what}")
    return
  unknown = [name for name in options.entries if name not in ENTRIES]
  if unknown:
    parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(ENTRIES)}")
  device = jax.devices()[0]
  print(f"jax {jax.__version__}, Python {platform.python_version()}, "
        f"{device.platform}: time of the candidate / time of the control")
  missed = False
  for name in options.entries or ENTRIES:
    what, function = ENTRIES[name]
    print(f"\n{name}: {what}")
    for case in function():
      ratio, low, high = compare(case)
      over = case.limit is not None and ratio > case.limit
      missed |= over
      limit = "" if case.limit is None else f"  limit {case.limit:.2f}"
      print(f"  {case.name:64}{ratio:6.2f}  ({low:.2f} to {high:.2f}){limit}"
            + ("  MISSED" if over else ""), flush=True)
  sys.exit(1 if missed else 0)


if __name__ == "__main__":
  main()
