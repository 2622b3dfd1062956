"""How much memory a Laplacian takes while it runs, as the system counts it.

XLA counts what it sets aside for a program. It does not count what its kernels
set aside themselves, and its CPU backend hands products of matrices to such
kernels, several at once. So each way runs once in a process of its own, on so
many points that the process grows by hundreds of megabytes; the figure is by
how much the first run raises the most resident memory. Only on Linux.
"""

from collections.abc import Iterator
import os
import pathlib
import re
import subprocess
import sys
from typing import NamedTuple

import jax

from benchmarks import collapsed
from benchmarks import wavefunctions
from benchmarks.frame import BEHIND, Line, entry
from benchmarks.sizes import Size

# Points by the name of what is measured.
_POINTS = {"Laplacian, 50 dimensions": 1024, "FermiNet, 4 electrons": 4096,
           "FermiNet, 8 electrons": 1024, "PsiFormer, 4 electrons": 4096}
_FEW = 2
_CONTROL, _OURS = "folx", ("laplacian", "value_grad_laplacian")


def _program(name, points):
  """The ways to compute it, and the points."""
  if name in wavefunctions.NETWORKS:
    return wavefunctions.program(name, points)
  fun = collapsed.network(50)
  return list(collapsed.laplacians(fun)), collapsed.points(50, points)


def _most() -> int:
  """The most resident memory of this process so far, in bytes.

  What `getrusage` tells on Linux has that of the process that started it.
  """
  status = pathlib.Path("/proc/self/status").read_text()
  return 1024 * int(re.search(r"VmHWM:\s+(\d+) kB", status)[1])


def _grown(name: str, way: str, points: int) -> int:
  ways, x = _program(name, points)
  step = next(w.step for w in ways if w.name == way)
  compiled = jax.jit(step).lower(x).compile()
  before = _most()
  jax.block_until_ready(compiled(x))
  return _most() - before


def _measure(name, way, points) -> int:
  """The same in a new process."""
  return int(subprocess.run(
      [sys.executable, "-m", __name__, name, way, str(points)], check=True,
      stdout=subprocess.PIPE, text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}).stdout)


class _Program(NamedTuple):
  name: str

  def lines(self, size: Size) -> Iterator[Line]:
    points = _FEW if size.quick else _POINTS[self.name]
    ways = [way.name for way in _program(self.name, _FEW)[0]
            if way.name in (_CONTROL, *_OURS)]
    found = {way: _measure(self.name, way, points) for way in ways}
    for way in ways:
      # Of few points a run may take no page that the process has not.
      ratio = found[way] / max(found[_CONTROL], 1)
      ours = way in _OURS
      yield Line(f"{self.name}, {way}",
                 {"points": points, "MB": found[way] / 1e6, "ratio": ratio},
                 {"ratio": BEHIND} if ours and ratio > 1 else {}, ours=ours)


@entry("memory of the process for Laplacians, over folx")
def resident_memory(size: Size) -> Iterator[_Program]:
  del size
  for name in _POINTS:
    yield _Program(name)


if __name__ == "__main__":
  print(_grown(sys.argv[1], sys.argv[2], int(sys.argv[3])))
