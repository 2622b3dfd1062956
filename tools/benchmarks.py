"""Benchmarks of jax_cse. Every figure is a ratio against a control, plain JAX
if nothing else is said, measured in the same run; a time by itself says more
about the machine.

An entry is a generator function under `@entry(...)` that checks counts first
and then yields one `Case` for each row:

    @entry("what it measures")
    def name():
      assert ...
      yield Case("row", control=..., candidate=..., limit=1.25)

Control and candidate take turns, so that a slow minute of the machine hits
both. The row shows the ratio of the medians, the range of the ratios of the
turns, and the limit that the project holds itself to, if there is one.
"""

import argparse
from collections.abc import Callable, Iterator
import functools
import gc
import math
import platform
import statistics
import sys
import time
from typing import NamedTuple

import jax
from jax import lax
from jax.experimental import jet
import jax.numpy as jnp

import jax_cse
from jax_cse import blowup

sys.path.insert(0, __file__.rsplit("/", 2)[0] + "/tests")
from programs import POINT, PROGRAMS  # noqa: E402
from specs import SMOOTH  # noqa: E402

ENTRIES: dict[str, tuple[str, Callable]] = {}


class Case(NamedTuple):
  """One row: two functions without arguments, and the highest ratio allowed.

  `prepare` runs before each of them and is not timed.
  """
  name: str
  control: Callable[[], object]
  candidate: Callable[[], object]
  limit: float | None = None
  turns: int = 15
  prepare: Callable[[], object] = lambda: None


class Count(NamedTuple):
  """One row: two numbers, and the highest ratio allowed."""
  name: str
  control: float
  candidate: float
  limit: float | None = None


def entry(what: str):
  def register(function):
    ENTRIES[function.__name__.replace("_", "-")] = (what, function)
    return function
  return register


def seconds(function: Callable[[], object]) -> float:
  start = time.perf_counter()
  function()
  return time.perf_counter() - start


def enabled(function: Callable[[], object]) -> Callable[[], object]:
  """`function` with CSE, in a context of its own each time."""
  def run():
    with jax_cse.enabled():
      return function()
  return run


def compare(case: Case | Count) -> tuple[float, float, float]:
  """Ratio of the medians, and the least and the greatest of the turns."""
  if isinstance(case, Count):
    return (case.candidate / case.control,) * 3
  case.control()
  case.candidate()
  # What earlier entries left is not walked by the collections that a case sets
  # off; what the case itself allocates is.
  gc.collect()
  gc.freeze()
  controls, candidates = [], []
  pair = [(case.control, controls), (case.candidate, candidates)]
  for turn in range(case.turns):
    # Who is second is 1 to 3 % slower where both are in processes of their own.
    for function, times in pair[::-1] if turn % 2 else pair:
      case.prepare()
      times.append(seconds(function))
  ratios = [b / a for a, b in zip(controls, candidates)]
  return (statistics.median(candidates) / statistics.median(controls),
          min(ratios), max(ratios))


# ---- entries ----


