"""What is jitted in the place of a function while a program is recorded."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import numpy as np

from jax_cse.report import recording
from report_parts import Model

X = np.ones(3, "float32")


class WrappersTest(parameterized.TestCase):

  def test_a_function_is_not_traced_at_once(self):
    count = []
    with recording.jitted() as recorded:
      jax.jit(jax.jit(lambda x: count.append(x)))(X)
    self.assertLen(count, 1)
    self.assertIsNone(recorded.programs[0].plain)

  def test_jitting_a_function_again_traces_nothing_again(self):
    count = []

    def fun(x):
      count.append(x)
      return x

    with recording.jitted():
      for _ in range(5):
        jax.jit(fun)(X)
      self.assertLen(count, 1)

      @functools.wraps(fun)   # takes what `fun` keeps along
      def other(x):
        return fun(x) + 1
      np.testing.assert_array_equal(jax.jit(other)(X), X + 1)

  # JAX traces a method again each time that it is bound, and so do its results
  # follow what the object holds.
  @parameterized.parameters("an object", "a partial", "a method")
  def test_jitting_what_keeps_nothing_again_traces_nothing_again(self, which):
    count = []

    class Counted:
      def __call__(self, x):
        count.append(x)
        return x

      def method(self, x):
        return self(x)

    counted = Counted()
    partial = functools.partial(counted)
    use = {"an object": lambda: counted, "a partial": lambda: partial,
           "a method": lambda: counted.method}[which]

    def times():
      count.clear()
      for _ in range(5):
        jax.jit(use())(X)
      return len(count)

    plain = times()
    jax.clear_caches()
    with recording.jitted() as recorded:
      # An object is traced once more, at once.
      self.assertEqual(times(), plain + (which == "an object"))
    self.assertLen(recorded.programs, 1)

  def test_few_wrappers_are_kept(self):
    with recording.jitted() as recorded:
      for _ in range(recording.LIMIT + 3):
        jax.jit(Model(2))
      self.assertLen(recorded._wrappers, recording.LIMIT)
    self.assertEmpty(recorded._wrappers)

  def test_a_second_recording_sees_the_function(self):
    def fun(x):
      return 2 * x
    for _ in range(2):
      jax.clear_caches()
      with recording.jitted() as recorded:
        jax.jit(fun)(X)
      self.assertLen(recorded.programs, 1)

  def test_a_method_is_one_function(self):
    model = Model(2)
    with recording.jitted() as recorded:
      for _ in range(3):
        jax.clear_caches()
        jax.jit(model.method)(X)
      jax.jit(Model(3).method)(X)
    self.assertLen(recorded.programs, 2)

  def test_a_method_sees_what_its_object_holds_now(self):
    model = Model(2)
    with recording.jitted():
      for factor in (2, 3):
        model.factor = factor
        np.testing.assert_array_equal(jax.jit(model.method)(X), factor * X)

  def test_ends(self):
    plain = jax.jit
    with self.assertRaises(ZeroDivisionError):
      with recording.jitted() as recorded:
        self.assertIsNot(jax.jit, plain)
        kept, f = jax.jit, jax.jit(lambda x: 2 * x)
        raise ZeroDivisionError
    self.assertIs(jax.jit, plain)
    np.testing.assert_array_equal(f(X), 2 * X)
    np.testing.assert_array_equal(kept(lambda x: 3 * x)(X), 3 * X)
    self.assertEmpty(recorded.programs)

  def test_errors_are_those_of_jax(self):
    def generator(x):
      yield x

    def said(*args, **kwargs):
      try:
        jax.jit(*args, **kwargs)
      except Exception as e:
        return type(e), str(e)
      raise AssertionError("nothing was raised")

    wrong = [((3,), {}), ((generator,), {}), ((), {"nothing": 1}),
             ((lambda x: x,), {"static_argnums": "a"})]
    expected = [said(*args, **kwargs) for args, kwargs in wrong]
    with recording.jitted():
      self.assertEqual([said(*args, **kwargs) for args, kwargs in wrong],
                       expected)


if __name__ == "__main__":
  absltest.main()
