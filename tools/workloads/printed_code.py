"""Jacobians of right-hand sides that a computer algebra system has printed.

Such code is one long formula for each result, in which the same terms stand
thousands of times: no one wrote it, and no one reads it. Implicit solvers of
ordinary differential equations want its Jacobian.

    pendulum    n links in a chain, from the Lagrangian L = T - V: sympy solves
                M(q) q'' = f(q, q') for the accelerations, by factors L and U
                (Goldstein, Poole and Safko 2002, section 1.6)
    reactions   a network of reversible reactions a + b <-> c + d, with rates
                A T^n exp(-E/T) (Arrhenius; Kee, Coltrin and Glarborg 2003,
                chapter 9), so that each species has the rate of all reactions
                that it takes part in

They are printed as JAX code by `sympy.lambdify`, and besides with sympy's own
common-subexpression elimination, for comparison. Plain is `jax.jacfwd`.
"""

from collections.abc import Callable, Iterator
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import sympy

from workloads import workload

GRAVITY = 9.81


class System(NamedTuple):
  """State variables, and the derivative of each by time."""
  state: tuple
  rates: list


@functools.cache
def pendulum(links: int) -> System:
  """Angles from the vertical and angular velocities; unit masses and lengths.
  """
  q, v = (sympy.symbols(f"{name}:{links}") for name in "qv")
  energy = height = vx = vy = sympy.Integer(0)
  potential = sympy.Integer(0)
  for angle, velocity in zip(q, v):
    height -= sympy.cos(angle)
    vx += velocity * sympy.cos(angle)
    vy += velocity * sympy.sin(angle)
    energy += (vx**2 + vy**2) / 2
    potential += GRAVITY * height
  lagrangian = energy - potential
  momenta = [sympy.diff(lagrangian, velocity) for velocity in v]
  mass = sympy.Matrix(links, links, lambda i, j: sympy.diff(momenta[i], v[j]))
  force = sympy.Matrix(links, 1, lambda i, _: sympy.diff(
      lagrangian, q[i]) - sum(sympy.diff(momenta[i], angle) * velocity
                              for angle, velocity in zip(q, v)))
  return System((*q, *v), [*v, *mass.LUsolve(force)])


@functools.cache
def reactions(species: int, count: int) -> System:
  """Temperature, which is held, and concentrations."""
  rng = np.random.RandomState(0)
  number = lambda low, high: sympy.Float(f"{rng.uniform(low, high):.3f}")
  temperature = sympy.Symbol("T")
  c = sympy.symbols(f"c:{species}")
  terms: list[list] = [[] for _ in c]
  for _ in range(count):
    a, b, d, e = (int(i) for i in rng.choice(species, 4, replace=False))
    factor, power = number(0.5, 2), number(-1, 1)
    barrier, gain = number(0.5, 1), number(0.1, 1)
    forward, back = (factor * temperature**power * sympy.exp(-x / temperature)
                     for x in (barrier, barrier + gain))
    net = forward * c[a] * c[b] - back * c[d] * c[e]
    for i, sign in ((a, -1), (b, -1), (d, 1), (e, 1)):
      terms[i].append(sign * net)
  return System((temperature, *c),
                [sympy.Integer(0), *(sympy.Add(*rates) for rates in terms)])


@functools.cache
def printed(make: Callable, *size: int, cse: bool = False) -> Callable:
  """The right-hand side as a function of an array, by code that is printed."""
  system = make(*size)
  code = sympy.lambdify(system.state, system.rates, modules="jax", cse=cse)
  # A rate that is 0 is an integer.
  return lambda y: jnp.stack([jnp.asarray(rate, y.dtype) for rate in code(*y)])


def jacobian(make: Callable, *size: int, cse: bool = False) -> Callable:
  """At many states."""
  return jax.vmap(jax.jacfwd(printed(make, *size, cse=cse)))


def workloads(sizes: workload.Sizes) -> Iterator[workload.Workload]:
  """Jacobians at many states."""
  problems: dict[str, tuple] = {
      f"pendulum of {n} links": (pendulum, n) for n in sizes.links}
  problems |= {f"{r} reactions of {s} species": (reactions, s, r)
               for s, r in sizes.networks}
  for name, problem in problems.items():
    variables = len(problem[0](*problem[1:]).state)
    low, high = (-1, 1) if problem[0] is pendulum else (0.5, 1.5)
    yield workload.Workload(name, {
        **workload.with_cse(jacobian(*problem)),
        "printed cse": jacobian(*problem, cse=True)},
        (workload.uniform(1, low, high, sizes.states, variables),))
