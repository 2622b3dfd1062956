"""An interrupt at any point: JAX is left unpatched, and goes on.

Python takes a signal where a function begins and where a call of C returns, and
memory can run out where a function begins and where C is called. The function
given to `sys.setprofile` is told of these points, so a program is run once to
count those inside of jax_cse, and then again and again with an exception at one
of them, drawn from a fixed seed. `test_signals` sends real signals at random
times, which come inside of JAX too.

Limits: calls of types and of C++ are not told of; only signals come there. One
point is left out, the first instruction of `__exit__`: a signal taken there
leaves every context manager that is written in Python entered, JAX's too.
"""

import contextlib
import gc
import itertools
import os
import random
import signal
import sys
import time
import traceback
from unittest import mock
import weakref

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp

import checking
import jax_cse
from jax_cse.compat import core
from jax_cse.compat import patch
from jax_cse.foundation.active import here
from jax_cse.numbering import custom_rules
from ticks import RuleError, ticking, Ticks
from test_contexts import patched, traced_size, user_context

ROOT = os.path.dirname(jax_cse.__file__) + os.sep
X = jnp.arange(1.0, 4.0)
POINTS = 20    # of each program and exception
SIGNALS = 50


def f(x):
  return lax.add(lax.mul(x, lax.cos(x)), lax.mul(ticking(x), ticking(x)))


def slope(fun):
  return lambda x: jax.jvp(fun, (x,), (jnp.ones_like(x),))[1]


def loop(x):
  body = lambda c, y: (lax.mul(ticking(c), y), lax.sin(c))
  carry, _ = lax.scan(body, x, jnp.ones((2, *x.shape)))
  return lax.cond(carry.sum() > 0, lax.cos, lax.sin, carry)


def trace(fun):
  """What `fun` gives, by way of a jaxpr that nobody made before."""
  return lambda x: core.jaxpr_as_fun(checking.trace(fun, x))(x)


@jax_cse.enabled()
def decorated(x):
  return lax.sin(x)


def contexts(x):
  context = jax_cse.enabled()
  with context, context:
    a = lax.sin(x)
    with jax_cse.disabled(), jax_cse.disabled():
      b = decorated(x)
  with jax_cse.disabled(), context, jax_cse.enabled(max_bytes=1 << 20):
    return a, b, decorated(x)


PROGRAMS = {
    "contexts": contexts,
    "eager": lambda x: [f(x), f(x), jnp.sin(x), lax.split(x, (1, 2)), f(x)],
    "eager nested jvp": slope(slope(f)),
    "eager grad": jax.grad(lambda x: f(x).sum()),
    "eager vmap": jax.vmap(slope(f)),
    "traced": trace(lambda x: [f(x), f(x), jnp.sin(x), jnp.sin(x)]),
    "traced nested jvp": trace(slope(slope(f))),
    "traced grad": trace(jax.grad(lambda x: slope(f)(x).sum())),
    "traced vmap": trace(jax.vmap(slope(f))),
    "traced loop": trace(slope(slope(loop))),
    "traced call": trace(slope(slope(lambda x: jax.jit(lambda y: f(y))(x)))),
}


class Points:
  """Counts the points at which an exception may come, and raises one there.

  A context manager. `exception`, a `KeyboardInterrupt` or a `MemoryError`, is
  raised at point `at`, counted from 1; `count` says how many there were.
  """

  def __init__(self, exception: type, at: int = 0):
    self.exception = exception
    self.at = at
    self.count = 0
    self.where = "nowhere"
    self._c_event = ("c_return" if exception is KeyboardInterrupt else "c_call")

  def _profile(self, frame, event, arg):
    code = frame.f_code
    if not code.co_filename.startswith(ROOT):
      return
    if event == "call":
      if code.co_name == "__exit__":
        return
    elif event != self._c_event or arg.__name__ == "__exit__":
      return   # `__exit__` of a lock, which does not fail
    self.count += 1
    if self.count == self.at:
      name = code.co_filename.removeprefix(ROOT)
      self.where = f"{name}:{frame.f_lineno} in {code.co_name}"
      raise self.exception("injected")

  def __enter__(self):
    sys.setprofile(self._profile)
    return self

  def __exit__(self, *exc_info):
    sys.setprofile(None)


