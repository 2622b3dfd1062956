"""On what a run was made: the machine, and versions of all that is compared."""

from collections.abc import Iterator
import datetime
from importlib import metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

_PACKAGES = ("jax_cse", "jax", "jaxlib", "numpy", "jet-array", "enzyme-ad",
             "folx", "diffrax")
# What a time depends on, beside versions of packages.
_ON = "machine", "device", "system", "python"
_ROOT = pathlib.Path(__file__).parents[2]


def described() -> dict[str, Any]:
  """Strings, but for `versions`, by package."""
  device = jax.devices()[0]
  return {
      "date": datetime.date.today().isoformat(), "commit": _commit(),
      "machine": f"{_processor()}, {len(os.sched_getaffinity(0))} cores",
      "device": f"{device.platform} ({device.device_kind})",
      "system": platform.system(), "python": platform.python_version(),
      "versions": {name: _version(name) for name in _PACKAGES}}


def facts(found: dict[str, Any]) -> Iterator[str]:
  """A line each; a package that is not installed is said not to be."""
  yield f"{found['machine']}, {found['device']}"
  yield f"{found['system']}, Python {found['python']}"
  yield ", ".join(f"{name} {version}"
                  for name, version in found["versions"].items())
  yield f"{found['date']}, commit {found['commit']}"


def differences(a: dict[str, Any], b: dict[str, Any]) -> Iterator[str]:
  """In what two runs were made on something else."""
  before, now = ({**{name: found.get(name) for name in _ON},
                  **found["versions"]} for found in (a, b))
  for name in now:
    if before.get(name) != now[name]:
      yield f"{name}: {before.get(name)}, now {now[name]}"


def _commit():
  try:
    return subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=_ROOT, check=True,
        capture_output=True, text=True).stdout.strip()
  except (OSError, subprocess.CalledProcessError):   # not a checkout
    return "unknown"


def _processor():
  try:
    lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
  except OSError:  # not Linux
    lines = []
  names = [line.split(":", 1)[1].strip() for line in lines
           if line.startswith("model name")]
  return names[0] if names else platform.processor() or platform.machine()


def _version(name):
  try:
    return metadata.version(name)
  except metadata.PackageNotFoundError:
    return "not installed"
