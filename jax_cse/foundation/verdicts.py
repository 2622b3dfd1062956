"""Verdicts on a JAX that nobody has tested, made once and kept.

`probe` looks at names, methods and small programs. It runs in a process of its
own, which may patch JAX without harm to this one, on the CPU, and without the
settings of the user's environment. The verdict is a file in the user's cache
directory, one for each triple of versions of jax, jaxlib and this package, for
what is in `compat` and `probe`, and for each Python. It may be read, and
removed at any time.
"""

import functools
import hashlib
from importlib import metadata
from importlib import resources
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import threading
from typing import NamedTuple

import jax
import platformdirs

from jax_cse.foundation.version import __version__

_SECONDS = 120
# Settings of JAX, XLA and Python change what is traced, and how.
_SETTINGS = ("JAX_", "XLA_", "PYTHON")


class Verdict(NamedTuple):
  """What a probe found.

  Attributes:
    checked: how many of what were looked at, in words.
    everywhere: what differs, whatever is used.
    patched: what differs for `enabled()` alone.
    looked_at: a line for each method and program.
  """
  checked: str
  everywhere: list[str]
  patched: list[str]
  looked_at: list[str]

  def differences(self, patches: bool) -> list[str]:
    """Those for a use that patches JAX, or for one that does not."""
    return self.everywhere + (self.patched if patches else [])


def path() -> pathlib.Path | None:
  """Where the verdict on what is installed is kept; None if nowhere."""
  try:
    folder = platformdirs.user_cache_path("jax_cse", appauthor=False)
    jaxlib = metadata.version("jaxlib")
  except (RuntimeError, metadata.PackageNotFoundError):
    return None   # no home directory; a jaxlib that was not installed
  return folder / (f"jax-{jax.__version__}-jaxlib-{jaxlib}-{__version__}-"
                   f"{_sources()}-{sys.implementation.cache_tag}.json")


def _sources() -> str:
  digest = hashlib.sha256()
  for folder in ("compat", "probe"):
    for file in sorted(resources.files("jax_cse").joinpath(folder).iterdir(),
                       key=lambda file: file.name):
      if file.name.endswith(".py"):
        digest.update(file.read_bytes())
  return digest.hexdigest()[:8]


def keep(verdict: Verdict) -> None:
  """Writes a verdict, if that is possible."""
  place = path()
  if place is None:
    return
  try:
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent) as folder:
      unfinished = pathlib.Path(folder) / place.name
      unfinished.write_text(json.dumps(verdict._asdict(), indent=2) + "\n")
      unfinished.replace(place)
  except OSError:
    pass   # a probe in each process then


def read(place: pathlib.Path | None) -> Verdict | None:
  """The verdict in a file; None if there is none, or something else."""
  try:
    found = json.loads(place.read_text()) if place else {}
    verdict = Verdict(found["checked"], *[
        found[name] for name in Verdict._fields[1:]])
  except (OSError, ValueError, LookupError, TypeError):
    return None
  lists = verdict[1:]
  is_one = isinstance(verdict.checked, str) and all(
      isinstance(x, list) and all(isinstance(line, str) for line in x)
      for x in lists)
  return verdict if is_one else None


_lock = threading.Lock()


def of_installed() -> Verdict:
  """The verdict on what is installed: the one that is kept, or a new one."""
  with _lock:
    return _of_installed()


@functools.cache
def _of_installed() -> Verdict:
  return read(path()) or probe()


def probe() -> Verdict:
  """A new verdict, which is kept unless the probe itself failed."""
  if not sys.executable or getattr(sys, "frozen", False):
    return _failed("there is no Python to run it with")
  environment = {name: value for name, value in os.environ.items()
                 if not name.startswith(_SETTINGS)}
  environment |= {
      "JAX_CSE_CHECK": "off", "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": os.pathsep.join(x or os.getcwd() for x in sys.path)}
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / "verdict.json"
    try:
      done = subprocess.run(
          [sys.executable, "-P", "-m", "jax_cse", "check", "--json", str(out)],
          text=True, env=environment, stdin=subprocess.DEVNULL,
          capture_output=True, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
      return _failed(str(error))
    verdict = read(out)
  if verdict is None:
    return _failed(done.stderr or done.stdout)
  keep(verdict)
  return verdict


def _failed(why: str) -> Verdict:
  last = (why.strip().splitlines() or ["it printed nothing"])[-1]
  return Verdict("nothing", [f"the probe itself failed: {last}"], [], [])
