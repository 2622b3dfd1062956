"""The thread's experiment: counts against the order of differentiation.

    f(t) = 0.3 * sin(t) * t**10

is differentiated by nested `jvp`, once more per order. Plain nested `jvp`
computes N + 1 values in 2^N copies, so its equations grow exponentially; with
CSE they grow as a polynomial. `jax.experimental.jet`, which propagates Taylor
coefficients, stands beside them.

Source: github.com/jax-ml/jax/issues/520, the script and its figure.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_cse.orders import order_counts
from jax_cse.orders.order_counts import WAYS

POINT = 1.1


def function(t: Any) -> jax.Array:
  """The thread's function of one real number."""
  return 0.3 * jnp.sin(t) * t**10


class Measurement(NamedTuple):
  """One way at one order: counts by primitive, times in seconds, the value."""
  order: int
  way: str
  counts: Counter
  trace_s: float
  compile_s: float
  value: float


def measure(way: str, order: int) -> Measurement:
  """Traces, lowers and compiles one way from cold caches."""
  with order_counts.context(way):
    jax.clear_caches()
    counts = order_counts.count(way, function, order, 1.0, (POINT,))
    jax.clear_caches()
    start = time.perf_counter()
    traced = jax.jit(WAYS[way](function, order)).trace(POINT)
    traced_at = time.perf_counter()
    compiled = traced.lower().compile()
    compiled_at = time.perf_counter()
    return Measurement(order, way, counts, traced_at - start,
                       compiled_at - traced_at, float(compiled(POINT)))


def run(max_order: int) -> Iterator[Measurement]:
  """Measures every way at every order from 1 to `max_order`.

  Raises:
    ValueError: `max_order` is not a whole number of 1 or more.
  """
  order_counts.validate_order(max_order)
  for order in range(1, max_order + 1):
    for way in WAYS:
      yield measure(way, order)


def _cells(row: Iterable[Any], width: int) -> str:
  return "".join(f"{cell:>{width}}" for cell in row)


def table(measurements: list[Measurement]) -> str:
  """Totals and times of every way by order, as text."""
  by_order: dict[int, dict[str, Measurement]] = {}
  for m in measurements:
    by_order.setdefault(m.order, {})[m.way] = m
  head = (f"{'':5}|{'equations':^24}|{'trace, ms':^27}|{'compile, ms':^27}\n"
          f"{'order':5}|{_cells(WAYS, 8)}|{_cells(WAYS, 9)}|{_cells(WAYS, 9)}")
  lines = [head, "-" * len(head.splitlines()[1])]
  for order, ways in by_order.items():
    row = [ways[w] for w in WAYS]
    lines.append(
        f"{order:>5}|" + _cells([m.counts.total() for m in row], 8) + "|"
        + _cells([f"{1e3 * m.trace_s:.1f}" for m in row], 9) + "|"
        + _cells([f"{1e3 * m.compile_s:.1f}" for m in row], 9))
  return "\n".join(lines)


def primitive_table(measurements: list[Measurement]) -> str:
  """Counts of every way by primitive at the highest order, as text."""
  last = measurements[-1].order
  counts = {m.way: m.counts for m in measurements if m.order == last}
  names = sorted(set().union(*counts.values()),
                 key=lambda name: (-counts["plain"][name], name))
  width = max(map(len, names))
  lines = [f"{f'order {last}':<{width}}" + _cells(WAYS, 8)]
  lines += [f"{name:<{width}}" + _cells([counts[w][name] for w in WAYS], 8)
            for name in names]
  return "\n".join(lines)


def figure(measurements: list[Measurement]):
  """The thread's figure: counts by primitive against order, log scale.

  Returns:
    A matplotlib figure with one panel a way. Needs the extra `plot`.
  """
  from jax_cse.orders import order_figure
  return order_figure.draw_counts("0.3 sin(t) t$^{10}$", [
      order_counts.OrderCounts(order_counts.TITLES[way], {
          m.order: m.counts for m in measurements if m.way == way})
      for way in WAYS])
