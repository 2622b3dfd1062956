"""Verdicts on a JAX that nobody has tested, made once and kept.

`probe` looks at names, methods and small programs. It runs in a process of its
own, which may patch JAX without harm to this one, on the CPU. The verdict is a
file in the user's cache directory, one for each triple of versions of jax,
jaxlib and this package. It may be read, and removed at any time.
"""

from importlib import metadata
import json
import os
import pathlib
import subprocess
import sys
from typing import NamedTuple

import jax
import platformdirs

from jax_cse.foundation.version import __version__

_SECONDS = 120


class Verdict(NamedTuple):
  """What a probe found.

  Attributes:
    checked: how many of what were looked at, in words.
    everywhere: what differs, whatever is used.
    patched: what differs for `enabled()` alone.
  """
  checked: str
  everywhere: list[str]
  patched: list[str]

  def against(self, patches: bool) -> list[str]:
    """What differs for a use that patches JAX, or for one that does not."""
    return self.everywhere + (self.patched if patches else [])


def path() -> pathlib.Path:
  """Where the verdict on the installed versions is kept."""
  jaxlib = metadata.version("jaxlib")
  name = f"jax-{jax.__version__}-jaxlib-{jaxlib}-{__version__}.json"
  return platformdirs.user_cache_path("jax_cse", appauthor=False) / name


def keep(verdict: Verdict) -> None:
  """Writes a verdict, if that is possible."""
  place = path()
  try:
    place.parent.mkdir(parents=True, exist_ok=True)
    unfinished = place.with_suffix(f".{os.getpid()}")
    unfinished.write_text(json.dumps(verdict._asdict(), indent=2) + "\n")
    unfinished.replace(place)
  except OSError:
    pass   # a probe for each process then


def _kept() -> Verdict | None:
  try:
    found = json.loads(path().read_text())
    return Verdict(str(found["checked"]), list(found["everywhere"]),
                   list(found["patched"]))
  except (OSError, ValueError, LookupError, TypeError):
    return None   # none, or not one that this wrote


def of_installed() -> Verdict:
  """The verdict on the installed versions: the one that is kept, or a new one.
  """
  return _kept() or _probe()


def _probe() -> Verdict:
  environment = os.environ | {
      "JAX_CSE": "", "JAX_CSE_CHECK": "off", "JAX_PLATFORMS": "cpu",
      "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
  try:
    done = subprocess.run(
        [sys.executable, "-m", "jax_cse", "check", "--json"], text=True,
        env=environment, capture_output=True, timeout=_SECONDS)
  except (OSError, subprocess.TimeoutExpired) as error:
    return _failed(str(error))
  try:
    verdict = Verdict(**json.loads(done.stdout.splitlines()[-1]))
  except (ValueError, IndexError, TypeError):
    return _failed(done.stderr)
  keep(verdict)
  return verdict


def _failed(why: str) -> Verdict:
  last = (why.strip().splitlines() or ["it printed nothing"])[-1]
  return Verdict("nothing", [f"the probe itself failed: {last}"], [])
