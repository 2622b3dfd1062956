"""An overlay of the installed JAX with a series of patches applied.

The overlay is a copy of the package `jax` that stands before the installed one
on the path of Python; jaxlib stays where it is. It lies in the environment, in
`patched_jax/<version>`, and is made again when the series or the wheel changes.

A patch only inserts. Its hunks have no lines of context, so it has no line of
JAX in it, and where it applies is known by the sha256 of each file that it
changes, as it is in the wheel:

    What is inserted, and why.

    Test: tests/compat/test_patched_jax.py
    sha256: 9f86d08...  jax/_src/core.py
    --- a/jax/_src/core.py
    +++ b/jax/_src/core.py
    @@ -637,0 +638,4 @@
    +...

Each file is changed by one patch at most, so the order of the series is only
that in which to read it.
"""

import argparse
import contextlib
import difflib
import fcntl
import hashlib
import importlib.metadata
import importlib.util
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PATCHES = ROOT / "patches"
OVERLAYS = pathlib.Path(sys.prefix) / "patched_jax"
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
  """A patch as it is written; a new one may have no hunks yet.

  Raises:
    Refused: it does not say what a file must be that it changes, or does more
      than insert.
  """
  text = path.read_text()
  header, start, hunks = text.partition("--- a/")
  files = {name: digest for digest, name in _FILE.findall(header)}
  changed = re.findall(r"^\+\+\+ b/(\S+)$", text, re.MULTILINE)
  if not _NAME.fullmatch(path.name):
    raise Refused(f"{path} is no NNNN-verb-noun.patch")
  if not set(changed) <= set(files):
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
  return importlib.metadata.version("jax"), pathlib.Path(str(folder)).parent


def digest(data: bytes) -> str:
  return hashlib.sha256(data).hexdigest()


def stamp_of(base: pathlib.Path, patches: list[Patch]) -> str:
  """What an overlay is made of, in short."""
  return digest("".join([str(base), *(
      p.hunks + repr(p.files) for p in patches if p.hunks)]).encode())


def _check(patches: list[Patch], base: pathlib.Path) -> None:
  for patch in patches:
    for name, wanted in patch.files.items():
      got = digest((base / name).read_bytes())
      if got != wanted:
        raise Refused(
            f"{patch.path.name} is for a {name} with sha256 {wanted}, but "
            f"{base / name} has {got}. Install the wheel again, or choose "
            "the version of JAX that the patches are for")


