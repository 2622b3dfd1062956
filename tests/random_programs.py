"""Random programs, drawn by hypothesis and compared with plain JAX.

  python tests/random_programs.py [--programs N] [--seed S] [--kinds KINDS...]

draws N of them, or those of some kinds, in rounds of their own seeds, and goes
on after a program in which CSE can be seen; hypothesis prints the smallest.
What the programs are is in whole_programs.py, how they are compared in
differential.py. Those of kind "mixed" are in mixed_programs.py and take the
roads of roads.py.
"""

import argparse
import collections
import sys
import time
import traceback

import jax
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

import differential
import mixed_programs
import whole_programs

# The way of comparing, how deep the programs nest, and the share of a campaign
# that they have, in percent. Nested ones cost 70 ms, three times what flat ones
# cost; those that are compiled cost 300.
KINDS = {
    "flat eager": ("eager", 0, 35),
    "eager": ("eager", 2, 6),
    "flat traced": ("traced", 0, 27),
    "traced": ("traced", 2, 20),
    "rebuilt": ("rebuilt", 1, 10),
    "dispatched": ("dispatched", 1, 1),
    "compiled": ("compiled", 2, 1),
    "mixed": ("mixed", 1, 5),
}
_ROUND = 250


def run(kind: str, programs: int, random_seed: int) -> collections.Counter:
  """Draws and compares programs; how they compared, counted.

  Raises:
    AssertionError: CSE could be seen; hypothesis prints the smallest program
      that it found in which it can.
  """
  way, depth, _ = KINDS[kind]
  counts: collections.Counter = collections.Counter()
  # Explaining a failure would take ten times as long as shrinking it.
  drawn = settings(
      max_examples=programs, deadline=None, database=None,
      phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
      suppress_health_check=list(HealthCheck))

  @seed(random_seed)
  @drawn
  @given(mixed_programs.cases)
  def compare_mixed(case):
    counts[mixed_programs.check(case)] += 1

  @seed(random_seed)
  @drawn
  @given(whole_programs.programs(depth, 6 if depth else 12),
         st.integers(0, len(whole_programs.ROWS) - 1),
         st.sampled_from(["none", *differential.TRANSFORMS]))
  def compare(program, row, transform):
    counts[differential.check(program, row, transform, way)] += 1

  if way == "mixed":
    compare_mixed()
  else:
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
  jax.config.update("jax_num_cpu_devices", 2)  # for shard_map
  totals: dict[str, collections.Counter] = {}
  failures, start = 0, time.monotonic()
  for kind in args.kinds:
    total = totals[kind] = collections.Counter()
    wanted = args.programs * KINDS[kind][2] // 100
    random_seed = args.seed
    while wanted > total.total():
      try:
        total += run(kind, min(_ROUND, wanted - total.total()), random_seed)
      except AssertionError:
        failures += 1
        total["FAILED"] += 1
        print(f"{kind}, seed {random_seed}:", flush=True)
        traceback.print_exc()
      random_seed += 1
      print(f"{kind}: {total.total()}/{wanted} {dict(total)}, "
            f"{time.monotonic() - start:.0f} s", flush=True)
  every = sum(totals.values(), collections.Counter())
  print(f"JAX {jax.__version__}: {every.total()} programs, seeds from "
        f"{args.seed}: {dict(every)}; {failures} rounds failed")
  return 1 if failures else 0


if __name__ == "__main__":
  sys.exit(main())
