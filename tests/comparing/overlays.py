"""Runs of Python on the JAX that is installed, and on an overlay of patches."""

import os
import pathlib
import subprocess
import sys

from patched import overlay as patched_jax

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"


def run(*command, overlay=None, **environment):
  path = [str(PROGRAMS)] if overlay is None else [str(overlay), str(PROGRAMS)]
  done = subprocess.run(
      [sys.executable, *map(str, command)], capture_output=True, text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(path)} | environment)
  assert done.returncode == 0, done.stderr
  return done


def overlay():
  version, base = patched_jax.installed()
  path = patched_jax.OVERLAYS / version
  patched_jax.make(path, base, patched_jax.series(version))
  return path