@contextlib.contextmanager
def _locked(overlay):
  overlay.parent.mkdir(parents=True, exist_ok=True)
  with open(overlay.with_name(overlay.name + ".lock"), "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    yield


def make(overlay: pathlib.Path, base: pathlib.Path,
         patches: list[Patch]) -> None:
  """Makes an overlay of `base`, unless it is there already.

  Raises:
    Refused: a file of `base` is not what a patch is for, or what is there was
      edited and would be lost.
  """
  _check(patches, base)
  wanted = stamp_of(base, patches)
  with _locked(overlay):
    stamp = overlay / "stamp"
    made_for, *before = (
        stamp.read_text().splitlines() if stamp.exists() else [None])
    if made_for == wanted:
      return
    with tempfile.TemporaryDirectory(dir=overlay.parent) as folder:
      new = pathlib.Path(folder) / "overlay"
      shutil.copytree(base / "jax", new / "jax", ignore=_IGNORED)
      for patch in patches:
        _apply(patch, new)
      contents = _contents(new)
      if overlay.exists() and _contents(overlay) not in (before, contents):
        raise Refused(
            f"{overlay} was edited, and is of another series or wheel. Make "
            "patches of it with --regenerate, or delete it")
      (new / "stamp").write_text("\n".join([wanted, *contents]))
      shutil.rmtree(overlay, ignore_errors=True)
      new.rename(overlay)


_IGNORED = shutil.ignore_patterns("__pycache__")


def _apply(patch, folder):
  if not patch.hunks:
    return
  # Not as a part of the repository that the folder may lie in.
  environment = {name: value for name, value in os.environ.items()
                 if not name.startswith("GIT_")}
  lines = _lines(patch, folder)
  subprocess.run(
      ["git", "apply", "--unidiff-zero", "-"], cwd=folder, check=True,
      input=patch.hunks, text=True,
      env=environment | {"GIT_CEILING_DIRECTORIES": str(folder.parent)})
  inserted = patch.hunks.count("\n+") - patch.hunks.count("\n+++ b/")
  if _lines(patch, folder) != lines + inserted:
    raise Refused(f"{patch.path.name} was not applied as a whole")


def _lines(patch, folder):
  return sum((folder / name).read_bytes().count(b"\n")
             for name in patch.files)


def _contents(overlay):
  return [f"{digest(path.read_bytes())}  {path.relative_to(overlay)}"
          for path in sorted((overlay / "jax").rglob("*"))
          if path.is_file() and "__pycache__" not in path.parts]


def regenerate(overlay: pathlib.Path, base: pathlib.Path,
               patches: list[Patch]) -> dict[pathlib.Path, str]:
  """What the files of `patches` must say for `overlay` to be what it is.

  Raises:
    Refused: it was made for another series or wheel, or something in it is not
      an insertion, or in a file that is in no patch.
  """
  stamp = overlay / "stamp"
  if not stamp.exists() or stamp.read_text().splitlines()[0] != stamp_of(
      base, patches):
    raise Refused(f"{overlay} is not there or not of this series; it is made "
                  "without --regenerate, then edit it")
  names = {str(path.relative_to(folder)) for folder in (base, overlay)
           for path in (folder / "jax").rglob("*.py")}
  hunks = {name: text for name in sorted(names)
           if (text := _hunks(base, overlay, name))}
  mine = {name for patch in patches for name in patch.files}
  if unknown := sorted(set(hunks) - mine):
    raise Refused(
        f"{unknown} changed, but no patch says that it is for them. Add one "
        "to the series, with a header and for each of them a line "
        f"'sha256: {64 * '0'}  NAME'")
  if left := sorted(mine - set(hunks)):
    raise Refused(f"nothing is inserted into {left}, for which there are "
                  "patches; delete those")
  return {patch.path: patch.header + "".join(
      f"sha256: {digest((base / name).read_bytes())}  {name}\n"
      for name in patch.files) + "".join(hunks[name] for name in patch.files)
          for patch in patches}


def _hunks(base, overlay, name):
  for folder, what in ((base, "new"), (overlay, "not there any more")):
    if not (folder / name).exists():
      raise Refused(f"{name} is {what}; patches only insert into files")
  old, new = ((folder / name).read_text().splitlines(keepends=True)
              for folder in (base, overlay))
  lines = list(difflib.unified_diff(old, new, f"a/{name}", f"b/{name}", n=0))
  if removed := [line for line in lines[2:] if line.startswith("-")]:
    raise Refused(f"{name}: {removed[0].rstrip()!r} was changed or removed; "
                  "patches only insert")
  return "".join(lines)


def main() -> None:
  parser = argparse.ArgumentParser(
      prog="tools/patched_jax", description=__doc__.split("\n\n")[0])
  parser.add_argument("--regenerate", action="store_true", help="rewrite the "
                      "patches from the overlay as it was edited")
  parser.add_argument("command", nargs=argparse.REMAINDER,
                      help="-- and what to run on it")
  args = parser.parse_args()
  command = args.command[args.command[:1] == ["--"]:]
  if args.regenerate and command:
    parser.error("--regenerate runs no command")
  try:
    version, base = installed()
    overlay = OVERLAYS / version
    if args.regenerate:
      for patch, text in regenerate(overlay, base, series(version)).items():
        patch.write_text(text)
    make(overlay, base, series(version))
  except Refused as error:
    sys.exit(f"patched_jax: {error}")
  if not command:
    print(overlay)
    return
  path = os.pathsep.join(filter(None, [str(overlay),
                                       os.environ.get("PYTHONPATH")]))
  try:
    os.execvpe(command[0], command, os.environ | {"PYTHONPATH": path})
  except OSError as error:
    sys.exit(f"patched_jax: {command[0]}: {error.strerror}")


if __name__ == "__main__":
  main()
