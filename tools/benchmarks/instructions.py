"""Instructions that tracing takes, by valgrind, in a process for each program.

Its simulated processor counts the same number in each run, which a counter of
the real one, as `perf stat` reads it, does not. Without valgrind it is the CPU
time. What it takes to start, and to make what is made once, is not counted.

    python -m benchmarks.instructions PROGRAM {plain,CSE} [valgrind]
"""

from collections.abc import Callable, Iterator
from concurrent import futures
import contextlib
import gc
import os
import re
import shutil
import subprocess
import sys
import time

import jax
import jax.numpy as jnp

from benchmarks.frame import SLOWER, Line, entry, ratio
from benchmarks.sizes import Size
import jax_cse
from jax_cse.orders.order_counts import nested_jvp
from programs import POINT, PROGRAMS
from specs import SPECS

_VALGRIND = ["valgrind", "--tool=callgrind", "--instr-atstart=no",
             "--callgrind-out-file=/dev/null"]
_TURNS = 3   # of CPU time


def _step(weights):
  """The gradient of a loss with a second derivative in it."""
  u = lambda x: jnp.tanh(x * weights) @ weights
  return jax.grad(lambda w: jax.grad(jax.grad(u))(w.sum())**2)(weights)


# A function, its point, and the mode.
TRACED: dict[str, tuple[Callable, object, str]] = {
    "nested jvp, order 4": (nested_jvp(SPECS[0].fun, 4), POINT, "exact"),
    "a training step": (_step, jnp.ones(4), "ring"),
    "scan, order 2": (nested_jvp(PROGRAMS["scan"], 2), POINT, "exact"),
}


def _traced(name: str, way: str, valgrind: bool = False) -> float:
  """CPU seconds to trace, after it was done once."""
  fun, x, mode = TRACED[name]

  def trace():
    with jax_cse.enabled(mode) if way == "CSE" else contextlib.nullcontext():
      jax.make_jaxpr(lambda y: fun(y))(x)

  trace()
  jax.clear_caches()
  gc.collect()
  gc.disable()
  if valgrind:
    subprocess.run(["callgrind_control", "--instr=on", str(os.getpid())],
                   check=True, stdout=subprocess.DEVNULL)
  start = time.process_time()
  trace()
  return time.process_time() - start


def _in_a_process(name, way, valgrind) -> float:
  ran = subprocess.run(
      [*(_VALGRIND if valgrind else ()), sys.executable, "-m", __name__, name,
       way, *(["valgrind"] if valgrind else ())],
      check=True, capture_output=True, text=True, env=os.environ | {
          "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "0"})
  if not valgrind:
    return float(ran.stdout)
  return int(re.findall(r"Collected : (\d+)", ran.stderr)[-1])


@entry("instructions that tracing takes, the same in each run, or CPU time")
def tracing_instructions(size: Size) -> Iterator[Line]:
  valgrind = not size.quick and bool(shutil.which("valgrind"))
  names = list(TRACED)[:None if size.full else 2]
  tasks = [(name, way, valgrind) for name in names for way in ("plain", "CSE")
           for _ in range(1 if valgrind or size.quick else _TURNS)]
  # Two at once count the same, but take each other's time.
  with futures.ThreadPoolExecutor(2 if valgrind else 1) as pool:
    results = pool.map(lambda task: _in_a_process(*task), tasks)
    found: dict[tuple[str, str], list[float]] = {}
    for task, result in zip(tasks, results):
      found.setdefault(task[:2], []).append(result)
  for name in names:
    plain, ours = found[name, "plain"], found[name, "CSE"]
    if valgrind:
      yield Line(name, {"plain": plain[0], "CSE": ours[0],
                        "ratio": ours[0] / plain[0]},
                 {"ratio": SLOWER} if ours[0] > plain[0] else {})
    else:
      over = ratio(ours, plain)
      yield Line(name, {"ratio": over, "of": "CPU time, no valgrind"},
                 {"ratio": SLOWER} if over.median > 1 else {})


if __name__ == "__main__":
  print(_traced(*sys.argv[1:3], valgrind=sys.argv[3:] == ["valgrind"]),
        flush=True)
  os._exit(0)   # what it takes to end is not counted
