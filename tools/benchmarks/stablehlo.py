"""How many StableHLO operations are left before XLA sees the program."""

from collections.abc import Iterator

import jax
from jax import lax

from benchmarks import contenders
from benchmarks.contests import operations
from benchmarks.frame import Line, enabled, entry
from benchmarks.sizes import Size
import jax_cse
from jax_cse.orders import blowup
from jax_cse.orders.order_counts import nested_jvp


def _operations(fun, *args) -> int:
  return operations(jax.jit(fun).lower(*args))


def _nested_grad(fun, order):
  for _ in range(order):
    fun = jax.grad(fun)
  return fun


@entry("StableHLO operations before XLA, every way over plain")
def stablehlo_operations(size: Size) -> Iterator[Line]:
  for name, fun in (
      ("tanh, nested jvp", nested_jvp(lax.tanh, 3 if size.quick else 7)),
      ("tanh, nested grad", _nested_grad(lax.tanh, 2 if size.quick else 6)),
      ("thread, nested jvp",
       nested_jvp(blowup.function, 3 if size.quick else 7))):
    ways = {
        "plain": lambda fun=fun: _operations(fun, 0.5),
        "memo": enabled(lambda fun=fun: _operations(lambda t: fun(t), 0.5)),
        "explicit": lambda fun=fun: _operations(jax_cse.cse(fun), 0.5),
        "Enzyme-JAX": lambda fun=fun: _operations(contenders.enzyme(fun), 0.5)}
    counts, refused = {}, {}
    for way, count in ways.items():
      try:
        counts[way] = count()
      except Exception as e:  # whatever it is, the line says so
        if way not in contenders.OTHERS:
          raise
        refused[way] = type(e).__name__
    assert counts["memo"] <= counts["plain"], (name, counts)
    ratios = {way: count / counts["plain"] for way, count in counts.items()}
    for way in ways:
      ours = contenders.is_ours(way)
      yield Line(f"{name}, {way}", {
          "operations": refused.get(way) or counts[way],
          "ratio": ratios[way] if way in ratios and way != "plain" else "-"},
                 {"ratio": contenders.marks(way, ratios)} if ours else {},
                 ours=ours)
