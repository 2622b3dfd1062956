"""Hessians of formulas that are written as in the textbook, term by term.

    cluster     the energy of atoms that attract and repel in pairs,
                V = sum over pairs 4 ((1/r)^12 - (1/r)^6)
                (Lennard-Jones; Allen and Tildesley 2017, section 1.3)
    arm         where the hand of a robot of six revolute joints is, a product
                of Denavit-Hartenberg matrices (Siciliano et al. 2009, section
                2.8; the lengths are the published ones of a UR5)
    options     second derivatives ("greeks": gamma, vanna, vomma, charm, ...)
                of the price of a call, S N(d1) - K exp(-r T) N(d2)
                (Black and Scholes 1973)

Their code computes distances, sines, cosines and d1 once for each place where
the formula has them. Plain is `jax.hessian`, forward over reverse mode, in a
second workload `jacfwd` of `jacfwd`.
"""

from collections.abc import Callable, Iterator
import math

import jax
import jax.numpy as jnp
from jax.scipy import stats

from workloads import workload


def energy(positions: jax.Array) -> jax.Array:
  """Of a cluster of atoms, from an array of (atoms, 3); lengths in sigma."""
  def distance(i, j):
    (a, b, c), (d, e, f) = positions[i], positions[j]
    return jnp.sqrt((a - d)**2 + (b - e)**2 + (c - f)**2)

  return sum(4 * ((1 / distance(i, j))**12 - (1 / distance(i, j))**6)
             for i in range(len(positions)) for j in range(i))


# Of each link: how far along the axis, how far across, and its twist.
LINKS = ((0.089159, 0.0, math.pi / 2), (0.0, -0.425, 0.0),
         (0.0, -0.39225, 0.0), (0.10915, 0.0, math.pi / 2),
         (0.09465, 0.0, -math.pi / 2), (0.0823, 0.0, 0.0))


def transform(q: jax.Array, d: float, a: float, alpha: float) -> jax.Array:
  """From the frame of a link to that of the one before."""
  ca, sa = math.cos(alpha), math.sin(alpha)
  return jnp.array([
      [jnp.cos(q), -jnp.sin(q) * ca, jnp.sin(q) * sa, a * jnp.cos(q)],
      [jnp.sin(q), jnp.cos(q) * ca, -jnp.cos(q) * sa, a * jnp.sin(q)],
      [0.0, sa, ca, d],
      [0.0, 0.0, 0.0, 1.0]])


def hand(angles: jax.Array) -> jax.Array:
  """Where the last of up to six joints is, in meters, from their angles."""
  frame = jnp.eye(4)
  for q, link in zip(angles, LINKS):
    frame = frame @ transform(q, *link)
  return frame[:3, 3]


def call(market: jax.Array) -> jax.Array:
  """The price from that of the stock, the strike, the time, rate, volatility.
  """
  s, k, t, r, v = market

  def d1():
    return (jnp.log(s / k) + (r + v**2 / 2) * t) / (v * jnp.sqrt(t))

  def d2():
    return d1() - v * jnp.sqrt(t)

  return s * stats.norm.cdf(d1()) - k * jnp.exp(-r * t) * stats.norm.cdf(d2())


PLAIN = {"jax.hessian": jax.hessian,
         "jacfwd of jacfwd": lambda f: jax.jacfwd(jax.jacfwd(f))}


def lattice(atoms: int, states: int) -> jax.Array:
  """Clusters of atoms near the nodes of a cubic lattice."""
  side = math.ceil(atoms**(1 / 3))
  nodes = jnp.stack(jnp.meshgrid(*[jnp.arange(side)] * 3), -1).reshape(-1, 3)
  return 1.2 * nodes[:atoms] + workload.uniform(1, -0.1, 0.1, states, atoms, 3)


def workloads(sizes: workload.Sizes) -> Iterator[workload.Workload]:
  """Hessians of the three for many points at once, in both plain forms."""
  problems: dict[str, tuple[Callable, jax.Array]] = {
      f"cluster of {sizes.atoms} atoms": (
          # A second tangent has 900 numbers for each cluster of ten.
          energy, lattice(sizes.atoms, max(sizes.batch // 4, 2))),
      "arm": (hand, workload.uniform(1, -3, 3, sizes.states, sizes.joints)),
      "options": (call, workload.uniform(
          1, (80, 80, 0.5, 0.01, 0.1), (120, 120, 2, 0.05, 0.4),
          sizes.points, 5))}
  for name, (fun, points) in problems.items():
    for form, hessian in PLAIN.items():
      yield workload.Workload(
          f"{name}, {form}",
          workload.with_cse(jax.vmap(hessian(fun))), (points,))
