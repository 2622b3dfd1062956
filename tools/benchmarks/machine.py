"""On what a run was made: the machine, and versions of all that is compared."""

from collections.abc import Iterator
import datetime
from importlib import metadata
import os
import pathlib
import platform

import jax

_PACKAGES = ("jax_cse", "jax", "jaxlib", "numpy", "jet-array", "enzyme-ad",
             "folx", "diffrax")


def facts() -> Iterator[str]:
  """A line each; a package that is not installed is said not to be."""
  device = jax.devices()[0]
  yield (f"{_processor()}, {len(os.sched_getaffinity(0))} cores, "
         f"{device.platform} ({device.device_kind})")
  yield f"{platform.system()}, Python {platform.python_version()}"
  yield ", ".join(f"{name} {_version(name)}" for name in _PACKAGES)
  yield datetime.date.today().isoformat()


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
