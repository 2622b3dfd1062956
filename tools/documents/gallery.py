"""Draws the pictures of docs/gallery.md by the lines that stand there."""

import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "docs" / "gallery.md"
MOST_BYTES = 150_000   # of a picture, since a clone has them all
_SETTING = """
import jax
import jax_cse
from functions import pendulum
"""


def lines(text: str) -> dict[str, str]:
  """Name of each picture to the line that draws it.

  Raises:
    ValueError: a line does not say where its picture goes, or it is not the one
      that is shown next.
  """
  found = {}
  pieces = re.split(r"^    (?=python -m jax_cse |jax_cse\.)", text,
                    flags=re.MULTILINE)
  for piece in pieces[1:]:
    line, _, rest = piece.partition("\n")
    out = re.search(r"--out (\S+)|savefig\(\"(.*)\"\)", line)
    shown = re.search(r"\]\((\S+)\)", rest)
    if out is None or shown is None or (
        out[1] or out[2]) != f"docs/{shown[1]}":
      raise ValueError(f"the picture under {line!r} is not the one it draws")
    found[pathlib.PurePath(shown[1]).stem] = line
  return found


def draw(line: str) -> None:
  """Runs a line in a process of its own, in the root of the repository."""
  args = (shlex.split(line)[1:] if line.startswith("python ")
          else ["-c", _SETTING + line])
  subprocess.run([sys.executable, *args], cwd=ROOT, check=True)


def main(names: list[str]) -> None:
  known = lines(PAGE.read_text())
  for name in names:
    if name not in known:
      sys.exit(f"there is no picture {name!r}; there are: {', '.join(known)}")
  for name in names or known:
    print(known[name], flush=True)
    draw(known[name])
    size = (ROOT / "docs" / "pictures" / f"{name}.png").stat().st_size
    if size > MOST_BYTES:
      sys.exit(f"{name}.png has {size:,} bytes, more than {MOST_BYTES:,}")


if __name__ == "__main__":
  main(sys.argv[1:])
