"""Derivatives along a direction, up to an order, by packages of Taylor mode.

Both propagate the coefficients of a truncated power series along a curve
(Griewank and Walther 2008, chapter 13). `jet` takes derivatives, a list of
them; jet-array takes coefficients, derivatives over factorials, in one array.
"""

from collections.abc import Callable, Sequence
import math
from typing import Any

import jax
from jax.experimental import jet
import jax.numpy as jnp

from workloads import workload

# f, values and, for each of them, its derivatives along a curve, to the value
# of f and its derivatives.
Propagate = Callable[[Callable, Sequence, Sequence[Sequence]], list]


def by_jet(f: Callable, values: Sequence, series: Sequence[Sequence]) -> list:
  value, terms = jet.jet(f, tuple(values), tuple(map(list, series)))
  return [value, *terms]


def by_jet_array(f: Callable, values: Sequence, series: Sequence[Sequence]
                 ) -> list:
  import jet_array
  scaled = tuple(jnp.stack([jnp.asarray(term) / math.factorial(k)
                            for k, term in enumerate(terms, 1)])
                 for terms in series)
  value, terms = jet_array.jet(f, tuple(values), scaled)
  return [value, *(terms[k - 1] * math.factorial(k)
                   for k in range(1, len(series[0]) + 1))]


def contenders() -> dict[str, Propagate]:
  """Those that are installed, by name."""
  found: dict[str, Propagate] = {"jet": by_jet}
  if workload.installed("jet_array"):
    found["jet-array"] = by_jet_array
  return found


def along(propagate: Propagate, f: Callable, x: Any, v: Any, order: int
          ) -> list[jax.Array]:
  """f(x) and its derivatives along v, up to an order."""
  return propagate(f, (x,), ([v] + [jnp.zeros_like(v)] * (order - 1),))
