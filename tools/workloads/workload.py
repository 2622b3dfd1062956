"""What a workload is, how large it is, and the networks that are differentiated
in several of them."""

from collections.abc import Callable
import functools
import itertools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import jax_cse


class Workload(NamedTuple):
  """A problem; all `ways` are functions of `args` with equal values."""
  name: str
  ways: dict[str, Callable]
  args: tuple


class Sizes(NamedTuple):
  """How large the workloads are.

  Attributes:
    points: at which networks are differentiated, whose arithmetic is cheap.
    batch: of points for operators that differentiate along many directions.
    states: of a neural ODE, of a printed right-hand side or of a molecule.
    width: of the hidden layers.
    layers: how many hidden layers.
    orders: of total derivatives.
    dimensions: of the biharmonic operator.
    atoms: of the cluster.
    joints: of the arm, six at most.
    links: of the pendulums.
    networks: (species, reactions) of the chemical networks.
  """
  points: int = 4096
  batch: int = 256
  states: int = 1000
  width: int = 64
  layers: int = 2
  orders: tuple[int, ...] = (3, 5)
  dimensions: tuple[int, ...] = (3, 5)
  atoms: int = 5
  joints: int = 6
  links: tuple[int, ...] = (3, 4)
  networks: tuple[tuple[int, int], ...] = ((10, 40), (30, 150))


FULL = Sizes()
SMALL = Sizes(points=3, batch=2, states=2, width=3, layers=1, orders=(3,),
              dimensions=(3,), atoms=2, joints=3, links=(2,),
              networks=((5, 3),))


def with_cse(plain: Callable) -> dict[str, Callable]:
  """The first two ways."""
  return {"plain": plain, "explicit": jax_cse.cse(plain)}


def gradients(ways: dict[str, Callable]) -> dict[str, Callable]:
  """The gradient, by their first argument, of the mean square of each way.

  It is what a step of training computes.
  """
  def gradient(f):
    return jax.grad(lambda params, *rest: jnp.mean(f(params, *rest)**2))
  return {way: gradient(f) for way, f in ways.items()}


def with_cse_of_gradient(plain: Callable) -> dict[str, Callable]:
  """Its first ways, `jax_cse.cse` outside and inside of the gradient."""
  outside = gradients({"plain": plain})["plain"]
  return {**with_cse(outside),
          **gradients({"inside": jax_cse.cse(plain)})}


def random(seed: int, *shape: int) -> jax.Array:
  """Normal numbers, the same in each dtype but for rounding."""
  return jnp.asarray(np.random.RandomState(seed).randn(*shape))


def uniform(seed: int, low: Any, high: Any, *shape: int) -> jax.Array:
  return jnp.asarray(np.random.RandomState(seed).uniform(low, high, shape))


def init(inputs: int, outputs: int, sizes: Sizes) -> list:
  """Weights and biases of the hidden layers, and of the last."""
  widths = [inputs, *[sizes.width] * sizes.layers, outputs]
  return [(random(i, n, m) / n**0.5, 0.1 * random(100 + i, m))
          for i, (n, m) in enumerate(itertools.pairwise(widths))]


def network(params: list, x: Any, activation: Callable = jnp.tanh
            ) -> jax.Array:
  """A network of vectors, or of rows of a matrix."""
  for w, b in params[:-1]:
    x = activation(x @ w + b)
  w, b = params[-1]
  return x @ w + b


@functools.cache
def installed(package: str) -> bool:
  try:
    __import__(package)
  except ImportError:
    return False
  return True
