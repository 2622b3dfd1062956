"""`enabled()` and `disabled()`: who sees them, and what stays behind: nothing.
"""

import functools
import os
import subprocess
import sys
import threading
from unittest import mock

import jax
from absl.testing import absltest
from absl.testing import parameterized
from jax import lax
import jax.numpy as jnp

import checking
import jax_cse
from jax_cse import compat
from jax_cse.compat import ad, batching, core
from jax_cse.foundation import modes
from jax_cse.memo import contexts

X = jnp.arange(3.0)
twice = lambda x: (lax.sin(x), lax.sin(x))


def traced_size():
  return checking.size(checking.trace(twice, X))


def patched():
  return (core.Primitive.bind, core.Primitive.bind_with_trace,
          ad.JVPTrace.to_primal_tangent_pair,
          ad.LinearizeTrace.to_primal_tangent_pair,
          batching.BatchTrace.to_batch_info,
          *(getattr(*node) for node in compat.NODES))


def user_context():
  """The value of jax_cse's user context on this thread."""
  return compat.user_context.get()


def run_python(code, **environment):
  env = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
  return subprocess.run([sys.executable, "-c", code], env=env, text=True,
                        capture_output=True, timeout=120)


class ContextsTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.before = patched()
    self.context_before = user_context()

  def tearDown(self):
    self.assertEqual(patched(), self.before)
    self.assertIs(user_context(), self.context_before)
    self.assertIsNone(jax_cse.active_mode())
    self.assertEqual(traced_size(), 2)
    super().tearDown()

  def test_enabled(self):
    with jax_cse.enabled() as memo:
      self.assertEqual(jax_cse.active_mode(), "exact")
      self.assertNotEqual(patched(), self.before)
      self.assertEqual(traced_size(), 1)
    self.assertEqual((memo.mode, memo.stats.hits, memo.stats.misses),
                     ("exact", 1, 1))

  def test_nested(self):
    with jax_cse.enabled() as outer:
      with jax_cse.enabled() as inner:
        self.assertEqual(traced_size(), 1)
      self.assertIs(inner, outer)
      with jax_cse.disabled():
        self.assertIsNone(jax_cse.active_mode())
        self.assertEqual(traced_size(), 2)
        with jax_cse.enabled():
          self.assertEqual(traced_size(), 1)
        self.assertEqual(traced_size(), 2)
      self.assertEqual(traced_size(), 1)

  def test_one_context_entered_again_and_again(self):
    context = jax_cse.enabled()
    with context:
      with context:
        self.assertEqual(traced_size(), 1)
      self.assertEqual(traced_size(), 1)
    with context:
      self.assertEqual(traced_size(), 1)

  def test_decorators(self):
    @jax_cse.enabled()
    def on():
      return jax_cse.active_mode(), traced_size()

    @jax_cse.disabled()
    def off():
      return jax_cse.active_mode(), traced_size()

    self.assertEqual(on(), ("exact", 1))
    with jax_cse.enabled():
      self.assertEqual(off(), (None, 2))

  def test_a_decorated_function_on_several_threads(self):
    barrier = threading.Barrier(2)

    @jax_cse.enabled()
    def on(sizes):
      barrier.wait()
      sizes.append(traced_size())
      barrier.wait()

    sizes = []
    threads = [threading.Thread(target=on, args=(sizes,)) for _ in range(2)]
    for t in threads:
      t.start()
    for t in threads:
      t.join()
    self.assertEqual(sizes, [1, 1])

  def test_exceptions(self):
    with self.assertRaisesRegex(ZeroDivisionError, "mine"):
      with jax_cse.enabled():
        jax.jit(lambda x: (_ for _ in ()).throw(ZeroDivisionError("mine")))(1.0)

  def test_an_exception_inside_a_rule(self):
    fails = jax.custom_jvp(lambda x: x)

    @fails.defjvp
    def _(primals, tangents):
      raise ZeroDivisionError("mine")

    with jax_cse.enabled() as memo:
      with self.assertRaisesRegex(ZeroDivisionError, "mine"):
        jax.jvp(lambda x: jax.jvp(fails, (x,), (x,))[1], (1.0,), (1.0,))
      with self.assertRaises(TypeError):
        jax.jvp(lambda x: lax.add(x, jnp.arange(2)), (1.0,), (1.0,))
      self.assertEqual(memo.depth, 0)
      self.assertEqual(traced_size(), 1)

  def test_generators_that_end_out_of_order(self):
    def inside():
      with jax_cse.enabled():
        yield

    first, second = inside(), inside()
    next(first), next(second)
    first.close()
    self.assertEqual(jax_cse.active_mode(), "exact")
    second.close()

  def test_a_generator_that_ends_on_another_thread(self):
    def inside():
      with jax_cse.enabled():
        yield

    f, g = (jax.jit(lambda x: lax.sin(x) * lax.sin(x)) for _ in range(2))
    with jax_cse.enabled():
      self.assertLen(g.trace(1.0).jaxpr.eqns, 2)
    generator = inside()
    next(generator)
    thread = threading.Thread(target=generator.close)
    thread.start()
    thread.join()
    # What is traced now must not be taken for traced with CSE, nor what was
    # traced with CSE be taken now.
    self.assertLen(f.trace(1.0).jaxpr.eqns, 3)
    self.assertLen(g.trace(1.0).jaxpr.eqns, 3)
    with jax_cse.enabled():
      self.assertLen(f.trace(1.0).jaxpr.eqns, 2)
    self.assertLen(f.trace(1.0).jaxpr.eqns, 3)

  def test_disabled_that_ends_on_another_thread(self):
    def outside():
      with jax_cse.disabled():
        yield

    f = jax.jit(lambda x: lax.sin(x) * lax.sin(x))
    with jax_cse.enabled():
      generator = outside()
      next(generator)
      thread = threading.Thread(target=generator.close)
      thread.start()
      thread.join()
      f.trace(1.0)
    self.assertLen(f.trace(1.0).jaxpr.eqns, 3)

  def test_one_context_entered_on_two_threads(self):
    context, seen = jax_cse.enabled(), []
    entered, left = threading.Event(), threading.Event()

    def work():
      with context:
        entered.set()
        left.wait()
        seen.append(traced_size())

    thread = threading.Thread(target=work)
    with context:
      thread.start()
      entered.wait()
    self.assertIsNone(jax_cse.active_mode())
    left.set()
    thread.join()
    self.assertEqual(seen, [1])

  def test_a_memo_lives_as_long_as_somebody_is_inside(self):
    def inside():
      with jax_cse.enabled():
        yield

    generator = inside()
    next(generator)
    with jax_cse.enabled() as memo:
      generator.close()
      lax.sin(X)
      self.assertGreater(memo.nbytes, 0)
    self.assertEqual(memo.nbytes, 0)

  def test_threads_that_inline_the_same_call(self):
    @functools.partial(jax.jit, inline=compat.INLINE)
    def call(x):
      for _ in range(200):
        x = lax.sin(x)
      return x

    call(1.0)
    failures, interval = [], sys.getswitchinterval()

    def work():
      try:
        with jax_cse.enabled():
          checking.trace(call, 1.0)
      except Exception as e:
        failures.append(e)

    sys.setswitchinterval(1e-6)
    try:
      threads = [threading.Thread(target=work) for _ in range(3)]
      for t in threads:
        t.start()
      for t in threads:
        t.join()
    finally:
      sys.setswitchinterval(interval)
    self.assertEmpty(failures)

  def test_other_threads_are_left_alone(self):
    seen = []
    with jax_cse.enabled():
      thread = threading.Thread(
          target=lambda: seen.append((jax_cse.active_mode(), traced_size())))
      thread.start()
      thread.join()
    self.assertEqual(seen, [(None, 2)])

  def test_threads_at_once(self):
    failures = []

    def work(on):
      for _ in range(20):
        with (jax_cse.enabled if on else jax_cse.disabled)():
          if traced_size() != (1 if on else 2):
            failures.append(on)

    threads = [threading.Thread(target=work, args=(i % 2,)) for i in range(4)]
    for t in threads:
      t.start()
    for t in threads:
      t.join()
    self.assertEmpty(failures)

  def test_a_jit_is_not_reused_across_the_border(self):
    size = lambda f: len(f.trace(1.0).jaxpr.eqns)
    f = jax.jit(lambda x: lax.sin(x) * lax.sin(x))
    self.assertEqual(size(f), 3)
    with jax_cse.enabled():
      self.assertEqual(size(f), 2)
      with jax_cse.disabled():
        self.assertEqual(size(f), 3)
    self.assertEqual(size(f), 3)
    g = jax.jit(lambda x: lax.sin(x) * lax.sin(x))
    with jax_cse.enabled():
      g(1.0)
      self.assertEqual(size(g), 2)
    self.assertEqual(size(g), 3)

  @parameterized.parameters("fast", "", "EXACT", 1, True)
  def test_a_bad_mode_names_the_accepted(self, mode):
    with self.assertRaises(ValueError) as caught:
      jax_cse.enabled(mode)
    self.assertIn(repr(mode), str(caught.exception))
    for accepted in modes.MODES:
      self.assertIn(accepted, str(caught.exception))

  @parameterized.parameters(-1, 1.5, "1", True)
  def test_a_bad_budget_names_the_accepted(self, max_bytes):
    with self.assertRaisesRegex(ValueError, "max_bytes must be None or a"):
      jax_cse.enabled(max_bytes=max_bytes)

  def test_an_unknown_version_of_jax_is_refused(self):
    code = ("import os; os.environ['JAX_CSE_CHECK'] = 'strict'\n"
            "import jax; jax.__version__ = '9.9.9'; import jax_cse\n"
            "from jax_cse.compat import Primitive as P\n"
            "before = P.bind_with_trace"
            "\ntry:\n  with jax_cse.enabled(): pass\n"
            "except jax_cse.UnsupportedJaxVersion as e: print(e)\n"
            "assert P.bind_with_trace is before")
    out = run_python(code).stdout
    self.assertRegex(out, r"9\.9\.9 is installed.* Nothing was patched")


