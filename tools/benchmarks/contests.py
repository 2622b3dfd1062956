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
from benchmarks.frame import Line, ratio, seconds, settle
from benchmarks.sizes import Size
import jax_cse

STAGES = ("trace", "lower", "compile", "first result", "run")
_NOTHING = dict.fromkeys(("StableHLO", *STAGES), "-")
_MOST = 9
_RUNS = 15
# A turn of running is as many calls as take plain code this long.
_RUN_SECONDS = 3e-3


class Contest(NamedTuple):
  """A name, ways to the same values, and what they are called with.

  `ways` must have "plain", the control; "memo" and "Enzyme-JAX" are made of it.
  There are as many turns from cold caches as fit into `budget` seconds, but no
  fewer than `least` and no more than 9.
  """
  name: str
  ways: dict[str, Callable]
  args: tuple
  budget: float = 15.
  least: int = 3

  def lines(self, size: Size) -> Iterator[Line]:
    ways = _checked(self)
    good = [way for way in ways if isinstance(way, _Way)]
    times = _times(good, self.args, size.of(0., 1., self.budget),
                   size.of(1, 1, self.least), size.of(1, 9, _RUNS))
    control = times["plain"]
    ratios = {stage: {name: ratio(spent[stage], control[stage])
                      for name, spent in times.items()} for stage in STAGES}
    for way in ways:
      name, ours = f"{self.name}, {way.name}", contenders.is_ours(way.name)
      if isinstance(way, _Refused):
        yield Line(name, {"equations": way.why} | _NOTHING, ours=ours)
        continue
      counts = {"equations": _equations(way), "StableHLO": way.operations}
      yield Line(name, counts | {
          stage: 1. if way.name == "plain" else found[way.name]
          for stage, found in ratios.items()}, {
              stage: contenders.marks(way.name, found)
              for stage, found in ratios.items()}, ours=ours)
    for why, names in _absent(way.name for way in ways):
      yield Line(f"{self.name}, {why}: {', '.join(names)}",
                 {"equations": "-"} | _NOTHING, ours=False)


class _Way(NamedTuple):
  """A way that ran: in which context, to what values, at what size."""
  name: str
  fun: Callable
  context: Callable[[], Any]
  values: Any
  equations: int
  operations: int
  compiled: Callable


class _Refused(NamedTuple):
  """A way that raised, or came to something else."""
  name: str
  why: str


def _checked(contest) -> list[_Way | _Refused]:
  """Runs every way of a contest once, "plain" first."""
  ways = contest.ways | {"memo": contest.ways["plain"],
                         "Enzyme-JAX": contenders.enzyme(contest.ways["plain"])}
  order = ("plain", *contenders.OURS, *contenders.OTHERS)
  jax.clear_caches()
  plain = _tried("plain", ways["plain"], contest.args)
  found = [plain]
  for name in (*order[1:], *(name for name in ways if name not in order)):
    if name not in ways:
      continue
    try:
      way = _tried(name, ways[name], contest.args)
    except Exception as e:  # whatever it is, the line says so
      if contenders.is_ours(name):
        raise
      found.append(_Refused(name, type(e).__name__))
      continue
    difference = _difference(way.values, plain.values)
    if contenders.is_ours(name):
      assert not difference, (contest.name, name, difference)
    if name == "memo":
      assert way.equations <= plain.equations, (contest.name, way.equations)
    found.append(_Refused(name, "wrong value") if difference else way)
  return found


def _tried(name, fun, args):
  context = jax_cse.enabled if name == "memo" else contextlib.nullcontext
  with context():
    equations = jax_cse.count_primitives(fun)(*args).total()
    lowered = _fresh(fun).lower(*args)
    compiled = lowered.compile()
  return _Way(name, fun, context, jax.block_until_ready(compiled(*args)),
              equations, operations(lowered), compiled)


def _absent(names) -> Iterator[tuple[str, list[str]]]:
  """Known ways that a contest does not have, by the reason."""
  absent = {*contenders.OURS, *contenders.OTHERS} - {*names}
  absent = [name for name in (*contenders.OURS, *contenders.OTHERS)
            if name in absent]
  for why, installed in (("no form of it", True), ("not installed", False)):
    if there := [name for name in absent
                 if contenders.is_installed(name) == installed]:
      yield why, there


def operations(lowered) -> int:
  """StableHLO operations of what a function is lowered to, and constants."""
  return len(re.findall(r'= "?(?:stablehlo|chlo)\.', lowered.as_text()))


def _equations(way):
  # What Enzyme-JAX is given is one equation.
  return "-" if way.name == "Enzyme-JAX" else way.equations


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


def _times(ways, args, budget, least, runs):
  """Seconds by way and stage, one a turn."""
  times = {w.name: {stage: [] for stage in STAGES} for w in ways}
  settle()
  started = time.perf_counter()
  for turn in range(_MOST):
    # One more takes as long as each before it.
    if turn >= least and (time.perf_counter() - started) * (turn + 1) > (
        budget * turn):
      break
    for way in ways if turn % 2 else ways[::-1]:
      for stage, spent in zip(STAGES, _cold(way, args)):
        times[way.name][stage].append(spent)
  calls = max(1, int(_RUN_SECONDS / max(
      min(seconds(lambda: _run(ways[0], args, 1)) for _ in range(3)), 1e-6)))
  for turn in range(runs):
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
