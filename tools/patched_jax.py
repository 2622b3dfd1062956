"""An overlay of the installed JAX with a series of patches applied.

The overlay is a copy of the package `jax`, in front of which on the path of
Python the installed one is not seen; jaxlib stays where it is. It lies in
`.patched_jax/<version>` and is made again when the series or the wheel changes.

A patch only inserts. Its hunks have no lines of context, so it has no line of
JAX in it, and where it applies is known by the sha256 of each file that it
changes, as it is in the wheel:

    What is inserted, and why.

    Test: tests/test_fork.py
    sha256: 9f86d08...  jax/_src/core.py
    --- a/jax/_src/core.py
    +++ b/jax/_src/core.py
    @@ -637,0 +638,4 @@
    +...

Each file is changed by one patch at most, so the order of the series is only
that in which to read it.
"""

import argparse
import difflib
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent
PATCHES = ROOT / "patches"
OVERLAYS = ROOT / ".patched_jax"
_NAME = re.compile(r"\d{4}-[a-z]+(-[a-z]+)+\.patch")
_FILE = re.compile(r"sha256: ([0-9a-f]{64})  (\S+)\n")


class Refused(Exception):
  """A patch that does not fit, or an overlay that would be lost."""


class Patch(NamedTuple):
  """A file of a series.

  Attributes:
    path: where it is.
    header: what and why, and the tests, without the lines of the files.
    files: the sha256 of each file that it changes, by its name in the wheel.
    hunks: the rest, as `git apply` takes it.
  """
  path: pathlib.Path
  header: str
  files: dict[str, str]
  hunks: str


def read(path: pathlib.Path) -> Patch:
  """A patch as it is written.

  Raises:
    Refused: it says for no file what it applies to, or does more than insert.
  """
  text = path.read_text()
  header, start, hunks = text.partition("--- a/")
  files = {name: digest for digest, name in _FILE.findall(header)}
  changed = re.findall(r"^\+\+\+ b/(\S+)$", text, re.MULTILINE)
  if not _NAME.fullmatch(path.name):
    raise Refused(f"{path} is no NNNN-verb-noun.patch")
  if set(files) != set(changed):
    raise Refused(f"{path} changes {changed}, and has the sha256 of "
                  f"{sorted(files)}; each file needs one")
  removed = [line for line in (start + hunks).splitlines()
             if line[:1] in ("-", " ") and not line.startswith("--- a/")]
  if removed:
    raise Refused(f"{path} does more than insert: {removed[0]!r}")
  return Patch(path, _FILE.sub("", header), files, start + hunks)


def series(version: str) -> list[Patch]:
  """The patches of a version of JAX, in order.

  Raises:
    Refused: there is no series for it, or one of them is none.
  """
  names = PATCHES / version / "series"
  if not names.exists():
    others = sorted(path.parent.name for path in PATCHES.glob("*/series"))
    raise Refused(f"there are no patches for JAX {version}, only for "
                  f"{', '.join(others)}")
  return [read(names.parent / name) for name in names.read_text().split()]


def installed() -> tuple[str, pathlib.Path]:
  """The version of the wheel, and the folder that its package is in."""
  folder = importlib.metadata.distribution("jax").locate_file("jax")
  return importlib.metadata.version("jax"), pathlib.Path(folder).parent


def digest(data: bytes) -> str:
  return hashlib.sha256(data).hexdigest()


def _check(patches: list[Patch], base: pathlib.Path) -> None:
  for patch in patches:
    for name, wanted in patch.files.items():
      got = digest((base / name).read_bytes())
      if got != wanted:
        raise Refused(
            f"{patch.path.name} is for a {name} with sha256 {wanted}, but "
            f"{base / name} has {got}. Install the wheel again, or choose "
            "the version of JAX that the patches are for")


