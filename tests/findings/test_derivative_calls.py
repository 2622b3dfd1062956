"""Which derivatives are taken, where, and one inside of which."""

import threading

from absl.testing import absltest
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.advice import known_parts
from jax_cse.findings import derivative_calls

X = np.ones(3, "float32")


def calls_of(fun, *args):
  return derivative_calls.watched(fun, args, {})[1]


def f(x):
  return jnp.sum(lax.sin(x))


class WatchedTest(absltest.TestCase):

  def test_lines_and_sizes(self):
    def program(x):
      a = jax.hessian(f)(x)
      b = jax.jvp(f, (x,), (x,))
      c = jax.linearize(f, x)[0]
      return a, b, c
    outer, inner, forward, linear = calls_of(program, X)
    self.assertEqual([call.how for call in (outer, inner, forward, linear)],
                     ["forward", "reverse", "forward", "linear"])
    self.assertIs(inner.around, outer)
    self.assertEqual(outer.inside, [inner])
    self.assertIsNone(forward.around)
    for call, text in ((outer, "a = jax.hessian(f)(x)"),
                       (inner, "a = jax.hessian(f)(x)"),
                       (forward, "b = jax.jvp(f, (x,), (x,))"),
                       (linear, "c = jax.linearize(f, x)[0]")):
      self.assertEqual(call.line.text, text)
      self.assertEqual((call.size, call.shapes), (3, ((3,),)))
    self.assertEqual((outer.order, inner.order), (2, 1))

  def test_only_real_numbers_count(self):
    program = lambda x, n: jax.grad(
        lambda tree: jnp.sum(tree[0]) * 1.0, allow_int=True)((x, n))[0]
    call, = calls_of(program, X, 3)
    self.assertEqual(call.size, 3)

  def test_who_calls_it_is_not_its_line(self):
    call, = calls_of(jax.grad(f), X)
    self.assertIsNone(call.line)

  def test_functions_made_before(self):
    made = jax.jit(jax.grad(jax.grad(lambda x: lax.sin(x))))
    made(1.0)
    for _ in range(2):
      self.assertLen(calls_of(lambda x: made(x), 1.0), 2)

  def test_the_same_jaxpr(self):
    for fun in (jax.hessian(f), jax.jit(jax.grad(f))):
      self.assertEqual(str(derivative_calls.watched(fun, (X,), {})[0]),
                       str(jax.make_jaxpr(fun)(X)))

  def test_afterwards_all_is_as_it_was(self):
    before = jax.vjp, jax.linearize, jax._src.api.vjp, jax._src.api._jvp
    calls_of(jax.hessian(f), X)
    with self.assertRaises(ZeroDivisionError):
      calls_of(lambda x: 1 // 0, X)
    self.assertEqual(before, (
        jax.vjp, jax.linearize, jax._src.api.vjp, jax._src.api._jvp))

  def test_other_threads_are_not_watched(self):
    def program(x):
      thread = threading.Thread(target=lambda: jax.grad(f)(X))
      thread.start()
      thread.join()
      return jax.grad(f)(x)
    self.assertLen(calls_of(program, X), 1)

  def test_one_report_in_another(self):
    def program(x):
      calls_of(jax.hessian(f), X)
      return jax.grad(f)(x)
    self.assertLen(calls_of(program, X), 1)

  def test_the_mode_in_force_does_not_matter(self):
    with jax_cse.enabled("ring"):
      self.assertLen(calls_of(jax.hessian(f), X), 2)
      self.assertEqual(jax_cse.active_mode(), "ring")


class ReplacedTest(absltest.TestCase):

  def test_another_derivative(self):
    def answer(call, plain, fun, args, kwargs):
      if call.line is None or "first" not in call.line.text:
        return None
      with derivative_calls.plainly():
        jax.grad(f)(X)   # is not noted, and has no answer
      return fun(*args), lambda ct: (jnp.full(3, 7.0),)

    def program(x):
      first = jax.grad(f)(x)
      second = jax.grad(f)(x)
      return first, second
    closed_jaxpr = derivative_calls.replaced(program, (X,), {}, answer)
    first, second = core.jaxpr_as_fun(closed_jaxpr)(X)
    np.testing.assert_array_equal(first, np.full(3, 7.0))
    np.testing.assert_allclose(second, np.cos(X), 1e-6)


class KnownPartsTest(absltest.TestCase):

  def reads_no_more(self, fun, first, second, *others):
    return known_parts.reads_no_more(
        jax.make_jaxpr(fun)(first, *others), first, second)

  def test_what_meets_others(self):
    a, b = np.float32([1, 2, 3]), np.float32([3, 2, 1])
    same = lambda fun: self.reads_no_more(fun, a, b, X)
    self.assertTrue(same(lambda m, x: m.sum() * x))
    self.assertTrue(same(lambda m, x: jnp.sort(m) * x))
    self.assertFalse(same(lambda m, x: m * x))
    self.assertFalse(same(lambda m, x: (m.sum() * x, m)))
    self.assertTrue(same(lambda m, x: (m * 0 + 1) * x))
    self.assertTrue(same(lambda m, x: x))
    self.assertFalse(same(lambda m, x: m[0] * x))
    self.assertTrue(same(lambda m, x: (m @ jnp.arange(1.0, 4.0)
                                       + m @ jnp.arange(3.0, 0, -1)) * x))

  def test_calls_and_loops(self):
    a, b = np.float32([1, 2, 3]), np.float32([3, 2, 1])
    same = lambda fun: self.reads_no_more(fun, a, b, X)

    def summed(m, x, n=3):
      step = lambda i, y: (y[0] + m[i % 3], y[1] + x)
      total, other = lax.fori_loop(0, n, step, (0.0, x))
      return total * other
    self.assertTrue(same(summed))
    self.assertFalse(same(lambda m, x: summed(m, x, 2)))
    self.assertFalse(same(lambda m, x: summed(m, x, 300)))
    self.assertTrue(same(jax.jit(lambda m, x: m.sum() * x)))
    self.assertFalse(same(jax.jit(lambda m, x: m * x)))
    self.assertFalse(same(lambda m, x: lax.cond(
        x[0] > 0, lambda: m.sum(), lambda: 0.0)))   # a limit
    rows = lambda m, x: lax.scan(lambda y, v: (y + v, v), 0.0, m)
    self.assertFalse(same(lambda m, x: rows(m, x)[1] * x))
    self.assertTrue(same(lambda m, x: rows(m, x)[0] * x))


if __name__ == "__main__":
  absltest.main()
