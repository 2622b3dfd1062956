"""Derivatives of a function of one number, all ways beside each other.

At as many points as make running arithmetic, by `vmap` around each way.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contenders
from benchmarks.contests import Contest
from benchmarks.frame import entry
from benchmarks.sizes import Size
from jax_cse.orders import blowup
from programs import PROGRAMS
from specs import SMOOTH

_SMOOTH = {spec.name: spec.fun for spec in SMOOTH}


def network(t, width=64):
  """Three tanh layers of one number."""
  rng = np.random.RandomState(0)
  h = t * np.linspace(-1, 1, width, dtype="float32")
  for _ in range(3):
    h = jnp.tanh(h @ (rng.randn(width, width) / width**0.5).astype("float32"))
  return h.sum()


FUNCTIONS = {"thread": blowup.function, "network of width 64": network,
             "scan": PROGRAMS["scan"], "attention": _SMOOTH["attention"],
             "gelu mlp": _SMOOTH["jax.nn.gelu mlp"]}
_POINTS = {"thread": 100_000, "network of width 64": 1_000, "scan": 100_000,
           "attention": 10_000, "gelu mlp": 10_000}


def contest(name, fun, order, points, **options):
  ways = {way: jax.vmap(make(fun, order))
          for way, make in contenders.DERIVATIVE.items()}
  return Contest(f"{name}, order {order}", ways,
                 (jnp.linspace(0.2, 1.2, points),), **options)


@entry("stages of nested jvp at many points, every way over plain")
def side_by_side(size: Size) -> Iterator[Contest]:
  if size.quick:
    yield contest("thread", blowup.function, 3, 10)
    return
  for name, fun in FUNCTIONS.items():
    for order in (3, 6) if size.full else (3,):
      yield contest(name, fun, order, _POINTS[name], budget=8)
