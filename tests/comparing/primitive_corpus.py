"""The primitive corpus that comes in JAX's wheel, with and without CSE.

`jax._src.internal_test_util.test_harnesses` has thousands of small functions,
each one use of one primitive: every type, and the corners of the params. Here
each is run eagerly and under jit, twice in a row inside one context, so that
the second run is made of hits, and must give the bits that plain JAX gives, or
raise what plain JAX raises.

  tools/primitive_corpus [--part I/N] [--roads ROADS...] [SUBSTRING]

runs all of it (or the I-th of N parts, or the cases whose name has SUBSTRING),
that way, named "hits", and through the roads of roads.py, used as
corpus_roads.py says; with JAX_ENABLE_X64=1 there are 7,526 cases instead of
5,594. tests/end_to_end/test_primitive_corpus.py runs a sample.
"""

import argparse
import collections
import sys
import time
import zlib

import jax
from jax._src.internal_test_util import test_harnesses
import numpy as np

import checking
import compiled_once
import corpus_roads
import jax_cse
import roads


def cases(backend="cpu"):
  """The harnesses that JAX implements on this backend."""
  return [h for h in test_harnesses.all_harnesses if h.filter(backend)]


def sample(per_primitive):
  """At most that many cases of each primitive, of types as different as may be.

  Cases of one type are taken in the order of a hash of their names, so that
  neighbours in the corpus, which are alike, are not taken together.
  """
  by_primitive = collections.defaultdict(lambda: collections.defaultdict(list))
  for case in sorted(cases(), key=lambda h: zlib.crc32(h.fullname.encode())):
    by_primitive[case.group_name][np.dtype(case.dtype)].append(case)
  chosen = []
  for by_type in by_primitive.values():
    rounds = max(map(len, by_type.values()))
    turns = [by_type[t][i] for i in range(rounds) for t in by_type
             if i < len(by_type[t])]
    chosen += turns[:per_primitive]
  return chosen


def check(case) -> str:
  """Runs one case; AssertionError if CSE can be seen.

  Returns what the comparison was worth: "hit" if the second run in the context
  hit, "no hit" if CSE had nothing to give back, "raises" if plain JAX raises.
  """
  seed = zlib.crc32(case.fullname.encode())
  args = jax.device_put(case.dyn_args_maker(np.random.RandomState(seed)))
  worth = []
  # A function of its own each time, so that no cache of plain JAX serves CSE.
  for name, make in (("eager", lambda: lambda *xs: case.dyn_fun(*xs)),
                     ("jit", lambda: jax.jit(
                         lambda *xs: [case.dyn_fun(*xs), case.dyn_fun(*xs)]))):
    plain = checking.attempt(make(), *args)
    with jax_cse.enabled() as memo:
      fun = make()
      first = checking.attempt(fun, *args)
      before = memo.stats.hits if name == "eager" else 0
      again = checking.attempt(fun, *args)
      hit = memo.stats.hits > before
    _assert_same(first, plain, f"{case.fullname}, {name}")
    _assert_same(again, plain, f"{case.fullname}, {name}, a second time")
    worth.append("raises" if isinstance(plain, Exception)
                 else "hit" if hit else "no hit")
  return " and ".join(dict.fromkeys(worth))


def _assert_same(actual, plain, message):
  if isinstance(plain, Exception) or isinstance(actual, Exception):
    assert type(actual) is type(plain), f"{message}: {actual!r}, not {plain!r}"
  else:
    checking.assert_same_bits(_data(actual), _data(plain), message)


def _data(tree):
  """Keys of random numbers have bits only as their data."""
  return jax.tree.map(
      lambda x: jax.random.key_data(x)
      if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
          x.dtype, jax.dtypes.prng_key) else x, tree)


def main(argv=None) -> int:
  parser = argparse.ArgumentParser(
      description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
  parser.add_argument("substring", nargs="?", default="")
  parser.add_argument("--part", default="0/1", metavar="I/N")
  names = ["hits", *corpus_roads.DEFAULT]
  parser.add_argument("--roads", nargs="+", choices=names, default=names)
  args = parser.parse_args(argv)
  part, parts = map(int, args.part.split("/"))
  chosen = [c for c in cases() if args.substring in c.fullname][part::parts]
  with compiled_once.persistent_cache():
    worth, failed = run(chosen, args.roads)
  print(f"JAX {jax.__version__}, {jax.default_backend()}, x64 "
        f"{jax.config.jax_enable_x64}: {len(chosen)} cases of "
        f"{len({c.group_name for c in chosen})} primitives")
  for road in args.roads:
    print(f"{road}: {dict(worth[road])}; failed: {failed[road]}")
  return 1 if any(failed.values()) or not chosen else 0


def run(chosen, roads_taken):
  """How the cases compared, counted by road, and the names of failures."""
  worth = {road: collections.Counter() for road in roads_taken}
  failed = {road: [] for road in roads_taken}
  start = time.monotonic()
  for i, case in enumerate(chosen):
    for road, outcome in outcomes(case, roads_taken):
      if isinstance(outcome, Exception):
        print(f"FAILED {case.fullname}: {type(outcome).__name__} "
              f"{str(outcome)[:2000]}", flush=True)
        failed[road].append(case.fullname)
        outcome = "FAILED"
      worth[road][outcome] += 1
    if i % 100 == 99:
      print(f"{i + 1}/{len(chosen)}, {time.monotonic() - start:.0f} s: "
            f"{ {road: dict(counts) for road, counts in worth.items()} }",
            flush=True)
      jax.clear_caches()
  return worth, failed


def outcomes(case, roads_taken):
  """For each road how it compared, or in what way it failed."""
  uses = corpus_roads.Uses(case)
  for road in roads_taken:
    if road == "hits":
      yield road, checking.attempt(check, case)
    elif (plain := uses.of(road)) is not None:
      yield road, checking.attempt(roads.check, road, plain)


if __name__ == "__main__":
  sys.exit(main())