def drawn(rng, count):
  return sorted(rng.sample(range(1, count + 1), min(POINTS, count)))


class FaultsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.patched, self.context = patched(), user_context()
    # One that comes while an object dies is swallowed by Python, and reported.
    self.enter_context(mock.patch.object(
        sys, "unraisablehook", lambda _: None))

  def enabled(self):
    return jax_cse.enabled(max_bytes=10_000)   # a few results

  def assert_left(self, message, memo=None):
    """Nothing of jax_cse is there any more."""
    self.assertEqual(patched(), self.patched, message)
    self.assertIsNone(jax_cse.active_mode(), message)
    self.assertIs(user_context(), self.context, message)
    self.assertFalse(here.cell, message)
    self.assertFalse(patch._patch.users, message)
    if memo is not None:
      self.assertEqual((memo.nbytes, len(memo.tables)), (0, 0), message)
      self.assertEmpty(memo.numbering.arrays.known, message)
      self.assertEmpty(memo.numbering._constants, message)

  def assert_works(self, program, expected, message):
    """The next `enabled()` merges, and gives the bits of plain JAX."""
    with jax_cse.enabled() as memo:
      checking.assert_same_bits(program(X), expected, message)
      checking.assert_same_bits(program(X), expected, message)
      with jax.checking_leaks():
        self.assertEqual(traced_size(), 1)
    self.assertGreater(memo.stats.hits, 1, message)
    self.assert_left(message, memo)

  def alive(self):
    """How many tracers and arrays there are, beside those of a trace that JAX
    itself keeps: one with constants, if an exception left it."""
    gc.collect()
    kept, todo = set(), [getattr(info.func, "__self__", None)
                         for info in weakref.finalize._registry.values()]
    while todo:
      trace = todo.pop()
      if isinstance(trace, core.Trace) and id(trace) not in kept:
        kept.add(id(trace))
        todo.append(getattr(trace, "parent_trace", None))
        todo += [getattr(x, "_trace", None) for x in getattr(
            getattr(trace, "frame", None), "constvar_to_val", {}).values()]
    tracers = sum(isinstance(x, core.Tracer) and id(x._trace) not in kept
                  for x in gc.get_objects())
    return tracers, len(jax.live_arrays())

  @parameterized.product(name=tuple(PROGRAMS),
                         exception=(KeyboardInterrupt, MemoryError))
  def test_at_random_points(self, name, exception):
    program = PROGRAMS[name]
    with self.enabled():
      expected = program(X)
    if name != "traced grad":   # whose cotangents add up in another order
      checking.assert_same_bits(expected, program(X))
    with Points(exception) as points, self.enabled() as memo:
      program(X)
    self.assertGreater(points.count, 20)
    del memo
    alive, raised = self.alive(), 0
    chosen = drawn(random.Random(0), points.count)
    for at in chosen:
      memo = None
      with Points(exception, at) as points:
        try:
          with self.enabled() as memo:
            program(X)
        except exception:
          raised += 1
      message = f"{exception.__name__} at {points.where}"
      self.assertGreaterEqual(points.count, at)
      self.assert_left(message, memo)
    self.assertGreater(raised, 0.7 * len(chosen))
    self.assert_works(program, expected, name)
    del memo
    self.assertEqual(self.alive(), alive)

  @parameterized.parameters(name for name in PROGRAMS if name != "contexts")
  def test_in_a_rule(self, name):
    self.enter_context(mock.patch.object(
        custom_rules, "_acts", Ticks.asking(custom_rules._acts)))
    program = PROGRAMS[name]
    with self.enabled():
      expected = program(X)
    with self.enabled():
      Ticks.start()
      program(X)
    self.assertGreater(Ticks.count, 0)
    alive = self.alive()
    for at in drawn(random.Random(0), Ticks.count):
      with self.enabled() as memo:
        Ticks.start(at)
        raised = False
        try:
          program(X)
        except RuleError:
          raised = True
        self.assertEqual(raised, Ticks.told, f"call {at}")
        Ticks.start()
        self.assertEqual((memo.depth, memo.linearizing), (0, 0))
        checking.assert_same_bits(program(X), expected, f"after call {at}")
      self.assert_left(f"call {at}", memo)
    self.assert_works(program, expected, name)
    del memo
    self.assertEqual(self.alive(), alive)

  def test_signals(self):
    programs = {name: program for name, program in PROGRAMS.items()
                if name != "traced grad"}
    expected = {}
    start = time.monotonic()
    for name, program in programs.items():
      with self.enabled():
        expected[name] = program(X)
    duration = time.monotonic() - start
    rng, inside_jax = random.Random(0), 0
    self.enter_context(restored(signal.SIGALRM, signal.default_int_handler))
    for _ in range(SIGNALS):
      names = rng.sample(sorted(programs), len(programs))
      try:
        # Again, if it was swallowed.
        signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-4, duration), 5)
        for name in itertools.cycle(names):
          with self.enabled():
            checking.assert_same_bits(programs[name](X), expected[name], name)
      except (KeyboardInterrupt, ValueError, RuntimeError) as interrupt:
        signal.setitimer(signal.ITIMER_REAL, 0)
        if not is_interrupt(interrupt):
          raise
        inside_jax += leave_by_hand(interrupt)
      self.assert_left(f"a signal while {name}")
      self.assert_works(lambda x: [f(x), f(x)], [f(X), f(X)], name)
    self.assertLess(inside_jax, SIGNALS / 4)


