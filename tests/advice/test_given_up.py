"""Calls and loops that are left alone: named if something is lost by that."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import numpy as np

import jax_cse

X = np.ones(8, "float32")
W = np.ones((8, 8), "float32")


def loop(x, note=lambda y: None):
  def step(y, _):
    y = lax.sin(y) @ W
    note(y)
    return y, None
  return lax.scan(step, x, length=5)[0]


def print_it(y):
  jax.debug.print("{}", y[0])


def with_print(x):
  return loop(x, print_it)


@jax.custom_vjp
def own_rule(x):
  return loop(x)


own_rule.defvjp(lambda x: (own_rule(x), x), lambda x, ct: (ct,))


@jax.custom_vjp
def short(x):
  return lax.sin(x) @ W


short.defvjp(lambda x: (short(x), x), lambda x, ct: (ct,))


def branches(x):
  """Merged but for the print, which reads nothing of the loop."""
  def one(x):
    print_it(x)
    return loop(x)
  return lax.cond(x[0] > 0, one, lax.neg, x)


def in_a_loop_with_callback(x):
  def step(y, _):
    y = jax.pure_callback(np.negative, y, lax.sin(y) @ W)
    return y, None
  return lax.scan(step, x, length=5)[0]


def twice(call):
  return lambda x: (call(x), call(x))


def of_references(x):
  reference = jax.new_ref(x)
  def step(i):
    reference[...] = lax.sin(reference[...])
    return i + 1
  count = [lax.while_loop(lambda i: i < 5, step, 0) for _ in range(2)]
  return reference[...], count


def of_keys(x):
  key = jax.random.key(0)
  return x * jax.random.normal(key, (8,)), jax.random.normal(key, (8,))


def once(x):
  return with_print(x), own_rule(x + 1)


class GivenUpTest(parameterized.TestCase):

  @parameterized.parameters(
      (with_print, "scan", "has effects", "take the effect out"),
      (own_rule, "custom_vjp_call", "a rule of the user's", "without a rule"),
      (in_a_loop_with_callback, "scan", "a callback fires once",
       "take the callback out"))
  def test_named(self, call, primitive, reason, write):
    found, = jax_cse.redundancy(twice(call), compiled=False)(X).advice
    self.assertStartsWith(found.seen, f"{primitive}, left alone")
    self.assertIn(reason, found.seen)
    self.assertIn("once and read the result twice", found.write)
    self.assertIn(write, found.write)
    self.assertEqual(found.line.file, __file__)
    # One of two is left.
    self.assertBetween(found.share, 0.45, 0.51)

  def test_where_the_effect_is(self):
    found, = jax_cse.redundancy(twice(with_print), compiled=False)(X).advice
    self.assertRegex(found.seen, r"repeats test_given_up.py:\d+: has effects "
                     r"\(test_given_up.py:\d+\)$")

  def test_following_it_saves_that(self):
    report = jax_cse.redundancy(twice(with_print), compiled=False)(X)
    followed = jax_cse.redundancy(twice(loop), compiled=False)(X)
    self.assertEqual(report.advice[0].equations,
                     report.merged - followed.merged)

  # XLA merges a short call, and draws twice by one key no numbers.
  @parameterized.parameters(
      twice(short), twice(branches), of_keys, of_references, once,
      twice(jax.checkpoint(loop)), loop)
  def test_nothing_pays(self, program):
    self.assertEmpty(jax_cse.redundancy(program, compiled=False)(X).advice)

  def test_compiled_as_well(self):
    found, = jax_cse.redundancy(twice(with_print))(X).advice
    self.assertStartsWith(found.seen, "scan, left alone")


if __name__ == "__main__":
  absltest.main()
