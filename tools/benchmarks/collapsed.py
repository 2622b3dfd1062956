"""Operators in the sizes in which Dangel et al. (2025) measure them.

"Collapsing Taylor Mode Automatic Differentiation": a tanh network of widths
768, 768, 512, 512 and 1, the Laplacian in 50 dimensions and the biharmonic
operator in 5. Over folx and over plain nested `jvp`.
"""

from collections.abc import Iterator
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contenders
from benchmarks.frame import BEHIND, SLOWER, Line, entry
from benchmarks.laplacians import by_folx
from benchmarks.sizes import Size
from benchmarks.ways import Way, compared, measured
import jax_cse
from workloads import operators
from workloads import taylor

_WIDTHS = 768, 768, 512, 512, 1
_TURNS, _RUNS = 3, 15


def network(dimension, widths=_WIDTHS):
  rng = np.random.RandomState(0)
  sizes = [dimension, *widths]
  layers = [((rng.randn(n, m) / n**0.5).astype("float32"),
             (rng.randn(m) / n**0.5).astype("float32"))
            for n, m in itertools.pairwise(sizes)]

  def fun(x):
    for w, b in layers[:-1]:
      x = jnp.tanh(x @ w + b)
    return (x @ layers[-1][0] + layers[-1][1])[0]
  return fun


def points(dimension, count):
  rng = np.random.RandomState(1)
  return jnp.asarray(rng.randn(count, dimension), "float32")


def laplacians(fun):
  if contenders.is_installed("folx"):
    yield Way("folx", by_folx(fun))
  yield Way("laplacian", jax.vmap(jax_cse.laplacian(fun)))
  yield Way("nested jvp", jax.vmap(operators.nested_jvp(fun)))


def _biharmonics(fun):
  lap = jax_cse.laplacian
  plain = jax.vmap(operators.twice(operators.nested_jvp)(fun))
  yield Way("nested jvp", plain)
  yield Way("laplacian twice", jax.vmap(lap(lap(fun))))
  yield Way("cse of nested jvp", jax_cse.cse(plain))
  yield Way("jet", jax.vmap(operators.biharmonic_by_series(taylor.by_jet, fun)))
  if contenders.is_installed("folx"):
    yield Way("folx twice", by_folx(lambda x: by_folx(fun)(x[None])[0]))


# Ways, the first the control, and dimensions.
OPERATORS = {"Laplacian": (laplacians, 50), "biharmonic": (_biharmonics, 5)}
_ON_A_CPU, _ON_A_DEVICE = (16,), (64, 256, 1024)


class _Operator(NamedTuple):
  name: str
  points: int

  def lines(self, size: Size) -> Iterator[Line]:
    make, dimension = OPERATORS[self.name]
    fun = network(dimension, (8, 1) if size.quick else _WIDTHS)
    x = points(dimension, 2 if size.quick else self.points)
    ways = list(make(fun))
    found = list(measured(ways, x, _TURNS, _RUNS, size))
    mark = BEHIND if ways[0].name == "folx" else SLOWER
    yield from compared(
        f"{self.name}, {dimension} dimensions, {self.points} points", found,
        mark, (1e-2, 1e-4), lambda way: way.startswith(("laplacian", "cse")))


@entry("Laplacian and biharmonic of a large network, over folx and nested jvp")
def collapsed_operators(size: Size) -> Iterator[_Operator]:
  cpu = jax.default_backend() == "cpu"
  for name in OPERATORS:
    for points in _ON_A_CPU if cpu else _ON_A_DEVICE:
      yield _Operator(name, points)
