"""The command line: `python -m jax_cse run`, `compare`, `blowup`, `check`."""

import argparse
import contextlib
import importlib.util
import json
import os
import pathlib
import shlex
import sys

from jax_cse.foundation import modes
from jax_cse.foundation import versions
from jax_cse.foundation.active import here
from jax_cse.memo.contexts import enable_process_wide
from jax_cse.orders import blowup
from jax_cse.report import running


def _parser() -> argparse.ArgumentParser:
  parser = argparse.ArgumentParser(prog="python -m jax_cse",
                                   description="The command line of jax_cse.")
  commands = parser.add_subparsers(dest="command", required=True)

  run = commands.add_parser(
      "run", allow_abbrev=False,   # `_split` knows whole names
      help="run a script or a module with CSE in the whole process",
      usage="python -m jax_cse run [--mode MODE] [--stats] "
      "[--report FILE.html] (SCRIPT | -m MODULE) [ARGS...]")
  run.add_argument("--mode", help="accepted: " + ", ".join(modes.MODES))
  run.add_argument("--stats", action="store_true",
                   help="print the statistics of the main thread to stderr "
                   "when the program ends")
  run.add_argument("--report", metavar="FILE.html",
                   help="write a page that shows what the functions that the "
                   "program jits compute twice; each is traced once more when "
                   "the program has ended")

  compare = commands.add_parser(
      "compare", allow_abbrev=False,
      help="run a script or a module without CSE and with it, and say whether "
      "it is worth it; status 1 if CSE should be left off, 2 if the program "
      "fails",
      usage="python -m jax_cse compare [--mode MODE] [--turns N] "
      "[--json FILE] (SCRIPT | -m MODULE) [ARGS...]")
  compare.add_argument("--mode", help="accepted: " + ", ".join(modes.MODES) +
                       " (default: exact and ring are tried; a program that "
                       "enters enabled() runs as it is written)")
  compare.add_argument("--turns", type=int, default=3, metavar="N",
                       help="how often it runs in each way, 2 or more "
                       "(default: 3)")
  compare.add_argument("--json", type=pathlib.Path, metavar="FILE",
                       help="write what was measured")
  for command in (run, compare):
    command.add_argument("-m", dest="module", action="store_true",
                         help="the program is a module, not a script")
    command.add_argument("program", metavar="SCRIPT|MODULE")

  check = commands.add_parser(
      "check", help="does the installed JAX fit? Looks at private names, the "
      "methods that are replaced, and small programs; ends with status 1 if "
      "something differs")
  check.add_argument("--json", type=pathlib.Path, help=argparse.SUPPRESS)

  grow = commands.add_parser(
      "blowup", help="the experiment of the thread, as a table and a figure")
  grow.add_argument("--order", type=int, default=8, metavar="N",
                    help="highest order of differentiation, 1 or more "
                    "(default: 8)")
  grow.add_argument("--out", default="blowup.png", metavar="FILE.png",
                    help="where the figure goes (default: blowup.png)")
  return parser


_WITH_VALUE = ("--mode", "--report", "--turns", "--json")


def _split(argv: list[str]) -> tuple[list[str], list[str]]:
  """Arguments of this command, up to the program's name, and the program's."""
  if argv[:1] in (["run"], ["compare"]):
    i = 1
    while i < len(argv) and argv[i].startswith("-"):
      if argv[i].startswith("-m") and len(argv[i]) > 2:   # as Python takes it
        argv = [*argv[:i], "-m", argv[i][2:], *argv[i + 1:]]
      i += 2 if argv[i] in _WITH_VALUE else 1
    return argv[:i + 1], argv[i + 1:]
  return argv, []


def _run(options: argparse.Namespace, args: list[str]) -> None:
  named, off = modes.from_environment()
  mode = options.mode or named or modes.DEFAULT
  if not off:
    enable_process_wide(mode)
  memo = here.cell.memo
  report = _reporting(options, args, mode, memo)
  try:
    with report:
      running.run(options.program, args, options.module)
  finally:
    if options.stats:
      print("jax_cse is off" if memo is None else memo.stats, file=sys.stderr)


def _reporting(options: argparse.Namespace, args: list[str], mode: str, memo):
  """A context that writes the page on exit, if one was asked for."""
  if options.report is None:
    return contextlib.nullcontext()
  versions.check(versions.PATCHED)
  from jax_cse.report import run_report
  command = ["python", "-m", "jax_cse", "run", "--mode", mode, "--report",
             options.report, *(["-m"] if options.module else []),
             options.program, *args]
  return run_report.written(options.report, options.program,
                            shlex.join(command), mode, memo and memo.stats)


