"""Random programs, drawn by hypothesis and compared with plain JAX.

  python tests/random_programs.py [--programs N] [--seed S]

draws N of them, of all kinds, in rounds of their own seeds, and goes on after a
program in which CSE can be seen; hypothesis prints the smallest such. What the
programs are is in whole_programs.py, how they are compared in differential.py.
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
import whole_programs

# The way of comparing, how deep the programs nest, and the share of a campaign
# that they have. Flat ones cost a fifth of nested ones, compiled ones the most.
KINDS = {
    "flat eager": ("eager", 0, 40),
    "eager": ("eager", 2, 24),
    "traced": ("traced", 2, 30),
    "dispatched": ("dispatched", 1, 3),
    "compiled": ("compiled", 2, 3),
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

  @seed(random_seed)
  # Explaining a failure would take ten times as long as shrinking it.
  @settings(max_examples=programs, deadline=None, database=None,
            phases=(Phase.generate, Phase.shrink), report_multiple_bugs=False,
            suppress_health_check=list(HealthCheck))
  @given(whole_programs.programs(depth, 6 if depth else 12),
         st.integers(0, len(whole_programs.ROWS) - 1),
         st.sampled_from(["none", *differential.TRANSFORMS]))
  def compare(program, row, transform):
    counts[differential.check(program, row, transform, way)] += 1

  compare()
  return counts


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--programs", type=int, default=50_000)
  parser.add_argument("--seed", type=int, default=0,
                      help="of the first round; the others count up from it")
  args = parser.parse_args(argv)
  jax.config.update("jax_traceback_filtering", "off")
  totals: dict[str, collections.Counter] = {}
  failures, start, random_seed = 0, time.monotonic(), args.seed
  for kind, (_, _, share) in KINDS.items():
    total = totals[kind] = collections.Counter()
    wanted = args.programs * share // 100
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
  print(f"JAX {jax.__version__}: {every.total()} programs, seeds {args.seed} "
        f"to {random_seed - 1}: {dict(every)}; {failures} rounds failed")
  return 1 if failures else 0


if __name__ == "__main__":
  sys.exit(main())
