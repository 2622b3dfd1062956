"""Calls of what is jitted, timed without a difference to the program."""

import copy
import inspect
import pickle
import threading
from unittest import mock

from absl.testing import absltest
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.foundation import stages
from jax_cse.gains import timed_calls

X = np.ones(3, "float32")


@jax.jit
def of_the_module(x):
  return x


def double(x):
  return lax.sin(x) * lax.sin(x)


class TimedCallsTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.timing = self.enter_context(timed_calls.timed())

  def only(self):
    function, = self.timing.functions.values()
    return function

  def test_first_and_later_calls(self):
    jitted = jax.jit(double)
    for n in (3, 3, 4, 4, 4):
      jitted(np.ones(n, "float32"))
    function = self.only()
    self.assertEqual((function.first_calls, function.later_calls), (2, 3))
    self.assertEqual(function.took.times, 2)
    self.assertGreater(function.took.total, 0.0)
    self.assertGreater(function.later, 0.0)
    self.assertStartsWith(function.name, "double:")

  def test_programs(self):
    jitted = jax.jit(double)
    jitted(X)
    with jax_cse.enabled():
      jitted(X)
    plain, merged = self.only().programs.values()
    self.assertEqual((plain.equations, merged.equations), (3, 2))
    self.assertEqual({types for types, _ in self.only().programs},
                     {("float32[3]",)})
    self.assertIsNotNone(plain.flops)
    self.assertIsNotNone(plain.temp_bytes)
    jax.clear_caches()
    jitted(X)
    self.assertLen(self.only().programs, 2)

  def test_looking_takes_nothing(self):
    told, while_looking = [], []
    self.addCleanup(stages.listen(lambda *stage: told.append(stage)))
    look = self.timing.look

    def noted(*args):
      before = len(told)
      look(*args)
      while_looking.append(told[before:])
    with mock.patch.object(self.timing, "look", noted):
      jax.jit(double)(X)
    self.assertEqual(while_looking, [[]])
    self.assertLen(told, 3)

  def test_programs_made_in_a_loop(self):
    for i in range(5):
      jax.jit(lambda x, i=i: x * i)(X)
    self.assertEqual(self.only().first_calls, 5)
    self.assertLen(self.only().programs, 5)

  def test_one_program_has_one_text(self):
    # Its jaxpr has functions in it, which are others when it is traced again.
    jitted = jax.jit(jax.nn.relu)
    outer = jax.jit(lambda x: jitted(x) + jax.nn.silu(x))
    outer(X)
    jax.clear_caches()
    outer(X)
    function = list(self.timing.functions.values())[-1]
    self.assertEqual(function.first_calls, 2)
    self.assertLen(function.programs, 1)

  def test_a_call_inside_of_another_is_a_part_of_it(self):
    inner = jax.jit(lambda x: x + 1)
    outer = jax.jit(lambda x: inner(x) * 2)
    outer(X)
    jax.grad(lambda x: inner(x).sum())(X)
    calls = [f.first_calls + f.later_calls
             for f in self.timing.functions.values()]
    self.assertEqual(calls, [0, 1])

  def test_what_is_compiled_by_hand_counts_by_name(self):
    jax.jit(double).lower(X).compile()
    self.assertEqual(self.only().took.times, 1)
    self.assertEqual(self.only().first_calls, 0)
    program, = self.only().programs.values()
    self.assertEqual((program.equations, program.flops), (3, None))

  def test_two_of_one_name_compiled_by_hand(self):
    first = jax.jit(lambda x: x + 1)
    second = jax.jit(lambda x: x + 2)
    for jitted in (first, second):
      jitted.lower(X).compile()
    for function in self.timing.functions.values():
      took = function.took
      self.assertEqual((took.traced, took.lowered, took.compiled), (1, 1, 1))

  def test_an_operation_by_itself_of_the_same_name(self):
    def sin(x):
      return x * 2
    jitted = jax.jit(sin)
    jitted(X)
    jitted.lower(np.ones(5, "float32"))
    jax.clear_caches()
    jnp.sin(np.ones(7, "float32"))
    took = self.only().took
    self.assertEqual((took.traced, took.lowered, took.compiled), (2, 2, 1))

  def test_what_is_compiled_of_a_derivative(self):
    @jax.jit
    def total(x):
      return (lax.sin(x) * x).sum()
    jax.grad(total)(X)
    took = self.only().took
    self.assertGreaterEqual(min(took.lowered, took.compiled), 2)

  def test_what_is_compiled_after_it_was_traced_by_hand(self):
    jitted = jax.jit(lambda x: x + 1)   # of which no cache knows
    jitted.trace(X)
    jitted(X)
    program, = self.only().programs.values()
    self.assertIsNotNone(program.flops)

  def test_what_is_elsewhere(self):
    jax.clear_caches()
    lax.sin(X)
    of_the_module(X)
    self.assertEmpty(self.timing.functions)

  def test_it_is_as_what_it_stands_for(self):
    class Model:
      factor = 2.0

      @jax.jit
      def method(self, x):
        """Twice."""
        return x

      __hash__ = object.__hash__
    jax.tree_util.register_static(Model)
    np.testing.assert_array_equal(Model().method(X), X)
    self.assertEqual(Model.method.__name__, "method")
    self.assertEqual(Model.method.__doc__, "Twice.")
    jitted = jax.jit(double, inline=True)
    self.assertIsInstance(jitted, jax.stages.Wrapped)
    self.assertIs(jitted.__wrapped__, double)
    self.assertEqual(list(inspect.signature(jitted).parameters), ["x"])
    self.assertEqual(jitted.eval_shape(X).shape, (3,))
    self.assertEqual(jitted.trace(X).jaxpr.in_avals[0].shape, (3,))
    self.assertIs(copy.deepcopy(jitted), jitted)
    self.assertIs(copy.copy(jitted), jitted)
    self.assertLen({jitted, jitted}, 1)
    jitted.clear_cache()
    with self.assertRaisesRegex(AttributeError, "nothing"):
      jitted.nothing   # noqa: B018
    np.testing.assert_allclose(
        jax.vmap(jax.jit(jitted))(X[None]), double(X)[None], rtol=1e-6)

  def test_it_can_be_pickled_as_what_it_stands_for(self):
    class Reduced:
      def __reduce__(self):
        return dict, ()
    timed = timed_calls._Timed(self.timing, double, Reduced())
    self.assertEqual(pickle.loads(pickle.dumps(timed)), {})

  def test_options_and_decorators(self):
    @jax.jit(static_argnames="n", donate_argnames="x")
    def power(x, n):
      return x**n
    for n in (2, 2, 3):
      x = jnp.full(3, 2.0)
      np.testing.assert_array_equal(power(x, n=n), np.full(3, 2.0**n))
      self.assertTrue(x.is_deleted())
    self.assertEqual((self.only().first_calls, self.only().later_calls), (2, 1))
    self.assertIsNone(self.only().error)

  def test_what_raises(self):
    @jax.jit
    def bad(x):
      raise ZeroDivisionError("mine")
    with self.assertRaisesRegex(ZeroDivisionError, "mine"):
      bad(X)
    jax.jit(double)(X)
    bad, good = self.timing.functions.values()
    self.assertEqual((bad.first_calls, good.first_calls), (0, 1))
    self.assertEqual(bad.took.traced, 1)

  def test_what_cannot_be_looked_at(self):
    class Jitted:
      def trace(self, x):
        raise NotImplementedError("not <this>")
    function = timed_calls.Function("f")
    function.look_at(Jitted(), (X,), {}, True)
    self.assertEqual(function.error, "NotImplementedError: not <this>")
    self.assertEmpty(function.programs)

  def test_threads(self):
    jitted = jax.jit(double)
    jitted(X)
    threads = [threading.Thread(target=jitted, args=(X,)) for _ in range(4)]
    for thread in threads:
      thread.start()
    for thread in threads:
      thread.join()
    self.assertEqual(self.only().first_calls, 1)

  def test_functions_of_one_name_and_line_are_one(self):
    for factor in (2.0, 3.0):
      jax.jit(lambda x, factor=factor: factor * x)(X)
    self.assertEqual(self.only().first_calls, 2)


class AfterwardsTest(absltest.TestCase):

  def test_jit_is_as_before(self):
    before = jax.jit
    with self.assertRaises(ZeroDivisionError):
      with timed_calls.timed():
        self.assertIsNot(jax.jit, before)
        raise ZeroDivisionError
    self.assertIs(jax.jit, before)


if __name__ == "__main__":
  absltest.main()