@contextlib.contextmanager
def interrupt_after(file, function, called, skip=0):
  """A `KeyboardInterrupt` where a call of C in jax_cse returns."""
  calls = itertools.count()

  def profile(frame, event, arg):
    code = frame.f_code
    if (event == "c_return" and code.co_filename == ROOT + file
        and (code.co_name, arg.__name__) == (function, called)
        and next(calls) == skip):
      raise KeyboardInterrupt

  sys.setprofile(profile)
  try:
    yield
  except KeyboardInterrupt:
    pass
  finally:
    sys.setprofile(None)


class GoingOnTest(absltest.TestCase):
  """An interrupt that is caught inside of a context that goes on."""

  def test_an_array_that_was_half_known(self):
    with jax_cse.enabled():
      with interrupt_after("numbering/array_owners.py", "see", "id", skip=1):
        lax.sin(X)
      checking.assert_same_bits(lax.sin(X), jax.jit(lax.sin)(X))

  def test_a_context_that_had_no_number_yet(self):
    def fun(x):
      a = lax.cos(x)
      with jax.default_matmul_precision("highest"):
        with interrupt_after("memo/memo_table.py", "context", "setdefault"):
          lax.cos(x)
        return a, lax.cos(x)

    with jax_cse.enabled():
      self.assertLen(checking.trace(fun, X).jaxpr.eqns, 2)

  def test_evictions_that_were_not_counted(self):
    with jax_cse.enabled(max_bytes=1 << 14):
      for i in range(12):
        with interrupt_after("memo/eager_table.py", "put", "popitem"):
          lax.sin(jnp.full(1000, float(i)))
      checking.assert_same_bits(lax.cos(X), jax.jit(lax.cos)(X))


@contextlib.contextmanager
def restored(number, handler):
  """Another handler of a signal."""
  before = signal.signal(number, handler)
  try:
    yield
  finally:
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(number, before)


def is_interrupt(error):
  """Jaxlib makes a ValueError of any error in a comparison of keys, and a
  RuntimeError of one in a walk over MLIR, and writes that one into its text."""
  return isinstance(error, KeyboardInterrupt) or (
      "KeyboardInterrupt" in str(error))


def leave_by_hand(interrupt):
  """Leaves what the interrupt kept from being left; see the limits above.

  Says whether JAX's own trace was such a thing.
  """
  *_, (frame, line) = traceback.walk_tb(interrupt.__traceback__)
  code = frame.f_code
  if (code.co_name == "__exit__" and line == code.co_firstlineno
      and code.co_filename.startswith(ROOT)):
    frame.f_locals["self"].__exit__(None, None, None)
  if core.trace_ctx.trace is core.eval_trace:
    return False
  core.trace_ctx.set_trace(core.eval_trace)
  return True


if __name__ == "__main__":
  absltest.main()