def transformer(layers=24, width=64, heads=4, length=16):
  """Loss, parameters and input of a transformer with tanh-gelu."""
  def init(key):
    keys = jax.random.split(key, 6)
    sizes = {"q": (width, width), "k": (width, width), "v": (width, width),
             "o": (width, width), "up": (width, 4 * width),
             "down": (4 * width, width)}
    block = {name: 0.02 * jax.random.normal(k, size)
             for k, (name, size) in zip(keys, sizes.items())}
    return block | {"scale": jnp.ones((2, width)),
                    "shift": jnp.zeros((2, width))}

  def normalize(x, scale, shift):
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift

  def attend(p, x):
    q, k, v = ((x @ p[n]).reshape(length, heads, width // heads) for n in "qkv")
    scores = jnp.einsum("thd,shd->hts", q, k) / jnp.sqrt(width // heads)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    out = jnp.einsum("hts,shd->thd", jax.nn.softmax(scores), v)
    return out.reshape(length, width) @ p["o"]

  def block(p, x):
    x = x + attend(p, normalize(x, p["scale"][0], p["shift"][0]))
    y = normalize(x, p["scale"][1], p["shift"][1]) @ p["up"]
    y = 0.5 * y * (1 + jnp.tanh(jnp.sqrt(2 / jnp.pi) * (y + 0.044715 * y**3)))
    return x + y @ p["down"]

  def loss(params, x):
    for p in params:
      x = block(p, x)
    return jnp.mean(x ** 2)

  params = [init(k) for k in jax.random.split(jax.random.key(0), layers)]
  return loss, params, jnp.ones((length, width))


@entry("tracing a program in which almost nothing is redundant")
def overhead_of_tracing() -> Iterator[Case]:
  loss, params, x = transformer()

  def trace():
    # A new function each time, so that no cache has the jaxpr.
    return jax.make_jaxpr(
        lambda p, y: jax.value_and_grad(loss)(p, y))(params, x)

  plain, merged = len(trace().eqns), len(enabled(trace)().eqns)
  assert 0.85 * plain < merged <= plain, (plain, merged)
  yield Case(f"value_and_grad of a 24-layer transformer, {plain:,} equations",
             trace, enabled(trace), limit=1.25)


@entry("eager lax calls that miss, each on an array not seen before")
def overhead_of_an_eager_miss() -> Iterator[Case]:
  calls = 2000
  scalars = [jnp.float32(i) for i in range(calls)]
  rows = [jnp.arange(3.0) + i for i in range(calls)]
  matrices = [jnp.full((64, 64), 1.0 + i) for i in range(calls)]
  for name, operation, operands in (
      ("sin of a scalar", lax.sin, scalars),
      ("add of two scalars", lambda x: lax.add(x, x), scalars),
      ("sum of a row of 3", lambda x: lax.reduce_sum(x, (0,)), rows),
      ("product of 64 x 64 matrices", lambda x: lax.dot(x, x), matrices)):

    def run(operation=operation, operands=operands):
      for x in operands:
        operation(x)

    with jax_cse.enabled() as memo:
      run()
    assert (memo.stats.hits, memo.stats.misses) == (0, calls), memo.stats
    yield Case(name, run, enabled(run), limit=1.5)


@entry("eager lax calls that hit")
def gain_of_an_eager_hit() -> Iterator[Case]:
  calls = 500
  for name, operation, x in (
      ("sin of a scalar", lax.sin, jnp.float32(1)),
      ("sin of a million numbers", lax.sin, jnp.ones(1_000_000)),
      ("product of 512 x 512 matrices", lambda x: lax.dot(x, x),
       jnp.ones((512, 512)))):

    def run(operation=operation, x=x):
      for _ in range(calls if x.size == 1 else calls // 50):
        operation(x).block_until_ready()

    yield Case(name, run, enabled(run), turns=7)


@entry("nested jvp of the thread's function, from cold caches")
def nested_jvp() -> Iterator[Case]:
  for order in (2, 4, 6, 8):
    make = lambda order=order: blowup.nested_jvp(blowup.function, order)
    counts = jax_cse.count_primitives(make())(blowup.POINT).total()
    with jax_cse.enabled():
      merged = jax_cse.count_primitives(make())(blowup.POINT).total()
    assert merged <= counts

    def trace(make=make):
      return jax.jit(make()).trace(blowup.POINT)

    def compile_(make=make):
      return trace(make).lower().compile()

    size = f"order {order}, {counts:,} equations to {merged}"
    yield Case(f"trace {size}", trace, enabled(trace), turns=7,
               prepare=jax.clear_caches)
    yield Case(f"trace, lower, compile {size}", compile_, enabled(compile_),
               turns=5, prepare=jax.clear_caches)


_PROGRAMS = ("scan", "cond", "silu mlp", "layer norm mlp", "cholesky")


@entry("tracing nested jvp with CSE at order 8, over order 4")
def growth_of_tracing() -> Iterator[Case]:
  for name, fun in PROGRAMS.items():
    def trace(order, fun=fun):
      with jax_cse.enabled():
        return jax.jit(blowup.nested_jvp(fun, order)).trace(POINT)

    with jax_cse.enabled():
      low, high = (jax_cse.count_primitives(blowup.nested_jvp(fun, order))(
          POINT).total() for order in (4, 8))
    assert high <= 10 * low, (name, low, high)
    yield Case(name, functools.partial(trace, 4), functools.partial(trace, 8),
               limit=10, turns=3, prepare=jax.clear_caches)


@entry("stages of the 4th derivative by CSE and by jet, over plain nested jvp")
def stages() -> Iterator[Case]:
  for name in _PROGRAMS:
    fun = PROGRAMS[name]
    for way, make in (("cse", blowup.nested_jvp), ("jet", blowup.taylor)):
      into = enabled if way == "cse" else lambda f: f
      plain = jax.jit(blowup.nested_jvp(fun, 4))
      other = jax.jit(make(fun, 4))
      try:
        sizes = [len(plain.trace(POINT).jaxpr.eqns),
                 len(into(lambda f=other: f.trace(POINT))().jaxpr.eqns)]
      except Exception as e:  # jet has no rule: the row says so
        print(f"  {name}, {way}: {type(e).__name__}")
        continue
      assert way == "jet" or sizes[1] <= sizes[0]
      fresh = lambda make, fun=fun: jax.jit(make(fun, 4))
      for stage, run in _STAGES.items():
        yield Case(
            f"{name}, {way}, {stage}",
            lambda run=run, fresh=fresh: run(fresh(blowup.nested_jvp)),
            into(lambda run=run, fresh=fresh, make=make: run(fresh(make))),
            turns=3, prepare=jax.clear_caches)


_STAGES = {
    "trace": lambda f: f.trace(POINT),
    "trace and lower": lambda f: f.trace(POINT).lower(),
    "trace, lower and compile": lambda f: f.trace(POINT).lower().compile(),
}


@entry("nested jvp evaluated eagerly, with lax functions")
def nested_jvp_eagerly() -> Iterator[Case]:
  fun = lambda t: lax.mul(lax.mul(0.3, lax.sin(t)), lax.integer_pow(t, 10))
  for order in (3, 5, 7):
    run = lambda order=order: blowup.nested_jvp(fun, order)(blowup.POINT)
    yield Case(f"order {order}", run, enabled(run), turns=7)


def _all_by_jet(fun, order, directions):
  """All derivatives of a function of an array by jet."""
  series = [directions] + [jnp.zeros_like(directions)] * (order - 1)
  def derived(x):
    value, terms = jet.jet(fun, (x,), (series,))
    return value, *terms
  return derived


def _network(x):
  for seed in range(3):
    weights = jax.random.normal(jax.random.key(seed), (64, 64)) / 8
    x = jnp.tanh(x @ weights)
  return x


# Functions of arrays: a network of width 64 on 512 points, and elementwise ones
# on 100,000.
_BATCHED = {"network": (_network, (512, 64)), **{
    spec.name: (spec.fun, (100_000,)) for spec in SMOOTH
    if spec.name in ("thread", "tanh^3", "exp sin", "1/(1+t*t)", "tanh",
                     "power of tanh", "logistic chain", "erf polynomial")}}


def _batched(last_only: bool) -> Iterator[tuple]:
  for name, (fun, shape) in _BATCHED.items():
    x = jnp.linspace(-2., 2., math.prod(shape)).reshape(shape)
    ones = jnp.ones_like(x)
    for order in (4, 7):
      ours = jax_cse.derivatives(fun, order)
      theirs = _all_by_jet(fun, order, ones)
      a, b = (lambda y, f=ours, v=ones: f(y, v)), theirs
      assert (jax_cse.count_primitives(a)(x).total()
              <= jax_cse.count_primitives(b)(x).total()), name
      if last_only:
        a, b = (lambda y, f=a: f(y)[-1]), (lambda y, f=b: f(y)[-1])
      yield f"{name}, order {order}", a, b, x


@entry("run time of compiled derivatives over that of jet's, all orders")
def derivatives_run() -> Iterator[Case]:
  yield from _runs(_batched(False))


@entry("the same where only the highest is wanted")
def derivatives_run_highest() -> Iterator[Case]:
  yield from _runs(_batched(True))


def _runs(rows, turns=15):
  for name, ours, theirs, x in rows:
    a, b = jax.jit(ours), jax.jit(theirs)
    yield Case(name, lambda b=b, x=x: jax.block_until_ready(b(x)),
               lambda a=a, x=x: jax.block_until_ready(a(x)), turns=turns)


@entry("time to the first result of derivatives over that of jet, all orders")
def derivatives_first() -> Iterator[Case]:
  for name, ours, theirs, x in _batched(False):
    first = lambda f, x=x: jax.block_until_ready(jax.jit(lambda y: f(y))(x))
    yield Case(name, functools.partial(first, theirs),
               functools.partial(first, ours),
               turns=3, prepare=jax.clear_caches)


def _long_program(length):
  """Sums, products and others, each used again some equations later."""
  operations = (None, lax.add, lax.mul, lax.sub)
  def fun(x):
    recent = [x, lax.sin(x), lax.mul(x, 0.5)]
    for i in range(length):
      a, b = recent[-1], recent[-3]
      y = lax.sin(a) if i % 4 == 0 else operations[i % 4](a, b)
      recent = [*recent[-2:], y]
    return recent[-1]
  return fun


@entry("cse_jaxpr of 100,000 equations over 10,000")
def linear_time() -> Iterator[Case]:
  small, large = (jax.make_jaxpr(_long_program(n))(jnp.ones(3))
                  for n in (10_000, 100_000))
  for mode in ("exact", "reassociate", "ring"):
    simplify = lambda jaxpr, mode=mode: jax_cse.cse_jaxpr(jaxpr, mode)
    yield Case(mode, functools.partial(simplify, small),
               functools.partial(simplify, large), limit=12, turns=1)


@entry("cse_jaxpr over tracing the same program, 10,000 equations")
def over_tracing() -> Iterator[Case]:
  trace = lambda: jax.make_jaxpr(lambda x: _long_program(10_000)(x))(
      jnp.ones(3))
  jaxpr = trace()
  for mode, limit in (("exact", 1.0), ("reassociate", None), ("ring", None)):
    yield Case(mode, trace, lambda mode=mode: jax_cse.cse_jaxpr(jaxpr, mode),
               limit=limit, turns=3)


@entry("the explicit trace over the memoized bind, nested jvp, cold caches")
def explicit_over_memo() -> Iterator[Case]:
  for name, fun in (("thread", blowup.function), *[
      (spec.name, spec.fun) for spec in SMOOTH
      if spec.name in ("tanh mlp", "attention")]):
    for order in (4, 6):
      make = lambda order=order, fun=fun: blowup.nested_jvp(fun, order)
      plain = lambda make=make: jax.jit(make())
      explicit = lambda make=make: jax.jit(jax_cse.cse(make()))
      for stage, run in (("trace", lambda f: f.trace(0.3)),
                         ("trace, lower, compile",
                          lambda f: f.trace(0.3).lower().compile())):
        yield Case(f"{name}, order {order}, {stage}",
                   enabled(lambda run=run, f=plain: run(f())),
                   lambda run=run, f=explicit: run(f()), turns=3,
                   prepare=jax.clear_caches)


def _flops(rows, limit=None):
  from laplacian_benchmarks import flops
  for row in rows:
    yield Count(row.name, flops(row.control, row.points),
                flops(row.candidate, row.points), limit)


def _times(rows):
  yield from _runs(((row.name, row.candidate, row.control, row.points)
                    for row in rows), turns=60)


@entry("flops of Laplacians over those of folx, by XLA's count")
def laplacian_flops() -> Iterator[Count]:
  from laplacian_benchmarks import beside_folx
  yield from _flops(beside_folx())


@entry("run time of Laplacians over that of folx")
def laplacian_run() -> Iterator[Case]:
  from laplacian_benchmarks import beside_folx
  yield from _times(beside_folx())


@entry("flops of `laplacian` over those of folx, by dimension")
def laplacian_growth() -> Iterator[Count]:
  from laplacian_benchmarks import growth
  yield from _flops(growth(), 1.1)


@entry("flops of the biharmonic operator over those of plain nested jvp")
def biharmonic_flops() -> Iterator[Count]:
  from laplacian_benchmarks import biharmonic
  yield from _flops(biharmonic())


@entry("run time of the biharmonic operator over that of plain nested jvp")
def biharmonic_run() -> Iterator[Case]:
  from laplacian_benchmarks import biharmonic
  yield from _times(biharmonic())


@entry("equations of second derivatives of networks, CSE over plain")
def vector_counts() -> Iterator[Count]:
  from vector_benchmarks import programs
  for name, fun, args in programs():
    counts = [into(lambda fun=fun, args=args: jax_cse.count_primitives(fun)(
        *args).total())() for into in (lambda f: f, enabled)]
    yield Count(f"{name}, {counts[0]:,} to {counts[1]:,}", *counts, limit=1)


@entry("time to the first second derivatives of networks, CSE over plain")
def vector_first() -> Iterator[Case]:
  from vector_benchmarks import programs
  for name, fun, args in programs():
    first = lambda fun=fun, args=args: jax.block_until_ready(
        jax.jit(lambda *xs: fun(*xs))(*args))
    yield Case(name, first, enabled(first), turns=3, prepare=jax.clear_caches)


@entry("run time of second derivatives of networks, CSE over plain")
def vector_run() -> Iterator[Case]:
  from vector_benchmarks import programs
  for name, fun, args in programs():
    compile_ = lambda fun=fun, args=args: jax.jit(
        lambda *xs: fun(*xs)).lower(*args).compile()
    plain, merged = compile_(), enabled(compile_)()
    yield Case(name, lambda f=plain, xs=args: jax.block_until_ready(f(*xs)),
               lambda f=merged, xs=args: jax.block_until_ready(f(*xs)),
               turns=60)


@entry("training an ODE with R_4: jax_cse over plain nested jvp and over jet")
def ode_training() -> Iterator[Case]:
  from ode_benchmarks import training

  def first(way):
    step, args = training(way)
    return jax.block_until_ready(step(*args))

  ours = enabled(lambda: first("nested jvp"))
  theirs = ("nested jvp", "jet")
  for way in theirs:
    yield Case(f"until the first step is done, over {way}",
               functools.partial(first, way), ours, limit=1, turns=5,
               prepare=jax.clear_caches)
  with jax_cse.enabled():
    step, args = training("nested jvp")
    compiled = step.lower(*args).compile()
  for way in theirs:
    other = training(way)[0].lower(*args).compile()
    yield Case(f"a step, over {way}",
               lambda f=other: jax.block_until_ready(f(*args)),
               lambda: jax.block_until_ready(compiled(*args)), limit=1,
               turns=60)


@entry("JAX with patches and no CSE, over a copy without patches")
def patched_off() -> Iterator[Case]:
  from patched_benchmarks import WORKLOADS, servers
  with servers() as (plain, patched):
    for name in WORKLOADS:
      yield Case(name, functools.partial(plain, name),
                 functools.partial(patched, name), limit=1.02, turns=156)


def main() -> None:
  parser = argparse.ArgumentParser(prog="tools/bench",
                                   description=__doc__.splitlines()[0])
  parser.add_argument("entries", nargs="*", metavar="ENTRY")
  parser.add_argument("--list", action="store_true", help="name the entries")
  options = parser.parse_args()
  if options.list:
    for name, (what, _) in ENTRIES.items():
      print(f"{name:28}{what}")
    return
  unknown = [name for name in options.entries if name not in ENTRIES]
  if unknown:
    parser.error(f"unknown: {', '.join(unknown)}; known: {', '.join(ENTRIES)}")
  device = jax.devices()[0]
  print(f"jax {jax.__version__}, Python {platform.python_version()}, "
        f"{device.platform}: time of the candidate / time of the control")
  missed = False
  for name in options.entries or ENTRIES:
    what, function = ENTRIES[name]
    print(f"\n{name}: {what}")
    for case in function():
      ratio, low, high = compare(case)
      over = case.limit is not None and ratio > case.limit
      missed |= over
      limit = "" if case.limit is None else f"  limit {case.limit:.2f}"
      print(f"  {case.name:64}{ratio:6.2f}  ({low:.2f} to {high:.2f}){limit}"
            + ("  MISSED" if over else ""), flush=True)
  sys.exit(1 if missed else 0)


if __name__ == "__main__":
  main()
