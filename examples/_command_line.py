"""Numbers, and the figure, from the command line of an example."""

import argparse
from collections.abc import Callable, Mapping, Sequence
import pathlib
from typing import Any


def add_options(parser: argparse.ArgumentParser,
                numbers: Mapping[str, tuple[int, int, str]], figure: str
                ) -> None:
  """Adds `--name N` for each number, and `--out` with the name of the figure.

  `numbers` has the default, the least that is accepted and what it is.
  """
  for name, (default, least, text) in numbers.items():
    parser.add_argument(f"--{name}", type=int, default=default, metavar="N",
                        help=f"{text}, {least} or more (default: {default})")
  parser.add_argument("--out", default=figure, metavar="FILE.png",
                      help=f"where the figure goes (default: {figure})")


def parse(parser: argparse.ArgumentParser,
          numbers: Mapping[str, tuple[int, int, str]],
          argv: Sequence[str] | None) -> argparse.Namespace:
  """The options; an error for a number too small or a folder not there."""
  options = parser.parse_args(argv)
  for name, (_, least, _) in numbers.items():
    if getattr(options, name) < least:
      parser.error(f"--{name} must be {least} or more; got "
                   f"{getattr(options, name)}")
  folder = pathlib.Path(options.out).parent
  if not folder.is_dir():
    parser.error(f"--out: there is no folder {str(folder)!r}")
  return options


def save(draw: Callable[[], Any], path: str) -> None:
  """Saves a figure, or says that matplotlib is missing."""
  try:
    drawn = draw()
  except ImportError:
    print("No figure: matplotlib is missing. To install it: "
          "pip install 'jax_cse[examples]'")
    return
  drawn.savefig(path, dpi=120)
  print(f"figure saved to {path}")
