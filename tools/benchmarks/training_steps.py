"""Steps of training networks for differential equations, by way and by line.

Everything is over the plain step written with nested `grad`, as it is mostly
written. `enabled` is one line around the step, `cse` one around the residual.
"""

from collections.abc import Iterator
import contextlib
from typing import NamedTuple

import jax

from benchmarks.frame import SLOWER, Line, entry
from benchmarks.sizes import Size
from benchmarks.ways import compared, measured, Way
import jax_cse
from workloads import equations
from workloads import workload

SIZES = workload.Sizes(points=512, width=128, layers=4)
# Of cold caches, and of running.
_TURNS, _RUNS = 3, 15

PROBLEMS = tuple((name, "tanh") for name in equations.EQUATIONS) + tuple(
    (name, activation) for name in ("Helmholtz", "Kuramoto-Sivashinsky")
    for activation in ("silu", "sin"))


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


def _runs(way, params) -> bool:
  try:
    jax.eval_shape(way.step, params)
  except Exception:   # whatever another package raises
    return False
  return True


def lines(name: str, activation: str, size: Size) -> Iterator[Line]:
  equation = equations.EQUATIONS[name]
  sizes = workload.SMALL if size.quick else SIZES
  params, points = equations.problem(equation, sizes)
  ways = [way for way in _ways(
      equation, equations.ACTIVATIONS[activation], points)
          if _runs(way, params)]
  found = list(measured(ways, params, _TURNS, _RUNS, size))
  yield from compared(
      f"{name}, {activation}", found, SLOWER, (2e-3, 1e-6),
      lambda way: way.endswith(("enabled", "cse")))


class _Problem(NamedTuple):
  name: str
  activation: str

  def lines(self, size: Size) -> Iterator[Line]:
    yield from lines(self.name, self.activation, size)


@entry("steps of training networks for equations, over plain nested grad")
def training_steps(size: Size) -> Iterator[_Problem]:
  for name, activation in PROBLEMS:
    if activation == "sin" and not size.full:
      continue
    yield _Problem(name, activation)
