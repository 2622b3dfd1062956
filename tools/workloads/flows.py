"""Total derivatives of the solution of a neural ODE (TayNODE).

Along a solution of dz/dt = f(t, z) each further derivative is

    d^(k+1) z / dt^(k+1) = (d/dt + f . d/dz) d^k z / dt^k

and a neural ODE that is regularized by the mean square of the K-th takes fewer
steps to solve. Source: Kelly, Bettencourt, Johnson and Duvenaud 2020, "Learning
differential equations that are easy to solve", sections 3 and 4.
"""

from collections.abc import Callable, Iterator
import functools

import jax
import jax.numpy as jnp

from easy_odes import along_flow
from workloads import taylor
from workloads import workload

_DIMENSION = 4


def recursive(propagate: taylor.Propagate, f: Callable, order: int
              ) -> Callable:
  """What `along_flow` computes: the series of f to one order gives that of z to
  the next."""
  def derived(t, z):
    terms = [f(t, z)]
    for k in range(1, order):
      of_t = [jnp.ones_like(t)] + [jnp.zeros_like(t)] * (k - 1)
      terms = propagate(f, (t, z), (of_t, terms))
    return terms[-1]
  return derived


OTHERS = {name: functools.partial(recursive, propagate)
          for name, propagate in taylor.contenders().items()}


def field(params: list, t: jax.Array, z: jax.Array) -> jax.Array:
  """f(t, z) for rows of states."""
  time = jnp.broadcast_to(t, (*z.shape[:-1], 1))
  return workload.network(params, jnp.concatenate([z, time], axis=-1))


def workloads(sizes: workload.Sizes) -> Iterator[workload.Workload]:
  """The derivative, and the gradient of its mean square by the weights."""
  args = (workload.init(_DIMENSION + 1, _DIMENSION, sizes), jnp.asarray(0.3),
          workload.random(1, sizes.states, _DIMENSION))
  for order in sizes.orders:
    def of_network(along, order=order):
      return lambda params, t, z: along(
          functools.partial(field, params), order)(t, z)

    plain = of_network(along_flow)
    others = {way: of_network(along) for way, along in OTHERS.items()}
    yield workload.Workload(f"TayNODE, order {order}", {
        **workload.with_cse(plain), **others}, args)
    yield workload.Workload(f"TayNODE, order {order}, trained", {
        **workload.with_cse_of_gradient(plain),
        **workload.gradients(others)}, args)
