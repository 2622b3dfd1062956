"""Random programs, drawn by hypothesis and compared with plain JAX.

  tools/fuzz [--programs N] [--seed S] [--kinds KINDS...]

draws N of them, or those of some kinds, in rounds of their own seeds, and goes
on after a program in which CSE can be seen; hypothesis prints the smallest.
What the programs are is in whole_programs.py, how they are compared in
differential.py; those that go by the roads of roads.py, one a round, are in
typed_programs.py, effect_programs.py and sharded_programs.py, and how in
road_programs.py. Those of kind "mixed", in mixed_programs.py, draw the road.
"""

import argparse
import collections
from collections.abc import Callable
import functools
import sys
import time
import traceback
from typing import NamedTuple

import jax
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import compiled_once
import differential
import effect_programs
import mixed_programs
import road_programs
import sharded_programs
import typed_programs
import whole_programs


class Kind(NamedTuple):
  """A kind of programs, and how they are compared.

  Attributes:
    share: of a campaign, in percent.
    check: compares a program that was drawn.
    drawn: strategies for the arguments of that.
    roads: those that it takes, by its last argument.
  """
  share: int
  check: Callable[..., str]
  drawn: tuple[st.SearchStrategy, ...]
  roads: tuple[str, ...] = ()


def _whole(share, way, depth):
  """The way of comparing, and how deep the programs nest."""
  return Kind(share, functools.partial(differential.check, way=way), (
      whole_programs.programs(depth, 6 if depth else 12),
      _one_of(whole_programs.ROWS),
      st.sampled_from([*differential.TRANSFORMS])))


def _one_of(table):
  return st.integers(0, len(table) - 1)


_around = st.sampled_from([*road_programs.AROUND])


def _typed(share, depth, wide):
  return Kind(share, functools.partial(road_programs.check_typed, wide), (
      typed_programs.programs(depth, 6 if depth else 12, wide),
      typed_programs.operands(wide), _around), road_programs.ROADS)


def _effects(share, programs):
  return Kind(share, road_programs.check_effects, (
      programs, _one_of(effect_programs.ROWS), _around), road_programs.ROADS)


# What a program costs is between 30 ms, of the flat ones, and 300, of those
# that are compiled; so the shares.
KINDS = {
    "flat eager": _whole(15, "eager", 0),
    "eager": _whole(3, "eager", 2),
    "flat traced": _whole(12, "traced", 0),
    "traced": _whole(10, "traced", 2),
    "rebuilt": _whole(5, "rebuilt", 1),
    "dispatched": _whole(1, "dispatched", 1),
    "compiled": _whole(1, "compiled", 2),
    "mixed": Kind(3, mixed_programs.check, (mixed_programs.cases,)),
    "typed": _typed(15, 0, wide=False),
    "nested typed": _typed(8, 1, wide=False),
    "typed in 64 bits": _typed(5, 0, wide=True),
    "effects": _effects(14, effect_programs.programs(1, 5)),
    "nested effects": _effects(4, effect_programs.programs(2, 4)),
    "callbacks with results": _effects(
        2, effect_programs.programs(1, 5, does=True)),
    "sharded": Kind(2, road_programs.check_sharded, (
        sharded_programs.programs(), _one_of(sharded_programs.ROWS), _around),
        road_programs.ROADS),
}
_ROUND = 250


def run(kind: str, programs: int, random_seed: int) -> collections.Counter:
  """Draws and compares programs; how they compared, counted.

  Those that go by roads take all of them in turn, by the seed.

  Raises:
    AssertionError: CSE could be seen; hypothesis prints the smallest program
      that it found in which it can.
  """
  _, check, drawn, roads = KINDS[kind]
  counts: collections.Counter = collections.Counter()
  if roads:
    drawn = (*drawn, st.just(roads[random_seed % len(roads)]))

  @seed(random_seed)
  # Explaining a failure would take ten times as long as shrinking it.
  @settings(max_examples=programs, deadline=None, database=None,
            phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck))
  @given(st.tuples(*drawn))
  def compare(arguments):
    counts[check(*arguments)] += 1

  compare()
  return counts


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--programs", type=int, default=50_000)
  parser.add_argument("--seed", type=int, default=0,
                      help="of the first round of each kind")
  parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
  args = parser.parse_args(argv)
  jax.config.update("jax_traceback_filtering", "off")
  jax.config.update("jax_num_cpu_devices", 2)   # for shard_map
  jax.config.update("jax_num_cpu_devices", 2)  # for shard_map
  with compiled_once.persistent_cache():
    totals = {kind: _campaign(kind, args.programs * KINDS[kind].share // 100,
                              args.seed) for kind in args.kinds}
  every = sum(totals.values(), collections.Counter())
  print(f"JAX {jax.__version__}: {every.total()} programs, seeds from "
        f"{args.seed}: {dict(every)}")
  return 1 if every["FAILED"] else 0


def _campaign(kind, wanted, random_seed):
  """Rounds of a kind, and how their programs compared."""
  total, start = collections.Counter(), time.monotonic()
  while wanted > total.total():
    try:
      total += run(kind, min(_ROUND, wanted - total.total()), random_seed)
    except AssertionError:
      total["FAILED"] += 1
      print(f"{kind}, seed {random_seed}:", flush=True)
      traceback.print_exc()
    random_seed += 1
    print(f"{kind}: {total.total()}/{wanted} {dict(total)}, "
          f"{time.monotonic() - start:.0f} s", flush=True)
  return total


if __name__ == "__main__":
  sys.exit(main())