class EnvironmentTest(parameterized.TestCase):

  CODE = ("import threading, jax_cse\n"
          "def show(): print(jax_cse.active_mode())\n"
          "show()\n"
          "with jax_cse.enabled() as memo: show(); memo.stats.hits\n"
          "t = threading.Thread(target=show); t.start(); t.join()")

  @parameterized.parameters(
      ({}, ("None", "exact", "None")),
      ({"JAX_CSE": "0"}, ("None", "None", "None")),
      ({"JAX_CSE": "off"}, ("None", "None", "None")),
      ({"JAX_CSE": "1"}, ("exact", "exact", "exact")),
      ({"JAX_CSE": "exact"}, ("exact", "exact", "exact")))
  def test_values(self, environment, expected):
    run = run_python(self.CODE, **environment)
    self.assertEqual(tuple(run.stdout.split()), expected, run.stderr)

  def test_another_value_names_the_accepted(self):
    run = run_python("import jax_cse", JAX_CSE="yes")
    self.assertNotEqual(run.returncode, 0)
    self.assertRegex(
        run.stderr,
        "ValueError: JAX_CSE must be .* 0, off, 1, exact, reassociate, ring; "
        "got 'yes'")

  def test_off_still_checks_the_mode(self):
    with mock.patch.dict(os.environ, {"JAX_CSE": "off"}):
      with self.assertRaises(ValueError):
        jax_cse.enabled("fast")
      with jax_cse.enabled() as memo:
        self.assertEqual(traced_size(), 2)
      self.assertEqual(memo.stats.hits, 0)

  def test_off_is_for_the_user(self):
    with mock.patch.dict(os.environ, {"JAX_CSE": "off"}):
      with contexts.merging("exact"):
        self.assertEqual(traced_size(), 1)

  def test_a_whole_process(self):
    code = ("import jax_cse, jax\nfrom jax import lax\n"
            "f = lambda x: (lax.sin(x), lax.sin(x))\n"
            "n = lambda: len(jax.make_jaxpr(lambda x: f(x))(1.).eqns)\n"
            "print(n())\n"
            "with jax_cse.disabled(): print(n())\n"
            "with jax_cse.enabled(): print(n())\nprint(n())")
    run = run_python(code, JAX_CSE="1")
    self.assertEqual(run.stdout.split(), ["1", "2", "1", "1"], run.stderr)


class LeavingTest(absltest.TestCase):

  def test_what_was_not_entered_is_not_left(self):
    for context in (jax_cse.enabled(), jax_cse.disabled()):
      for _ in range(2):
        with self.assertRaisesRegex(RuntimeError, "without being entered"):
          context.__exit__(None, None, None)
        with context:
          pass


if __name__ == "__main__":
  absltest.main()
