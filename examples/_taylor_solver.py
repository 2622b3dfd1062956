"""A solver of dx/dt = f(x) by Taylor series, x any pytree.

The coefficients of the solution follow from one another: those of x up to order
k give those of f(x) up to order k, by Taylor mode, and the last of them over
k + 1 is the next of x. Each pass derives all orders again, by `jax_cse.jet` or
by JAX's own; `jax_cse.cse` around the recursion leaves each value once.

The last two coefficients tell how long a step may be before it is taken (Jorba
and Zou 2005), so none is rejected:

    h = exp(-0.7 / (p - 1)) min((tolerance / |x_k|)^(1 / k), k = p - 1, p)
"""

from collections.abc import Callable
import math
from typing import Any

import jax
from jax.experimental import jet as jax_jet
import jax.numpy as jnp

import jax_cse

MAX_STEPS = 100_000


def coefficients(slope: Callable, order: int, jet: Callable = jax_cse.jet
                 ) -> Callable:
  """Those of the solution from x, up to the order, as rows for each leaf.

  Inside they are derivatives: their products have whole coefficients, of which
  `cse` sees more than of quotients, 843 equations at order 20 for 1,275.
  """
  factorials = jnp.array([math.factorial(k) for k in range(order + 1)], float)

  def of(x):
    terms = jax.tree.map(lambda y: [y], slope(x))
    for _ in range(order - 1):
      _, derived = jet(slope, (x,), (terms,))
      terms = jax.tree.map(lambda _, known, new: [*known, new[-1]],
                           x, terms, derived)
    return jax.tree.map(
        lambda y, rest: (jnp.stack([y, *rest]).T / factorials).T, x, terms)

  return of


def by_jax(fun: Callable, primals: Any, series: Any) -> Any:
  """`jax.experimental.jet` of one argument that is a pytree."""
  (x,), (terms,) = primals, series
  leaves, tree = jax.tree.flatten(x)
  rows = jax.tree.leaves(terms, is_leaf=lambda y: isinstance(y, list))
  flat = lambda *xs: jax.tree.leaves(fun(jax.tree.unflatten(tree, xs)))
  y, terms = jax_jet.jet(flat, leaves, rows)
  return jax.tree.unflatten(tree, y), jax.tree.unflatten(tree, terms)


WAYS: dict[str, Callable] = {
    "jet": lambda slope, order: coefficients(slope, order, by_jax),
    "cse of jet": lambda slope, order: jax_cse.cse(
        coefficients(slope, order, by_jax)),
    "jax_cse.jet": coefficients,
    "cse of jax_cse.jet": lambda slope, order: jax_cse.cse(
        coefficients(slope, order))}
BEST = "cse of jax_cse.jet"


def at(polynomial: Any, t: Any) -> Any:
  """The state after a time t, inside of a step as at its end."""
  return jax.tree.map(
      lambda c: jnp.polyval(c[::-1], t, unroll=len(c)), polynomial)


def longest(polynomial: Any, tolerance: Any) -> jax.Array:
  """How long a step may be."""
  rows = jax.tree.leaves(polynomial)
  order = len(rows[0]) - 1
  size = lambda k: jnp.max(jnp.array([jnp.max(jnp.abs(c[k])) for c in rows]))
  return math.exp(-0.7 / (order - 1)) * jnp.minimum(*(
      (tolerance / size(k))**(1 / k) for k in (order - 1, order)))


def step(series: Callable, t: Any, x: Any, end: float, tolerance: Any
         ) -> tuple[Any, Any, Any]:
  """The time and the state after a step, and the polynomial between."""
  polynomial = series(x)
  left = end - t
  h = jnp.minimum(longest(polynomial, tolerance), left)
  return jnp.where(h < left, t + h, end), at(polynomial, h), polynomial


def solver(slope: Callable, end: float, order: int, way: str = BEST
           ) -> Callable:
  """A function of a state and a tolerance: the last state, and the steps.

  The state is nan where the end is not reached in `MAX_STEPS`.
  """
  series = WAYS[way](slope, order)

  def solve(x, tolerance):
    def body(carry):
      t, x, steps = carry
      t, x, _ = step(series, t, x, end, tolerance)
      return t, x, steps + 1

    t, x, steps = jax.lax.while_loop(
        lambda carry: (carry[0] < end) & (carry[2] < MAX_STEPS),
        body, (0.0, x, 0))
    return jax.tree.map(lambda y: jnp.where(t < end, jnp.nan, y), x), steps

  return solve
