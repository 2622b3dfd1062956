"""A long training under CSE: no table grows with it, and no memory.

  tools/endurance [--steps N]

trains two small networks for N steps, one with a step that is compiled and
donates its state, one eagerly with `lax` functions, and now and then

- traces and compiles a new function for a batch of another size, every other
  time on a thread that then ends,
- and drops all of JAX's caches;

in three ways, each in a process of its own:

    plain                   without CSE, the control
    one context             all of it inside one `enabled()`
    a context per step      inside an `enabled()` for each step

36,000 steps are what an hour of training makes at ten steps a second.

The run fails if anything that `sizes` measures is larger in its last quarter
than in its second by more than `may_be` says; the first is there to fill the
caches and the budgets.
"""

import argparse
from collections.abc import Callable
import contextlib
import functools
import json
import subprocess
import sys
import threading
import time
from typing import Any

import jax

import jax_cse
import jax_cse.memo.memo_table   # so that its modules are there
from long_training.sizes import MEMORY, Peaks, process_sizes, sizes
from long_training.training import Training

WAYS = ("plain", "one context", "a context per step")
HOUR = 36_000
LOOK_EVERY = 50       # steps, at the tables
COUNT_EVERY = 1000    # at the process
TRACE_EVERY = 200     # a new function
CLEAR_EVERY = 2000    # `jax.clear_caches`


def run(way: str, steps: int, look: Callable[[int, Any], None],
        max_bytes: int | None = None) -> Training:
  """Trains for `steps`; `look(step, memo)` now and then, inside the context."""
  training = Training()
  context = (contextlib.nullcontext if way == "plain" else
             functools.partial(jax_cse.enabled, max_bytes=max_bytes))
  around: Callable[[], Any] = contextlib.nullcontext
  within: Callable[[], Any] = context
  if way == "one context":
    around, within = within, around

  def trace(n):
    with context():
      training.trace(n)

  with around() as outer:
    for i in range(1, steps + 1):
      with within() as inner:
        training.step()
        n, rest = divmod(i, TRACE_EVERY)
        if not rest and n % 2:
          thread = threading.Thread(target=trace, args=(n,))
          thread.start()
          thread.join()
        elif not rest:
          training.trace(n)
        if i % CLEAR_EVERY == 0:
          jax.clear_caches()
        if i % LOOK_EVERY == 0:
          look(i, outer or inner)
  return training


def child(way: str, steps: int) -> None:
  """Runs one way, and prints the peaks as JSON."""
  peaks, start = Peaks(steps), time.monotonic()

  def look(step, memo):
    peaks.note(step, sizes(memo))
    if step % COUNT_EVERY == COUNT_EVERY // 2:
      found = process_sizes()
      peaks.note(step, found)
      print(f"{way}: step {step}, {time.monotonic() - start:.0f} s, "
            f"{found[MEMORY] / 1024:.1f} MB, {found['live arrays']} arrays"
            + ("" if memo is None else f", {memo.nbytes} bytes held"),
            file=sys.stderr, flush=True)

  training = run(way, steps, look)
  json.dump({"quarters": peaks.quarters, "grown": peaks.grown(),
             "seconds": time.monotonic() - start,
             "losses": [float(x) for x in training.losses]}, sys.stdout)


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      prog="tools/endurance", description=__doc__,
      formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("--steps", type=int, default=HOUR)
  parser.add_argument("--way", choices=WAYS, action="append",
                      help="several times for several; all by default")
  parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
  args = parser.parse_args(argv)
  ways = args.way or WAYS
  if args.child:
    way, = args.way
    child(way, args.steps)
    return 0
  print(f"JAX {jax.__version__}, {args.steps} steps; the largest size in each "
        "quarter of the run", flush=True)
  grown, losses = [], set()
  for way in ways:
    out = subprocess.run(
        [sys.executable, "-m", "long_training.endurance", "--child", "--steps",
         str(args.steps), "--way", way],
        stdout=subprocess.PIPE, check=True).stdout
    result = json.loads(out)
    losses.add(tuple(result["losses"]))
    grown += [f"{name} ({way})" for name in result["grown"]]
    print(f"\n{way}: {result['seconds']:.0f} s, losses {result['losses']}")
    for name in sorted(set().union(*result["quarters"])):
      row = [quarter.get(name, 0) for quarter in result["quarters"]]
      print(f"  {name:<44}" + "".join(f"{n:>13,}" for n in row)
            + ("  GROWN" if name in result["grown"] else ""), flush=True)
  print(f"\ngrown: {', '.join(grown) or 'nothing'}; losses "
        + ("equal to the last bit" if len(losses) == 1 else "DIFFER"))
  return 1 if grown or len(losses) > 1 else 0


if __name__ == "__main__":
  sys.exit(main())
