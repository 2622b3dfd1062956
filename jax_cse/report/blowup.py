"""The thread's experiment: counts against the order of differentiation.

    f(t) = 0.3 * sin(t) * t**10

is differentiated by nested `jvp`, once more per order. Plain nested `jvp`
evaluates 2^N copies of what are N + 1 values, so its equations grow
exponentially; with CSE they grow as a polynomial. `jax.experimental.jet`, which
propagates Taylor coefficients, stands beside them.

Source: github.com/jax-ml/jax/issues/520, the script and its figure.
"""

from collections import Counter
from collections.abc import Iterator
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_cse.foundation.counting import count_primitives
from jax_cse.memo.contexts import disabled, enabled
from jax_cse.report.order_counts import (
    TITLES, WAYS, OrderCounts, nested_jvp, taylor, validate_order)

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
  make = taylor if way == "jet" else nested_jvp
  with (enabled if way == "cse" else disabled)():
    jax.clear_caches()
    counts = count_primitives(make(function, order))(POINT)
    jax.clear_caches()
    start = time.perf_counter()
    traced = jax.jit(make(function, order)).trace(POINT)
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
  validate_order(max_order)
  for order in range(1, max_order + 1):
    for way in WAYS:
      yield measure(way, order)


def table(measurements: list[Measurement]) -> str:
  """Totals and times of every way by order, as text."""
  by_order: dict[int, dict[str, Measurement]] = {}
  for m in measurements:
    by_order.setdefault(m.order, {})[m.way] = m
  head = (f"{'':5}|{'equations':^24}|{'trace, ms':^27}|{'compile, ms':^27}\n"
          f"{'order':5}|" + "".join(f"{w:>8}" for w in WAYS) + "|"
          + "|".join("".join(f"{w:>9}" for w in WAYS) for _ in range(2)))
  lines = [head, "-" * len(head.splitlines()[1])]
  for order, ways in by_order.items():
    row = [ways[w] for w in WAYS]
    lines.append(
        f"{order:>5}|" + "".join(f"{m.counts.total():>8}" for m in row) + "|"
        + "".join(f"{1e3 * m.trace_s:>9.1f}" for m in row) + "|"
        + "".join(f"{1e3 * m.compile_s:>9.1f}" for m in row))
  return "\n".join(lines)


def primitive_table(measurements: list[Measurement]) -> str:
  """Counts of every way by primitive at the highest order, as text."""
  last = measurements[-1].order
  counts = {m.way: m.counts for m in measurements if m.order == last}
  names = sorted(set().union(*counts.values()),
                 key=lambda name: (-counts["plain"][name], name))
  width = max(map(len, names))
  lines = [f"{'order ' + str(last):<{width}}"
           + "".join(f"{w:>8}" for w in WAYS)]
  lines += [f"{name:<{width}}" + "".join(f"{counts[w][name]:>8}" for w in WAYS)
            for name in names]
  return "\n".join(lines)


def figure(measurements: list[Measurement]):
  """The thread's figure: counts by primitive against order, log scale.

  Returns:
    A matplotlib figure with one panel a way. Needs the extra `plot`.
  """
  from jax_cse.report import pictures
  return pictures.draw_counts("0.3 sin(t) t$^{10}$", [
      OrderCounts(TITLES[way], {m.order: m.counts for m in measurements
                                if m.way == way}) for way in WAYS])
