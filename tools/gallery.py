"""Draws the pictures of docs/gallery.md by the commands that stand there."""

import pathlib
import re
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "gallery.md"
_START = "python -m jax_cse "
MOST_BYTES = 150_000   # of a picture, since a clone has them all


def commands(text: str) -> dict[str, list[str]]:
  """Name of each picture to the arguments of the command that draws it.

  Raises:
    ValueError: a command does not say where its picture goes, or it is not the
      one that is shown next.
  """
  found = {}
  pieces = re.split(rf"^    {re.escape(_START)}", text, flags=re.MULTILINE)
  for piece in pieces[1:]:
    line, _, rest = piece.partition("\n")
    args = shlex.split(line)
    shown = re.search(r"\]\((\S+)\)", rest)
    out = args[args.index("--out") + 1] if "--out" in args else None
    if out is None or shown is None or out != f"docs/{shown[1]}":
      raise ValueError(f"the picture under {line!r} is not the one it draws")
    found[pathlib.PurePath(out).stem] = args
  return found


def main(names: list[str]) -> None:
  known = commands(PAGE.read_text())
  for name in names:
    if name not in known:
      sys.exit(f"there is no picture {name!r}; there are: {', '.join(known)}")
  for name in names or known:
    args = known[name]
    print(_START + shlex.join(args), flush=True)
    subprocess.run([sys.executable, "-m", "jax_cse", *args], cwd=ROOT,
                   check=True)
    size = (ROOT / args[args.index("--out") + 1]).stat().st_size
    if size > MOST_BYTES:
      sys.exit(f"{name}.png has {size:,} bytes, more than {MOST_BYTES:,}")


if __name__ == "__main__":
  main(sys.argv[1:])
