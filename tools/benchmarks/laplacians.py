"""Laplacians beside folx, an implementation of the forward Laplacian by hand.

Functions of one point, on a batch of 256: networks of width 64 of ten numbers,
an attention over four tokens of width 16. Floating-point operations are those
that XLA counts in what it compiled.
"""

from collections.abc import Callable, Iterator
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.frame import Case, Count, entry, runs
from benchmarks.sizes import Size
import jax_cse
from workloads import operators
from workloads import taylor

_rng = np.random.RandomState(0)
BATCH = 256


class Row(NamedTuple):
  """A function of a batch that is compared with another on the same points."""
  name: str
  control: Callable
  candidate: Callable
  points: jax.Array

  @property
  def ours(self) -> bool:
    return not self.name.endswith(("plain vmapped", "jet"))


def _normal(*shape):
  return _rng.randn(*shape).astype("float32") / np.float32(np.sqrt(shape[0]))


def network(activation, dimension, width=64, layers=3):
  sizes = [dimension, *[width] * layers, 1]
  weights = [_normal(*pair) for pair in itertools.pairwise(sizes)]
  biases = [_normal(n) for n in sizes[1:]]

  def fun(x):
    for w, b in zip(weights[:-1], biases):
      x = activation(x @ w + b)
    return (x @ weights[-1] + biases[-1])[0]
  return fun


def attention(tokens=4, width=16):
  embed, *square = _normal(3, width), *(_normal(width, width) for _ in range(4))
  last = _normal(width, 1)

  def fun(x):
    h = x.reshape(tokens, 3) @ embed
    q, k, v, out = (h @ square[0], h @ square[1], h @ square[2], square[3])
    weights = jax.nn.softmax(q @ k.T / np.sqrt(np.float32(width)), axis=-1)
    return (jnp.tanh(h + weights @ v @ out) @ last).sum()
  return fun


def second(fun, x, v):
  return jax.jvp(lambda y: jax.jvp(fun, (y,), (v,))[1], (x,), (v,))[1]


def unrolled(fun):
  return lambda x: sum(second(fun, x, v) for v in jnp.eye(x.size))


def by_folx(fun):
  import folx
  forward = folx.forward_laplacian(fun)
  return jax.vmap(lambda x: forward(x).laplacian)


# Plain code and what is made of it.
FORMS = {
    "laplacian": lambda f: jax.vmap(jax_cse.laplacian(f)),
    "cse of vmapped": lambda f: jax_cse.cse(jax.vmap(operators.nested_jvp(f))),
    "cse of unrolled": lambda f: jax_cse.cse(jax.vmap(unrolled(f))),
    "plain vmapped": lambda f: jax.vmap(operators.nested_jvp(f)),
}


def beside_folx() -> Iterator[Row]:
  functions = {"tanh network": (network(jnp.tanh, 10), 10),
               "gelu network": (network(jax.nn.gelu, 10), 10),
               "attention": (attention(), 12)}
  for name, (fun, dimension) in functions.items():
    for form, make in FORMS.items():
      yield Row(f"{name}, {form}", by_folx(fun), make(fun),
                jnp.asarray(_rng.randn(BATCH, dimension), "float32"))


def growth() -> Iterator[Row]:
  for dimension in (4, 8, 16, 32):
    fun = network(jnp.tanh, dimension)
    yield Row(f"{dimension} dimensions", by_folx(fun), FORMS["laplacian"](fun),
              jnp.asarray(_rng.randn(BATCH, dimension), "float32"))


def biharmonic() -> Iterator[Row]:
  fun = network(jnp.tanh, 5)
  points = jnp.asarray(_rng.randn(BATCH, 5), "float32")
  plain = jax.vmap(operators.twice(operators.nested_jvp)(fun))
  lap = jax_cse.laplacian
  for name, candidate in {
      "laplacian twice": jax.vmap(lap(lap(fun))),
      "cse of vmapped": jax_cse.cse(plain),
      "cse of unrolled": jax_cse.cse(jax.vmap(unrolled(unrolled(fun)))),
      "jet": jax.vmap(operators.biharmonic_by_series(taylor.by_jet, fun)),
  }.items():
    yield Row(name, plain, candidate, points)


def flops(fun: Callable, x: jax.Array) -> float:
  return jax.jit(fun).lower(x).compile().cost_analysis()["flops"]


def _flops(rows, limit=None):
  for row in rows:
    yield Count(row.name, flops(row.control, row.points),
                flops(row.candidate, row.points), limit,
                row.ours)


def _times(rows):
  for row in rows:
    for case in runs([(row.name, row.candidate, row.control, row.points)],
                     turns=60):
      yield case._replace(ours=row.ours)


@entry("flops of Laplacians over those of folx, by XLA's count")
def laplacian_flops(size: Size) -> Iterator[Count]:
  yield from _flops(beside_folx())


@entry("run time of Laplacians over that of folx")
def laplacian_run(size: Size) -> Iterator[Case]:
  yield from _times(beside_folx())


@entry("flops of `laplacian` over those of folx, by dimension")
def laplacian_growth(size: Size) -> Iterator[Count]:
  yield from _flops(growth(), 1.1)


@entry("flops of the biharmonic operator over those of plain nested jvp")
def biharmonic_flops(size: Size) -> Iterator[Count]:
  yield from _flops(biharmonic())


@entry("run time of the biharmonic operator over that of plain nested jvp")
def biharmonic_run(size: Size) -> Iterator[Case]:
  yield from _times(biharmonic())
