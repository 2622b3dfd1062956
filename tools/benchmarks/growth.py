"""How equations and tracing time of nested `jvp` grow with the order.

Plain code grows by a factor an order, code with CSE by a power of it. Both are
fitted to both.

Limits: four low orders and one timing of each, so a power is fitted where small
terms still count.
"""

from collections.abc import Iterator
import contextlib
import math

import jax
import numpy as np

from benchmarks.frame import Line, entry, seconds
from benchmarks.sizes import Size
import jax_cse
from jax_cse.orders import order_counts
from programs import POINT, PROGRAMS
from specs import SPECS

_ORDERS = (2, 3, 4, 5)


def _sizes(fun, orders, context):
  """Equations and seconds to trace, from cold caches, by order."""
  counts, times = [], []
  for order in orders:
    with context():
      jax.clear_caches()
      counts.append(jax_cse.count_primitives(
          order_counts.nested_jvp(fun, order))(POINT).total())
      jax.clear_caches()
      times.append(seconds(lambda order=order: jax.jit(
          order_counts.nested_jvp(fun, order)).trace(POINT)))
  return counts, times


def _fitted(orders, sizes) -> tuple[float, float]:
  """Growth by a factor an order, and by a power of the order: each by least
  squares in the logarithm, so that what counts is the ratio to the curve."""
  logs = np.log(sizes)
  slope = lambda x: float(np.polyfit(x, logs, 1)[0])
  return math.exp(slope(orders)), slope(np.log(orders))


@entry("fitted growth of nested jvp, orders 2 to 4, in full 5: factor an "
       "order, or power")
def growth(size: Size) -> Iterator[Line]:
  orders = _ORDERS if size.full else _ORDERS[:3]
  for name, fun in ({spec.name: spec.fun for spec in SPECS}
                    | PROGRAMS).items():
    plain, merged = (_sizes(fun, orders, context) for context in (
        contextlib.nullcontext, jax_cse.enabled))
    assert all(b <= a for a, b in zip(plain[0], merged[0])), (name, merged[0])
    cells = {}
    for what, a, b in zip(("equations", "trace"), plain, merged):
      for way, sizes in (("plain", a), ("CSE", b)):
        factor, power = _fitted(orders, sizes)
        cells[f"{what}, {way}"] = f"{factor:.2f}^n or n^{power:.1f}"
    yield Line(name, cells)
