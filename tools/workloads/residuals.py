"""Residuals of partial differential equations, of a network for the solution.

A physics-informed network u(t, x) is trained to make the residual of its
equation small at points (Raissi, Perdikaris and Karniadakis 2019). The
equations, as in Ablowitz 2011, "Nonlinear dispersive waves", and Kuramoto and
Tsuzuki 1976:

    Burgers                u_t + u u_x - nu u_xx
    Korteweg-de Vries      u_t + 6 u u_x + u_xxx
    Kuramoto-Sivashinsky   u_t + u u_x + u_xx + u_xxxx

Each is a workload of its own with plain nested `jvp`, with plain nested `grad`,
and as the gradient of the mean square by the weights, which is what a step of
training computes.
"""

from collections.abc import Callable, Iterator
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jax_cse
from workloads import taylor
from workloads import workload

VISCOSITY = 0.1


class Equation(NamedTuple):
  """The highest derivative in x, and the residual from u, u_t and u_x, ..."""
  order: int
  residual: Callable


EQUATIONS = {
    "Burgers": Equation(2, lambda u, u_t, u_x, u_xx: (
        u_t + u * u_x - VISCOSITY * u_xx)),
    "Korteweg-de Vries": Equation(3, lambda u, u_t, u_x, u_xx, u_xxx: (
        u_t + 6 * u * u_x + u_xxx)),
    "Kuramoto-Sivashinsky": Equation(
        4, lambda u, u_t, u_x, u_xx, u_xxx, u_xxxx: (
            u_t + u * u_x + u_xx + u_xxxx)),
}


# Each way makes (u, u_t, u_x, u_xx, ...) at a point.

def _nested(d: Callable, u: Callable, order: int, t: Any, x: Any) -> list:
  functions = [u, d(u, 0)]
  of_x = u
  for _ in range(order):
    of_x = d(of_x, 1)
    functions.append(of_x)
  return [f(t, x) for f in functions]


def _by_jvp(f: Callable, argnum: int) -> Callable:
  """The derivative of f(t, x) by one of its arguments, in forward mode."""
  direction = ((1.0, 0.0), (0.0, 1.0))[argnum]
  return lambda t, x: jax.jvp(f, (t, x), direction)[1]


def _derivatives(u: Callable, order: int, t: Any, x: Any) -> list:
  value, *of_x = jax_cse.derivatives(lambda x: u(t, x), order)(x)
  return [value, jax_cse.derivatives(lambda t: u(t, x), 1)(t)[1], *of_x]


def _series(propagate: taylor.Propagate, u: Callable, order: int, t: Any,
            x: Any) -> list:
  value, *of_x = taylor.along(propagate, lambda x: u(t, x), x,
                              jnp.ones_like(x), order)
  return [value, _by_jvp(u, 0)(t, x), *of_x]


OTHERS: dict[str, Callable] = {"derivatives": _derivatives, **{
    name: functools.partial(_series, propagate)
    for name, propagate in taylor.contenders().items()}}
PLAIN = {"nested jvp": functools.partial(_nested, _by_jvp),
         "nested grad": functools.partial(_nested, jax.grad)}


def residual(way: Callable, equation: Equation, u: Callable) -> Callable:
  """What the equation makes of u(t, x), in one of the ways."""
  return lambda t, x: equation.residual(*way(u, equation.order, t, x))


def network(params: list, t: Any, x: Any) -> jax.Array:
  return workload.network(params, jnp.hstack([t, x]))[0]


def _of_network(way: Callable, equation: Equation) -> Callable:
  def at_points(params, t, x):
    u = functools.partial(network, params)
    return jax.vmap(residual(way, equation, u))(t, x)
  return at_points


def workloads(sizes: workload.Sizes) -> Iterator[workload.Workload]:
  """Residuals at all points and gradients, for both plain forms."""
  args = (workload.init(2, 1, sizes), workload.uniform(1, 0, 1, sizes.points),
          workload.uniform(2, -3, 3, sizes.points))
  for name, equation in EQUATIONS.items():
    others = {way: _of_network(of, equation) for way, of in OTHERS.items()}
    trained = workload.gradients(others)
    for form, of in PLAIN.items():
      plain = _of_network(of, equation)
      yield workload.Workload(f"{name}, {form}", {
          **workload.with_cse(plain), **others}, args)
      yield workload.Workload(f"{name}, {form}, trained", {
          **workload.with_cse_of_gradient(plain), **trained}, args)
