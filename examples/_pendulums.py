"""A pendulum and a double one; lengths, masses and gravity are 1."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp


def _single(x: Any) -> Any:
  angle, rate = x
  return rate, -jnp.sin(angle)


def _single_energy(x: Any) -> jax.Array:
  angle, rate = x
  return rate**2 / 2 - jnp.cos(angle)


def _double(x: Any) -> Any:
  (a, b), (u, v) = x
  sin, cos = jnp.sin(a - b), jnp.cos(a - b)
  p = -2 * jnp.sin(a) - v**2 * sin
  q = -jnp.sin(b) + u**2 * sin
  mass = 2 - cos**2
  return (u, v), ((p - q * cos) / mass, (2 * q - p * cos) / mass)


def _double_energy(x: Any) -> jax.Array:
  (a, b), (u, v) = x
  return (u**2 + v**2 / 2 + u * v * jnp.cos(a - b)
          - 2 * jnp.cos(a) - jnp.cos(b))


class System(NamedTuple):
  """dx/dt = slope(x), where x is a pair: angles, and their rates."""
  slope: Callable
  energy: Callable
  start: Any
  end: float
  orders: list[int]


SYSTEMS = {
    "single": System(_single, _single_energy, (3.0, 0.0), 20.0,
                     [8, 12, 20]),
    "double": System(_double, _double_energy, ((2.0, 2.5), (0.0, 0.0)), 10.0,
                     [8, 12])}


def many(system: System, n: int) -> System:
  """So many at once, let go from other angles, in double precision."""
  scales = jnp.linspace(1, 0.9, n, dtype=jnp.float64).squeeze()
  return system._replace(
      start=jax.tree.map(lambda y: y * scales, system.start))
