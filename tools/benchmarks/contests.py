"""One workload, several ways, several stages: a line a way.

Before anything is timed every way is run, its values are compared with those of
plain code, and its equations are counted: memo may not have more than plain. A
way of ours that differs or raises ends the entry; another keeps its line, which
says so.

Then the ways take turns from cold caches, the first of a turn the last of the
next, until the seconds of the contest are spent. A turn takes all times from
tracing to the first result. What was compiled runs in turns afterwards.
"""

from collections.abc import Callable, Iterator
import contextlib
import itertools
import re
import time
from typing import Any, NamedTuple

import jax
import numpy as np

from benchmarks import contenders
from benchmarks.frame import BEHIND, SLOWER, Line, Ratio, ratio, seconds, settle
import jax_cse

STAGES = ("trace", "lower", "compile", "first result", "run")
_NOTHING = dict.fromkeys(("StableHLO", *STAGES), "-")
_RUNS = 15
# A turn of running is as many calls as take plain code this long.
_RUN_SECONDS = 3e-3


class Contest(NamedTuple):
  """A name, ways to the same values, and what they are called with.

  `ways` must have "plain", the control; "memo" and "Enzyme-JAX" are made of it.
  """
  name: str
  ways: dict[str, Callable]
  args: tuple
  budget: float = 15.

  def lines(self, quick: bool) -> Iterator[Line]:
    jax.clear_caches()
    plain, *ways = [_checked(way, fun, self.args)
                    for way, fun in _all(self.ways).items()]
    if isinstance(plain, _Refused):
      raise plain.error
    for way in ways:
      if isinstance(way, _Refused) and contenders.is_ours(way.name):
        raise way.error
      if isinstance(way, _Checked):
        difference = _difference(way.values, plain.values)
        if difference and contenders.is_ours(way.name):
          raise AssertionError((self.name, way.name, difference))
        if way.name == "memo":
          assert way.equations <= plain.equations, (self.name, way.equations)
    good = [plain] + [w for w in ways if isinstance(w, _Checked)
                      and not _difference(w.values, plain.values)]
    times = _times(good, self.args, self.budget, quick)
    ratios = {w.name: {stage: ratio(times[w.name][stage],
                                    times["plain"][stage])
                       for stage in STAGES} for w in good}
    for way in (plain, *ways):
      name = f"{self.name}, {way.name}"
      if way.name in ratios:
        found = ratios[way.name]
        yield Line(name, {"equations": _equations(way),
                          "StableHLO": f"{way.operations:,}"} | (
            dict.fromkeys(STAGES, "1") if way is plain else found),
                   _losses(way.name, ratios),
                   ours=contenders.is_ours(way.name))
      else:
        what = (type(way.error).__name__ if isinstance(way, _Refused)
                else "wrong value")
        yield Line(name, {"equations": what} | _NOTHING)
    absent = [name for name in (*contenders.OURS, *contenders.OTHERS)
              if name not in {w.name for w in ways}]
    for why, names in (
        ("no form of it", filter(contenders.is_installed, absent)),
        ("not installed", itertools.filterfalse(contenders.is_installed,
                                                absent))):
      if names := ", ".join(names):
        yield Line(f"{self.name}, {why}: {names}",
                   {"equations": "-"} | _NOTHING, ours=False)


class _Checked(NamedTuple):
  """A way that ran: in which context, to what values, at what size."""
  name: str
  fun: Callable
  context: Callable[[], Any]
  values: Any
  equations: int
  operations: int
  compiled: Callable


class _Refused(NamedTuple):
  name: str
  error: Exception


def _all(ways):
  """All ways of a contest in the order in which they are printed."""
  ways = ways | {"memo": ways["plain"],
                 "Enzyme-JAX": contenders.enzyme(ways["plain"])}
  order = ("plain", *contenders.OURS, *contenders.OTHERS)
  return {name: ways[name] for name in (*order, *ways) if name in ways}


def _checked(name, fun, args):
  context = jax_cse.enabled if name == "memo" else contextlib.nullcontext
  try:
    with context():
      equations = jax_cse.count_primitives(fun)(*args).total()
      lowered = _fresh(fun).lower(*args)
      compiled = lowered.compile()
      return _Checked(name, fun, context, compiled(*args), equations,
                      operations(lowered), compiled)
  except Exception as e:  # whatever it is, the line says so
    return _Refused(name, e)


def operations(lowered) -> int:
  """StableHLO operations of what a function is lowered to, and constants."""
  return len(re.findall(r'= "?(?:stablehlo|chlo)\.', lowered.as_text()))


def _equations(way):
  # What Enzyme-JAX is given is one equation.
  return "-" if way.name == "Enzyme-JAX" else f"{way.equations:,}"


def _fresh(fun):
  """A new function each time, so that no cache has its jaxpr."""
  return jax.jit(lambda *xs: fun(*xs))


def _difference(got, wanted) -> str:
  """Where values differ by more than rounding in float32 explains, or ""."""
  for a, b in itertools.zip_longest(map(np.asarray, jax.tree.leaves(got)),
                                    map(np.asarray, jax.tree.leaves(wanted))):
    if a is None or b is None or a.shape != b.shape:
      return "other shapes"
    scale = np.max(np.abs(b), initial=1e-6)
    if not np.allclose(a, b, rtol=1e-2, atol=1e-3 * scale, equal_nan=True):
      return f"by up to {np.max(np.abs(a - b)):.3g} of {scale:.3g}"
  return ""


def _times(ways, args, budget, quick):
  """Seconds by way and stage, one a turn."""
  times = {w.name: {stage: [] for stage in STAGES} for w in ways}
  settle()
  started = time.perf_counter()
  for turn in itertools.count():
    enough = 1 if quick else 3
    if turn >= enough and (quick or turn >= 9 or time.perf_counter() - started
                           > budget * turn / (turn + 1)):
      break
    for way in ways if turn % 2 else ways[::-1]:
      for stage, spent in zip(STAGES, _cold(way, args)):
        times[way.name][stage].append(spent)
  calls = max(1, int(_RUN_SECONDS / max(
      min(seconds(lambda: _run(ways[0], args, 1)) for _ in range(3)), 1e-6)))
  for turn in range(1 if quick else _RUNS):
    for way in ways if turn % 2 else ways[::-1]:
      times[way.name]["run"].append(
          seconds(lambda way=way: _run(way, args, calls)))
  return times


def _run(way, args, calls):
  for _ in range(calls):
    jax.block_until_ready(way.compiled(*args))


def _cold(way, args):
  jax.clear_caches()
  with way.context():
    start = time.perf_counter()
    traced = _fresh(way.fun).trace(*args)
    traced_at = time.perf_counter()
    lowered = traced.lower()
    lowered_at = time.perf_counter()
    compiled = lowered.compile()
    compiled_at = time.perf_counter()
  jax.block_until_ready(compiled(*args))
  return (traced_at - start, lowered_at - traced_at, compiled_at - lowered_at,
          time.perf_counter() - start)


def _losses(name: str, ratios: dict[str, dict[str, Ratio]]) -> dict[str, str]:
  if not contenders.is_ours(name):
    return {}
  losses = {}
  for stage, found in ratios[name].items():
    best = min((ratios[other][stage].median for other in ratios
                if other != "plain" and not contenders.is_ours(other)),
               default=float("inf"))
    marks = (SLOWER * (found.median > 1) + BEHIND * (found.median > best))
    if marks:
      losses[stage] = marks
  return losses
