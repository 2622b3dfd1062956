"""A long training under CSE: no table grows with it, and no memory.

  tools/endurance [--steps N]

trains two small networks for N steps, one with a step that is compiled and
donates its state, one eagerly with `lax` functions, and now and then

- traces and compiles a new function for a batch of another size, every other
  time on a thread that then ends,
- and drops all of JAX's caches;

in three ways, each in a process of its own:

    plain                   without CSE, the control
    one context             all of it inside one `enabled()`
    a context per step      inside an `enabled()` for each step

36,000 steps are what an hour of training makes at ten steps a second.

Measured is every container that can be reached from the memo and from the
modules of jax_cse, without a list of them that would have to be kept: one that
is added tomorrow is measured too. Beside them stand the numbers of live arrays
and of Python's objects, JAX's own caches, and the resident memory after a
collection. The run fails if anything is larger in its last quarter than in its
second by more than `may_be` says; the first is there to fill the caches and the
budgets.
"""

import argparse
from collections.abc import Callable, Iterator
import contextlib
import ctypes
import functools
import gc
import json
import subprocess
import sys
import threading
import time
from typing import Any
import weakref

import jax
from jax import lax
from jax._src import pjit
from jax._src import util
import jax.numpy as jnp
import numpy as np

import jax_cse
import jax_cse.memo.memo_table   # so that its modules are there
from jax_cse.numbering.values import Value

WAYS = ("plain", "one context", "a context per step")
HOUR = 36_000
LOOK_EVERY = 50       # steps, at the tables
COUNT_EVERY = 1000    # at the process
TRACE_EVERY = 200     # a new function
CLEAR_EVERY = 2000    # `jax.clear_caches`
BATCHES = (8, 12, 16, 24, 32, 40, 48, 56)
MEMORY = "resident memory, kB"


def may_be(name: str, size: float) -> float:
  """How large something may be at the end that was `size` in the second
  quarter: as large, but for what comes and goes between two looks."""
  return size * 1.05 + (4096 if name == MEMORY else 8)


# What is trained.

def network(key, *widths):
  keys = jax.random.split(key, len(widths))
  return [(jax.random.normal(k, (n, m)) / n**0.5, jnp.zeros(m))
          for k, n, m in zip(keys, widths, widths[1:])]


def loss(params, batch):
  x, y = batch
  for w, b in params:
    x = lax.tanh(lax.add(lax.dot(x, w), lax.broadcast_in_dim(
        b, (x.shape[0], b.shape[0]), (1,))))
  error = lax.sub(x, y)
  # The same twice, so that there is something to merge.
  return lax.add(lax.reduce_sum(lax.mul(error, error), (0, 1)),
                 lax.reduce_sum(lax.mul(error, error), (0, 1)))


def gradients(params, batch, schedule):
  """Of the loss on a batch that is scaled and shifted; `schedule` are numbers
  that are others at each step."""
  _, _, scale, shift, mix, rest = schedule
  x, y = batch
  x = lax.add(lax.mul(x, scale), shift)
  y = lax.add(lax.mul(y, mix), rest)
  return jax.value_and_grad(loss)(params, (x, y))


def momentum(state, batch, schedule):
  """A step of gradient descent."""
  rate, decay, *_ = schedule
  params, velocity = state
  value, grads = gradients(params, batch, schedule)
  velocity = jax.tree.map(
      lambda v, g: lax.add(lax.mul(v, 0.9), g), velocity, grads)
  params = jax.tree.map(
      lambda p, v: lax.sub(lax.mul(p, decay), lax.mul(v, rate)),
      params, velocity)
  return value, (params, velocity)


def adam(state, batch, schedule):
  """A step of Adam."""
  rate, decay, *_ = schedule
  params, first, second = state
  value, grads = gradients(params, batch, schedule)
  first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
  second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
  params = jax.tree.map(
      lambda p, m, v: decay * p - rate * m / (jnp.sqrt(v) + 1e-8),
      params, first, second)
  return value, (params, first, second)


