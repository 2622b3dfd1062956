"""A run of an example in a small size, with a figure."""

import os
import pathlib
import subprocess
import sys
import tempfile


def run(example, *options: str) -> subprocess.CompletedProcess:
  """Runs the module `example` in a process of its own.

  Asserts that it ends well, saves a figure and says so.
  """
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder) / "figure.png"
    done = subprocess.run(
        [sys.executable, example.__file__, *options, "--out", str(out)],
        # Most of the time goes into machine code that runs a few times.
        env={**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS":
             os.environ.get("XLA_FLAGS", "")
             + " --xla_backend_optimization_level=0"},
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert out.read_bytes().startswith(b"\x89PNG")
    assert f"figure saved to {out}" in done.stdout, done.stdout
  return done
