"""How many StableHLO operations are left before XLA sees the program."""

from collections.abc import Iterator

import jax
from jax import lax

from benchmarks import contenders
from benchmarks.contests import operations
from benchmarks.frame import SLOWER, Line, Ratio, enabled, entry
import jax_cse
from jax_cse import blowup


def _operations(fun, *args) -> int:
  return operations(jax.jit(fun).lower(*args))


def _nested_grad(fun, order):
  for _ in range(order):
    fun = jax.grad(fun)
  return fun


@entry("StableHLO operations before XLA, every way over plain")
def stablehlo_operations(quick: bool) -> Iterator[Line]:
  for name, fun in (
      ("tanh, nested jvp", blowup.nested_jvp(lax.tanh, 3 if quick else 7)),
      ("tanh, nested grad", _nested_grad(lax.tanh, 2 if quick else 6)),
      ("thread, nested jvp", blowup.nested_jvp(blowup.function,
                                               3 if quick else 7))):
    plain = _operations(fun, 0.5)
    for way, count in {
        "memo": lambda fun=fun: enabled(lambda: _operations(
            lambda t: fun(t), 0.5))(),
        "explicit": lambda fun=fun: _operations(jax_cse.cse(fun), 0.5),
        "Enzyme-JAX": lambda fun=fun: _operations(contenders.enzyme(fun), 0.5),
    }.items():
      try:
        found = count()
      except Exception as e:  # whatever it is, the line says so
        if way in contenders.OURS:
          raise
        yield Line(f"{name}, {way}", {"plain": f"{plain:,}",
                                      "left": type(e).__name__, "ratio": "-"})
        continue
      assert way not in contenders.OURS or found <= plain
      yield Line(f"{name}, {way}",
                 {"plain": f"{plain:,}", "left": f"{found:,}",
                  "ratio": Ratio(*(found / plain,) * 3)},
                 {"ratio": SLOWER} if way in contenders.OURS and found > plain
                 else {}, ours=way in contenders.OURS)