class Training:
  """Two networks, and data that are new at every step."""

  def __init__(self):
    self._random = np.random.RandomState(0)
    self.steps = 0
    self.losses: tuple = ()
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    params = network(jax.random.key(0), 8, 32, 4)
    self.compiled = params, zeros(params), zeros(params)
    params = network(jax.random.key(1), 8, 4)
    self.eager = params, zeros(params)
    self._step = jax.jit(adam, donate_argnums=0)

  def batch(self, size):
    x = self._random.standard_normal((size, 8)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(np.sin(x[:, :4]))

  def step(self):
    self.steps += 1
    rate = 1e-3 / (1 + 1e-3 * self.steps)
    scale, shift, mix = self._random.uniform(0.9, 1, 3).tolist()
    # Python's numbers: constants that are new at each step.
    schedule = (rate, 1 - 0.1 * rate, scale, shift - 0.95, mix, 1 - mix)
    a, self.compiled = self._step(self.compiled, self.batch(32), schedule)
    b, self.eager = momentum(self.eager, self.batch(16), schedule)
    self.losses = a, b

  def trace(self, n: int):
    """Traces and runs a function that is new, with nested `jvp` in it."""
    params, batch = self.eager[0], self.batch(BATCHES[n % len(BATCHES)])

    @jax.jit
    def curvature(params):
      f = lambda t: loss(jax.tree.map(lambda p: p * t, params), batch)
      slope = lambda t: jax.jvp(f, (t,), (1.0,))[1]
      return jax.jvp(slope, (1.0,), (1.0,))[1]

    curvature(params).block_until_ready()


def run(way: str, steps: int, look: Callable[[int, Any], None],
        max_bytes: int | None = None) -> Training:
  """Trains for `steps`; `look(step, memo)` now and then, inside the context."""
  training = Training()
  context = (contextlib.nullcontext if way == "plain" else
             functools.partial(jax_cse.enabled, max_bytes=max_bytes))
  around: Callable[[], Any] = contextlib.nullcontext
  within: Callable[[], Any] = context
  if way == "one context":
    around, within = within, around

  def trace(n):
    with context():
      training.trace(n)

  with around() as outer:
    for i in range(1, steps + 1):
      with within() as inner:
        training.step()
        n, rest = divmod(i, TRACE_EVERY)
        if not rest and n % 2:
          thread = threading.Thread(target=trace, args=(n,))
          thread.start()
          thread.join()
        elif not rest:
          training.trace(n)
        if i % CLEAR_EVERY == 0:
          jax.clear_caches()
        if i % LOOK_EVERY == 0:
          look(i, outer or inner)
  return training


# What is measured.

_CONTAINERS = (dict, list, set, weakref.WeakSet, weakref.WeakKeyDictionary)


def _is_ours(x) -> bool:
  # A value is a number and what it stands for.
  return (type(x).__module__.startswith("jax_cse.")
          and not isinstance(x, Value))


def _parts(x) -> Iterator[tuple[str, Any]]:
  yield from getattr(x, "__dict__", {}).items()
  for kind in type(x).__mro__:
    for name in getattr(kind, "__slots__", ()):
      if hasattr(x, name):
        yield name, getattr(x, name)


def sizes(memo: Any = None) -> dict[str, int]:
  """The size of every container of jax_cse, by the path to it."""
  found: dict[str, int] = {}
  seen = set()

  def visit(path, x):
    if isinstance(x, _CONTAINERS):
      found[path] = found.get(path, 0) + len(x)
      for value in x.values() if isinstance(x, dict) else ():
        if _is_ours(value):
          visit(f"{path}[]", value)
    elif _is_ours(x) and id(x) not in seen:
      seen.add(id(x))
      for name, part in _parts(x):
        visit(f"{path}.{name}", part)
    elif path.endswith("nbytes"):
      found[path] = x

  for name, module in sorted(sys.modules.items()):
    if name.startswith("jax_cse."):
      for attribute, x in vars(module).items():
        if isinstance(x, _CONTAINERS) and not attribute.startswith("__"):
          visit(f"{name.removeprefix('jax_cse.')}:{attribute}", x)
  visit("memo", memo)
  return found


def process_sizes() -> dict[str, int]:
  """What the process holds in all, once what is garbage is gone."""
  gc.collect()
  objects = gc.get_objects()
  infos = [cache.cache_info() for cache in list(util._caches)
           if hasattr(cache, "cache_info")]
  found = {
      "live arrays": len(jax.live_arrays()),
      "Python's objects": len(objects),
      "weak references": sum(isinstance(x, weakref.ref) for x in objects),
      "JAX's caches": sum(info.currsize for info in infos),
      "JAX's compiled calls": (pjit._cpp_pjit_cache_fun_only.size()
                               + pjit._cpp_pjit_cache_explicit_attributes.size()
                               ),
  }
  del objects
  ctypes.CDLL(None).malloc_trim(0)
  with open("/proc/self/status") as status:
    for line in status:
      if line.startswith("VmRSS:"):
        found[MEMORY] = int(line.split()[1])
  return found


class Peaks:
  """The largest size of everything in each quarter of a run."""

  def __init__(self, steps: int):
    self._steps = steps
    self.quarters: list[dict[str, int]] = [{}, {}, {}, {}]

  def note(self, step: int, found: dict[str, int]) -> None:
    quarter = self.quarters[(step - 1) * 4 // self._steps]
    for name, size in found.items():
      quarter[name] = max(size, quarter.get(name, 0))

  def grown(self) -> dict[str, tuple[int, int]]:
    """What is larger in the last quarter than it may be."""
    _, second, _, last = self.quarters
    return {name: (second.get(name, 0), size) for name, size in last.items()
            if size > may_be(name, second.get(name, 0))}


# How it is run.

def child(way: str, steps: int) -> None:
  """Runs one way, and prints the peaks as JSON."""
  peaks, start = Peaks(steps), time.monotonic()

  def look(step, memo):
    peaks.note(step, sizes(memo))
    if step % COUNT_EVERY == COUNT_EVERY // 2:
      found = process_sizes()
      peaks.note(step, found)
      print(f"{way}: step {step}, {time.monotonic() - start:.0f} s, "
            f"{found[MEMORY] / 1024:.1f} MB, {found['live arrays']} arrays"
            + ("" if memo is None else f", {memo.nbytes} bytes held"),
            file=sys.stderr, flush=True)

  training = run(way, steps, look)
  json.dump({"quarters": peaks.quarters, "grown": peaks.grown(),
             "seconds": time.monotonic() - start,
             "losses": [float(x) for x in training.losses]}, sys.stdout)


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--steps", type=int, default=HOUR)
  parser.add_argument("--way", choices=WAYS, action="append",
                      help="several times for several; all by default")
  parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
  args = parser.parse_args(argv)
  ways = args.way or WAYS
  if args.child:
    way, = args.way
    child(way, args.steps)
    return 0
  print(f"JAX {jax.__version__}, {args.steps} steps; the largest size in each "
        "quarter of the run", flush=True)
  grown, losses = [], set()
  for way in ways:
    out = subprocess.run(
        [sys.executable, __file__, "--child", "--steps", str(args.steps),
         "--way", way], stdout=subprocess.PIPE, check=True).stdout
    result = json.loads(out)
    losses.add(tuple(result["losses"]))
    grown += [f"{name} ({way})" for name in result["grown"]]
    print(f"\n{way}: {result['seconds']:.0f} s, losses {result['losses']}")
    for name in sorted(set().union(*result["quarters"])):
      row = [quarter.get(name, 0) for quarter in result["quarters"]]
      print(f"  {name:<44}" + "".join(f"{n:>13,}" for n in row)
            + ("  GROWN" if name in result["grown"] else ""), flush=True)
  print(f"\ngrown: {', '.join(grown) or 'nothing'}; losses "
        + ("equal to the last bit" if len(losses) == 1 else "DIFFER"))
  return 1 if grown or len(losses) > 1 else 0


if __name__ == "__main__":
  sys.exit(main())