def make(overlay: pathlib.Path, base: pathlib.Path,
         patches: list[Patch]) -> None:
  """Makes an overlay of `base`, unless it is there already.

  Raises:
    Refused: a file of `base` is not what a patch is for, or what is there was
      edited and would be lost.
  """
  _check(patches, base)
  stamp = overlay / "stamp"
  wanted = digest("".join(
      [str(base), *(p.hunks + repr(p.files) for p in patches)]).encode())
  made_for, *before = stamp.read_text().splitlines() if (
      stamp.exists()) else [None]
  if made_for == wanted:
    return
  new = overlay.with_name(overlay.name + ".new")
  shutil.rmtree(new, ignore_errors=True)
  shutil.copytree(base / "jax", new / "jax",
                  ignore=shutil.ignore_patterns("__pycache__"))
  for patch in patches:
    # Not as a part of the repository that it may lie in.
    subprocess.run(
        ["git", "apply", "--unidiff-zero", "-"], cwd=new, check=True,
        input=patch.hunks, text=True,
        env=os.environ | {"GIT_CEILING_DIRECTORIES": str(new.parent)})
  contents = _contents(new)
  if stamp.exists() and _contents(overlay) not in (before, contents):
    raise Refused(f"{overlay} was edited, and is of another series or wheel."
                  " Make patches of it with --regenerate, or delete it")
  (new / "stamp").write_text("\n".join([wanted, *contents]))
  shutil.rmtree(overlay, ignore_errors=True)
  new.rename(overlay)


def _contents(overlay):
  return [f"{digest(path.read_bytes())}  {path.relative_to(overlay)}"
          for path in sorted((overlay / "jax").rglob("*.py"))]


def regenerate(overlay: pathlib.Path, base: pathlib.Path,
               patches: list[Patch]) -> dict[pathlib.Path, str]:
  """What the files of `patches` must say for `overlay` to be what it is.

  Raises:
    Refused: something in it is not an insertion, or in a file that is in no
      patch.
  """
  hunks = {str(path.relative_to(overlay)): text
           for path in sorted((overlay / "jax").rglob("*.py"))
           if (text := _hunks(base, overlay, path))}
  mine = {name: patch for patch in patches for name in patch.files}
  if unknown := set(hunks) - set(mine):
    raise Refused(
        f"{sorted(unknown)} changed, but no patch says that it is for them. "
        "Add a patch to the series with a header and, for each of them, a "
        f"line 'sha256: {64 * '0'}  NAME' and one '+++ b/NAME'")
  new = {}
  for patch in patches:
    names = [name for name in patch.files if name in hunks]
    sums = "".join(f"sha256: {digest((base / name).read_bytes())}  {name}\n"
                   for name in names)
    new[patch.path] = patch.header + sums + "".join(map(hunks.get, names))
  return new


def _hunks(base, overlay, path):
  name = str(path.relative_to(overlay))
  if not (base / name).exists():
    raise Refused(f"{name} is new; only insertions into files are patches")
  old, new = ((folder / name).read_text().splitlines(keepends=True)
              for folder in (base, overlay))
  lines = list(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=0))
  if removed := [line for line in lines[2:] if line.startswith("-")]:
    raise Refused(f"{name}: {removed[0].rstrip()!r} was changed or removed; "
                  "patches only insert")
  return "".join(lines)


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
  parser.add_argument("--regenerate", action="store_true", help="rewrite the "
                      "patches from the overlay as it was edited")
  parser.add_argument("command", nargs=argparse.REMAINDER,
                      help="-- and what to run on it")
  args = parser.parse_args()
  try:
    version, base = installed()
    overlay, patches = OVERLAYS / version, series(version)
    if args.regenerate:
      for path, text in regenerate(overlay, base, patches).items():
        path.write_text(text)
      return
    make(overlay, base, patches)
  except Refused as error:
    sys.exit(f"patched_jax: {error}")
  command = args.command[args.command[:1] == ["--"]:]
  if not command:
    print(overlay)
    return
  path = os.pathsep.join(filter(None, [str(overlay),
                                       os.environ.get("PYTHONPATH")]))
  os.execvpe(command[0], command, os.environ | {"PYTHONPATH": path})


if __name__ == "__main__":
  main()