def _validate_report(path: str) -> None:
  missing = [name for name in ("igraph", "jinja2")
             if importlib.util.find_spec(name) is None]
  if missing:
    raise ValueError(f"--report needs {' and '.join(missing)}; to install what "
                     "it needs: pip install 'jax_cse[report]'")
  _validate_file("--report", path)
  # `run --report train.py data.csv` names the program as the page.
  if not path.lower().endswith((".html", ".htm")):
    raise ValueError(f"--report must end in .html or .htm; got {path!r}")


def _validate_file(option: str, path: str) -> None:
  """Raises a `ValueError` unless a file of that name can be written."""
  folder = os.path.dirname(path) or "."
  if not os.path.isdir(folder):
    raise ValueError(f"{option}: there is no folder {folder!r}")
  if os.path.isdir(path):
    raise ValueError(f"{option}: {path!r} is a folder; it must be a file")
  if not os.access(path if os.path.exists(path) else folder, os.W_OK):
    raise ValueError(f"{option}: {path!r} cannot be written")


def _compare(options: argparse.Namespace, args: list[str]) -> None:
  versions.check(versions.PATCHED)
  from jax_cse.gains import comparison_table
  from jax_cse.gains import run_comparison
  named, _ = modes.from_environment()
  compared = run_comparison.compare(
      options.program, args, options.module, options.mode or named,
      options.turns)
  # First, since it cannot be measured again; in whatever letters there are.
  letters = sys.stdout.encoding or "utf-8"
  print(comparison_table.text(compared).encode(
      letters, "backslashreplace").decode(letters), flush=True)
  if options.json is not None:
    try:
      options.json.write_text(compared.json())
    except OSError as e:
      print(f"jax_cse: --json: {e}", file=sys.stderr)
      raise SystemExit(2) from None
  raise SystemExit(compared.status)


def _check(options: argparse.Namespace, _) -> None:
  from jax_cse.foundation import verdicts
  if options.json is not None:
    from jax_cse.probe import probe
    options.json.write_text(json.dumps(probe.verdict()._asdict()))
    return
  verdict = verdicts.probe()
  differ = verdict.differences(True)
  print("\n".join(verdict.looked_at or differ))
  print(f"{versions.described()}: {verdict.checked}, "
        f"{len(differ) or 'none'} of which differ{'s' * (len(differ) == 1)}")
  if differ:
    raise SystemExit(1)


def _blowup(options: argparse.Namespace, _) -> None:
  total = options.order * len(blowup.WAYS)
  width = 30
  measurements = []
  for m in blowup.run(options.order):
    measurements.append(m)
    done = len(measurements)
    bar = "#" * (width * done // total)
    print(f"\r[{bar:<{width}}] {done}/{total} order {m.order} {m.way:<5}",
          end="", file=sys.stderr, flush=True)
  print(file=sys.stderr)
  print(blowup.table(measurements))
  print()
  print(blowup.primitive_table(measurements))
  try:
    figure = blowup.figure(measurements)
  except ImportError:
    print("\nNo figure: matplotlib is missing. To install it: "
          "pip install 'jax_cse[plot]'")
    return
  figure.savefig(options.out, dpi=120)
  print(f"\nfigure saved to {options.out}")


def _validate(options: argparse.Namespace) -> None:
  """Raises a `ValueError` for what is not accepted."""
  if options.command in ("run", "compare"):
    if not options.module and not os.path.exists(options.program):
      raise ValueError(f"there is no script {options.program!r}")
    if options.mode is not None:
      modes.validate(options.mode)
    modes.from_environment()
  if options.command == "run" and options.report is not None:
    _validate_report(options.report)
  if options.command == "compare":
    if options.turns < 2:
      raise ValueError(f"--turns must be 2 or more; got {options.turns}")
    if options.json is not None:
      _validate_file("--json", str(options.json))
  if options.command == "blowup" and options.order < 1:
    raise ValueError(f"--order must be 1 or more; got {options.order}")


def main(argv: list[str] | None = None) -> None:
  parser = _parser()
  mine, args = _split(sys.argv[1:] if argv is None else argv)
  options = parser.parse_args(mine)
  try:
    _validate(options)
  except ValueError as e:
    parser.error(str(e))
  try:
    {"run": _run, "compare": _compare, "blowup": _blowup, "check": _check}[
        options.command](options, args)
  except running.NoProgram as e:
    parser.error(str(e))


if __name__ == "__main__":
  main()
