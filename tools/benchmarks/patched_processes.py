"""The patched core while nobody eliminates anything, beside the untouched one.

Two JAXs do not fit into one process. Each has processes of its own, several
since one may be a few percent faster than another of the same, where its memory
happens to lie. And an unpatched copy of JAX is up to 2 percent slower or faster
than the installed one, so the control is a copy as well, in an overlay of no
patches. They take turns, and each does a workload when it is told to:

    python -m benchmarks.patched_processes    # reads names, one a line

Nothing here imports jax_cse, so that neither has it.
"""

from collections.abc import Callable, Iterator
import contextlib
import gc
import itertools
import os
import pathlib
import subprocess
import sys

import jax
from jax import lax
import jax.numpy as jnp

from patched import overlay


_TOOLS = pathlib.Path(__file__).parent.parent


def _nested(order):
  fun = lambda t: 0.3 * jnp.sin(t) * t**10
  for _ in range(order):
    fun = lambda t, f=fun: jax.jvp(f, (t,), (1.0,))[1]
  return fun


def _trace_nested_jvp():
  for _ in range(20):
    jax.make_jaxpr(_nested(4))(0.3)


def _trace_gradient():
  def loss(ws, x):
    for w in ws:
      x = jnp.tanh(x @ w)
    return jnp.sum(x**2)
  ws = [jnp.ones((8, 8))] * 30
  for _ in range(5):
    jax.make_jaxpr(lambda ws, x: jax.vmap(
        jax.value_and_grad(loss), (None, 0))(ws, x))(ws, jnp.ones((4, 8)))


def _eager(operation, x):
  def run():
    for _ in range(5_000):
      operation(x)
  return run


WORKLOADS: dict[str, Callable[[], None]] = {
    "tracing the fourth nested jvp": _trace_nested_jvp,
    "tracing a mapped gradient": _trace_gradient,
    "an eager lax.sin": _eager(lax.sin, jnp.float32(1)),
    "an eager lax.add": _eager(lambda x: lax.add(x, x), jnp.float32(1)),
}


@contextlib.contextmanager
def servers(processes: int) -> Iterator[tuple[Callable[[str], None], ...]]:
  """Two functions that do a turn: on JAX without patches, on JAX with them.

  Processes of one JAX differ by up to 5 %, now and then by 9. Of an odd number
  each goes first as often as second.
  """
  version, base = overlay.installed()
  with contextlib.ExitStack() as stack:
    yield tuple(
        _in_turn([_server(stack, *jax_of) for _ in range(processes)])
        for jax_of in (
            (_overlay(f"{version}-unpatched", base, []), "False"),
            (_overlay(version, base, overlay.series(version)), "True")))


def _overlay(name, base, patches):
  path = overlay.OVERLAYS / name
  overlay.make(path, base, patches)
  return str(path)


def _in_turn(functions):
  functions = itertools.cycle(functions)
  return lambda name: next(functions)(name)


def _server(stack, path, is_patched):
  process = stack.enter_context(subprocess.Popen(
      [sys.executable, "-m", __name__], stdin=subprocess.PIPE,
      stdout=subprocess.PIPE, text=True,
      env=os.environ | {"PYTHONPATH": f"{path}:{_TOOLS}"}))

  def ask(name, wanted):
    print(name, file=process.stdin, flush=True)
    answer = process.stdout.readline().strip()
    assert answer == wanted, (name, answer)

  ask("is patched", is_patched)
  return lambda name: ask(name, "done")


def _serve() -> None:
  # One processor for both, so that they have the same caches and clock.
  os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
  for line in sys.stdin:
    if (name := line.strip()) == "is patched":
      for run in WORKLOADS.values():
        run()
      gc.collect()
      gc.freeze()
      print(hasattr(jax.core, "enable_cse"), flush=True)
    else:
      WORKLOADS[name]()
      print("done", flush=True)


if __name__ == "__main__":
  _serve()
