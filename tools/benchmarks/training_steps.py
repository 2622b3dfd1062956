"""Steps of training networks for differential equations, by way and by line.

Everything is over the plain step written with nested `grad`, as it is mostly
written. `enabled` is one line around the step, `cse` one around the residual.
"""

from collections.abc import Callable, Iterator
import contextlib
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks.frame import SLOWER, Line, entry, ratio, seconds, settle
import jax_cse
from workloads import equations
from workloads import workload

SIZES = workload.Sizes(points=512, width=128, layers=4)
# Of cold caches, and of running.
_TURNS, _RUNS = 3, 15

PROBLEMS = tuple((name, "tanh") for name in equations.EQUATIONS) + tuple(
    (name, activation) for name in ("Helmholtz", "Kuramoto-Sivashinsky")
    for activation in ("silu", "sin"))


class Way(NamedTuple):
  name: str
  step: Callable
  context: Callable[[], Any] = contextlib.nullcontext


def _ways(equation, activation, points) -> Iterator[Way]:
  def step(way, line=lambda f: f):
    loss = equations.loss(line(equations.residual(
        equation, equations.WAYS[way], activation)), points)
    return jax.value_and_grad(loss)

  plain, ring = contextlib.nullcontext, lambda: jax_cse.enabled("ring")
  yield Way("grad", step("grad"), plain)
  for way in ("grad", "jvp"):
    yield Way(f"{way}, enabled", step(way), ring)
    yield Way(f"{way}, cse", step(way, jax_cse.cse), plain)
  for way in equations.WAYS:
    if way != "grad":
      yield Way(way, step(way), plain)


def _first(way, params):
  """The compiled step, and processor seconds to trace, and to the first result.
  """
  jax.clear_caches()
  start = time.process_time()
  with way.context():
    traced = jax.jit(lambda p: way.step(p)).trace(params)
    traced_at = time.process_time()
    compiled = traced.lower().compile()
  result = jax.block_until_ready(compiled(params))
  return compiled, result, (traced_at - start, time.process_time() - start)


def measured(ways, params, turns, runs):
  """Of each way: its name, its result, and by column flops, bytes of temporary
  memory, and times of the turns."""
  found, cold, warm = {}, {}, {}
  settle()
  for turn in range(turns):
    for way in ways[::-1] if turn % 2 else ways:
      compiled, result, times = _first(way, params)
      found[way.name] = compiled, result
      cold.setdefault(way.name, []).append(times)
  for _ in range(runs):
    for name, (compiled, _) in found.items():
      warm.setdefault(name, []).append(seconds(
          lambda c=compiled: jax.block_until_ready(c(params))))
  for way in ways:
    compiled, result = found[way.name]
    trace, first = zip(*cold[way.name])
    yield way.name, result, {
        "flops": [compiled.cost_analysis()["flops"]],
        "temporary memory": [compiled.memory_analysis().temp_size_in_bytes],
        "trace": trace, "first result": first, "run": warm[way.name]}


def _runs(way, params) -> bool:
  try:
    jax.eval_shape(way.step, params)
  except Exception:   # whatever another package raises
    return False
  return True


def lines(name: str, activation: str, quick: bool) -> Iterator[Line]:
  equation = equations.EQUATIONS[name]
  sizes = workload.SMALL if quick else SIZES
  params, points = equations.problem(equation, sizes)
  ways = [way for way in _ways(
      equation, equations.ACTIVATIONS[activation], points)
          if _runs(way, params)]
  found = list(measured(ways, params, 1 if quick else _TURNS,
                        1 if quick else _RUNS))
  _, wanted, control = found[0]
  for way, result, figures in found:
    ratios = {column: ratio(figures[column], control[column])
              for column in control}
    is_ours = way.endswith(("enabled", "cse"))
    for a, b in zip(jax.tree.leaves(result), jax.tree.leaves(wanted)):
      scale = np.abs(b).max()
      assert np.abs(a - b).max() <= 2e-3 * scale + 1e-6, (name, way)
    yield Line(f"{name}, {activation}, {way}", dict(ratios), {
            column: SLOWER for column, r in ratios.items()
            if is_ours and r.median > 1}, ours=is_ours)


class _Problem(NamedTuple):
  name: str
  activation: str

  def lines(self, quick: bool) -> Iterator[Line]:
    yield from lines(self.name, self.activation, quick)


@entry("steps of training networks for equations, over plain nested grad")
def training_steps(quick: bool) -> Iterator[_Problem]:
  for name, activation in PROBLEMS:
    yield _Problem(name, activation)
