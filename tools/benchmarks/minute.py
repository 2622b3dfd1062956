"""The largest order that plain nested `jvp` finishes in a minute.

From `jit` to the first result, tracing, lowering, compiling and running, in a
process of its own that has done nothing before but start XLA. The order goes up
by one until plain code takes longer than the limit, or is bound to; at the last
order within it the others take their turns. More than the limit is not waited
for.

    python -m benchmarks.minute FUNCTION WAY ORDER   # prints seconds and value
"""

from collections.abc import Iterator
import contextlib
import json
import os
import subprocess
import sys
import time

import jax
import numpy as np

from benchmarks import contenders
from benchmarks.frame import Line, entry, ratio
from benchmarks.side_by_side import FUNCTIONS
from benchmarks.sizes import Size
import jax_cse
from programs import POINT

_LIMIT_SECONDS = 60.
_NAMES = ("thread", "network of width 64", "scan", "attention")
_WAYS = ("memo", "explicit", "derivatives", "jet", "jet-array", "Enzyme-JAX")
_LOWEST = 4
# Not tried is what is expected to take so many limits, by the last factor.
_HOPELESS = 1.5
_TURNS = 3
# What takes longer is measured once.
_AGAIN_SECONDS = 20.


def _first_result(name: str, way: str, order: int) -> tuple[float, float]:
  """Seconds until there is a value, and the value."""
  fun = FUNCTIONS[name]
  if way == "Enzyme-JAX":
    derivative = contenders.enzyme(contenders.DERIVATIVE["plain"](fun, order))
  else:
    derivative = contenders.DERIVATIVE["plain" if way == "memo" else way](
        fun, order)
  jax.jit(lambda t: t + 1)(POINT)   # starts XLA
  jax.clear_caches()
  print("started", flush=True)
  start = time.perf_counter()
  with jax_cse.enabled() if way == "memo" else contextlib.nullcontext():
    value = float(jax.jit(derivative)(POINT))
  return time.perf_counter() - start, value


def _measure(name, way, order, limit) -> tuple[float, float] | str:
  """The same in a new process, or why there is none."""
  with subprocess.Popen(
      [sys.executable, "-m", "benchmarks.minute", name, way, str(order)],
      stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}) as process:
    process.stdout.readline()
    try:
      out, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
      process.kill()
      return f"over {limit:.0f} s"
  if process.returncode:
    last = errors.strip().splitlines()[-1] if errors.strip() else ""
    return last.split(":")[0].split(".")[-1] or f"exit {process.returncode}"
  return tuple(json.loads(out))


def _climb(name, limit, highest):
  """The last order within the limit, its seconds and value; what ended it."""
  found, factor = None, 0.
  for order in range(min(_LOWEST, highest), highest + 1):
    if found and found[0] * factor > _HOPELESS * limit:
      return order - 1, found, f"not tried, {found[0] * factor:.0f} s expected"
    next_ = _measure(name, "plain", order, limit)
    if isinstance(next_, str) or next_[0] > limit:
      assert found is not None, (name, next_)
      why = next_ if isinstance(next_, str) else f"over {limit:.0f} s"
      return order - 1, found, why
    factor = next_[0] / found[0] if found else 0.
    found = next_
  return highest, found, "not tried"


def _lines(name, limit, turns, highest, ways) -> Iterator[Line]:
  order, (spent, value), why = _climb(name, limit, highest)
  plain = [spent]
  found = {"order": order, "plain takes": f"{spent:.1f} s"}
  yield Line(f"{name}, plain", found | {
      "ratio": f"order {order + 1}: {why}"}, ours=False)
  times: dict[str, list[float]] = {way: [] for way in ways}
  refused = {}
  for turn in range(turns):
    if turn and spent < _AGAIN_SECONDS:
      took = _measure(name, "plain", order, 2 * limit)
      assert not isinstance(took, str), took
      plain.append(took[0])
    for way in ways:
      if way in refused or times[way][:1] > [_AGAIN_SECONDS]:
        continue
      took = _measure(name, way, order, limit)
      if isinstance(took, str):
        refused[way] = took
      elif not np.isclose(took[1], value, rtol=1e-2):
        refused[way] = f"wrong value, {took[1]:.6g} for {value:.6g}"
      else:
        times[way].append(took[0])
      assert (way not in refused or not contenders.is_ours(way)
              or "over" in refused[way]), (name, way, refused[way])
  plain += plain[-1:] * (turns - len(plain))
  ratios = {way: ratio(times[way], plain) for way in ways if way not in refused}
  for way in ways:
    if way in refused:
      yield Line(f"{name}, {way}", found | {"ratio": refused[way]})
      continue
    yield Line(f"{name}, {way}", found | {"ratio": ratios[way]},
               {"ratio": contenders.marks(way, ratios)},
               ours=contenders.is_ours(way))


@entry("first result at the largest order that plain nested jvp has in 10 s, "
       "in full 60")
def minute(size: Size) -> Iterator[Line]:
  if size.quick:
    yield from _lines("thread", _LIMIT_SECONDS, 1, highest=2, ways=_WAYS[::3])
    return
  limit, turns, names = (_LIMIT_SECONDS, _TURNS, _NAMES) if size.full else (
      10., 1, _NAMES[:1])
  for name in names:
    yield from _lines(name, limit, turns, 20, _WAYS)


if __name__ == "__main__":
  print(json.dumps(_first_result(*sys.argv[1:3], int(sys.argv[3]))))
