"""Loops that look alike from inside, and values that differ in type alone."""

import functools
import gc
from unittest import mock
import weakref

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.foundation import modes
from jax_cse.memo import memo_table
from jax_cse.numbering.jaxpr_numbering import Scope

_ONE = jnp.bfloat16(1)


def _goes_on(c):
  return c < 3


def _sum_below(own):
  """Whether the loop in the test of a `while` adds up its own counter, or that
  of the loop around."""
  def inner(i):
    return lax.fori_loop(0, 4, lambda j, s: s + (j if own else i) * j, 0)
  return lambda: lax.while_loop(
      lambda i: (inner(i) < 15) & (i < 9), lambda i: i + 1, 0)


def _nested(own):
  return lambda: lax.scan(
      lambda c, _: (c + _sum_below(own)(), None), 0, None, length=2)[0]


def _stacked(x, steps):
  return lax.scan(lambda _, y: (None, lax.sin(x(y))), None, *steps)[1]


def _final(x, steps):
  return lax.scan(lambda c, y: (lax.sin(x(y)), None), 0., *steps)[0]


class LoopsTest(parameterized.TestCase):

  @parameterized.product(scan=[_stacked, _final], mode=modes.MODES)
  def test_what_does_not_change_in_an_inner_loop(self, scan, mode):
    # The element of the outer loop is no element of the inner one, which has as
    # many steps.
    def fun(xs):
      outside = scan(lambda y: y, (xs,))
      body = lambda _, x: (None, (
          lax.cos(scan(lambda _: x, (None, 3))), lax.cos(outside)))
      return lax.scan(body, None, xs)[1]

    x = jnp.arange(3.)
    wanted = fun(x)
    with jax_cse.enabled(mode):
      found = jax.jit(lambda x: fun(x))(x)
    rewritten = core.jaxpr_as_fun(
        jax_cse.cse_jaxpr(checking.trace(fun, x), mode))(x)
    for results in (found, rewritten):
      for y, z in zip(results, wanted, strict=True):
        np.testing.assert_array_equal(y, z)

  @parameterized.product(make=[_sum_below, _nested], mode=modes.MODES)
  def test_a_loop_in_the_test_of_a_loop(self, make, mode):
    fun = lambda: (make(True)(), make(False)())
    wanted = fun()
    self.assertNotEqual(*map(int, wanted))
    with jax_cse.enabled(mode):
      self.assertEqual(jax.jit(lambda: fun())(), wanted)
    plain = checking.trace(fun)
    self.assertEqual(
        core.jaxpr_as_fun(jax_cse.cse_jaxpr(plain, mode))(), list(wanted))

  @parameterized.product(other_first=[True, False], kind=["scan", "while"])
  def test_a_loop_on_a_transpose_and_on_another_value(self, other_first, kind):
    def step(a, b, c):
      return c + lax.sin(c) * lax.sin(c) + b.T + lax.cos(a)

    def loop(a, b, c):
      if kind == "scan":
        return lax.scan(lambda c, _: (step(a, b, c), None), c, None,
                        length=3)[0]
      return lax.while_loop(lambda c: jnp.sum(c + b.T + a) < 50,
                            lambda c: step(a, b, c), c)

    x, y, z, c = (jnp.arange(4.).reshape(2, 2) + i for i in range(4))
    traced = jax.make_jaxpr(loop)(x, y, c)
    same = lambda *xs: core.jaxpr_as_fun(traced)(*xs)[0]

    def fun(x, y, z, c):
      loops = [lambda: same(x, x.T, c), lambda: same(y, z, c)]
      return [run() for run in (loops[::-1] if other_first else loops)]

    wanted = jax.jit(lambda *xs: fun(*xs))(x, y, z, c)
    with jax_cse.enabled():
      found = jax.jit(lambda *xs: fun(*xs))(x, y, z, c)
    for a, b in zip(wanted, found):
      np.testing.assert_array_equal(a, b)

  def test_what_is_known_of_a_loop_goes_with_its_body(self):
    alive = weakref.WeakSet()

    def trace(i):
      def body(c):
        return lax.sin(c) * (i + .5) + c

      def inner(c):
        # The test of the loop around holds that loop's own body.
        return lax.while_loop(_goes_on, body, c)

      traced = jax.make_jaxpr(
          lambda x: lax.while_loop(lambda c: inner(c) < 2, body, x))(1.)
      alive.add(traced.eqns[0].params["body_jaxpr"].jaxpr)

    with jax_cse.enabled():
      for i in range(5):
        trace(i)
      jax.clear_caches()
      gc.collect()
      self.assertEmpty(alive)

  def test_a_loop_without_steps_on_what_is_computed(self):
    def fun(a, b):
      start = lax.select(a > 0, a, b)
      return lax.scan(lambda c, _: (c + 1, c), start, None, length=0)[0]

    for mode in modes.MODES:
      self.assertEqual(jax_cse.cse(fun, mode)(jnp.int32(3), jnp.int32(4)), 3)

  def test_a_result_without_a_variable(self):
    equal = jax.jit(lambda x: (lax.sin(x), lax.sin(x)))
    traced = jax.make_jaxpr(lambda x: equal(x)[1])(1.)
    eqn, = traced.eqns
    dropped = eqn.replace(
        outvars=[compat.DropVar(eqn.outvars[0].aval), eqn.outvars[1]])
    traced = jaxprs.with_equations(traced, [dropped], traced.jaxpr.outvars)
    for mode in modes.MODES:
      found = jax_cse.cse_jaxpr(traced, mode)
      self.assertAlmostEqual(core.jaxpr_as_fun(found)(1.)[0], np.sin(1.), 6)

  def test_a_rule_that_clears_the_memo_while_a_loop_is_numbered(self):
    @jax.custom_jvp
    def f(x):
      return lax.sin(x)

    @f.defjvp
    def _(primals, tangents):
      memo.clear()
      return f(*primals), tangents[0]

    def inner(c):
      return lax.scan(lambda c, _: (lax.cos(c), None), c, None, length=2)[0]

    def fun(x):
      return lax.scan(lambda c, _: (inner(f(c)), None), x, None, length=2)[0]

    with jax_cse.enabled() as memo:
      self.assertEqual(jax_cse.count_primitives(fun)(1.)["cos"], 1)

  @parameterized.parameters(True, False)
  def test_classes_do_not_depend_on_what_was_traced_before(self, other_first):
    @jax.jit
    def loop(a, b, x):
      def step(c, _):
        p, q = c
        return (lax.sin(q + b.T), lax.sin(p + a)), None
      p, q = lax.scan(step, (x, x), length=3)[0]
      return lax.cos(p), lax.cos(q)

    # Of the first the two carries are one, since b.T is a.
    one = lambda a: [lax.exp(t) for t in loop(a, a.T, a)]
    two = lambda a: [lax.exp(t) for t in loop(a, a * 2, a)]
    x = jnp.eye(3) + 1
    with jax_cse.enabled():
      if other_first:
        jax_cse.count_primitives(two)(x)
      self.assertEqual(jax_cse.count_primitives(one)(x)["exp"], 1)


class WorkTest(absltest.TestCase):

  def _numbered(self, fun):
    """How many equations are numbered to trace a function."""
    count = 0
    body = Scope.body

    def counted(self, closed_jaxpr, operands):
      nonlocal count
      count += len(closed_jaxpr.jaxpr.eqns)
      return body(self, closed_jaxpr, operands)

    with (jax_cse.enabled(), mock.patch.object(Scope, "body", counted),
          mock.patch.object(memo_table, "_MAX_SIZE", 10**6)):
      jax.make_jaxpr(fun)(1.)
    self.assertGreater(count, 0)
    return count

  @absltest.skipIf(jax.__version_info__ < (0, 10, 1),
                   "JAX makes a new jaxpr of a loop for each loop around it")
  def test_loops_in_loops(self):
    def delay_lines(depth, x):
      def body(_, c):
        y = delay_lines(depth - 1, c[0]) if depth > 1 else lax.sin(c[0])
        return (y + 1., *c[:-1])
      return lax.fori_loop(0, 3, body, (x,) + (jnp.zeros(()),) * 5)[-1]

    work = [self._numbered(functools.partial(delay_lines, depth))
            for depth in (4, 8, 16)]
    self.assertLessEqual(work[1], 2.3 * work[0])
    self.assertLessEqual(work[2], 2.3 * work[1])

  def test_carries_that_part_one_by_one(self):
    def loop(count, x):
      def body(c, _):
        return tuple(lax.sin(c[i - 1]) if i else c[0] + x
                     for i in range(count)), None
      return lax.scan(body, (jnp.zeros(()),) * count, None, length=3)[0][-1]

    work = [self._numbered(functools.partial(loop, count))
            for count in (20, 80)]
    self.assertLessEqual(work[1], 4.5 * work[0])


class TypesTest(parameterized.TestCase):

  @parameterized.named_parameters(
      ("a call", jax.jit(lambda u: u)),
      ("no steps", lambda u: lax.fori_loop(0, 0, lambda _, c: c, u)),
      ("a scan", lambda u: lax.scan(lambda c, _: (c, None), u, length=0)[0]))
  def test_a_tangent_that_is_weak_where_its_value_is_not(self, identity):
    def fun(a):
      _, (t, _) = jax.jvp(
          lambda t: jax.jvp(identity, (t,), (1.,)), (a,), (1.,))
      return t * _ONE

    wanted = jax.make_jaxpr(lambda a: fun(a))(np.float32(0.7)).out_avals
    with jax_cse.enabled():
      found = jax.make_jaxpr(lambda a: fun(a))(np.float32(0.7)).out_avals
    self.assertEqual(found, wanted)

  @parameterized.parameters(True, False)
  def test_scanned_inputs_that_are_weak_outside(self, weak_first):
    scan = lambda xs: lax.scan(lambda c, x: (c, lax.sin(x)), 0., xs)[1]
    weak, strong = lax.broadcast(1., (4,)), jnp.ones(4)
    jaxprs = [jax.make_jaxpr(scan)(xs) for xs in (
        (weak, strong) if weak_first else (strong, weak))]
    fun = lambda x: [core.jaxpr_as_fun(jaxpr)(x)[0] * _ONE for jaxpr in jaxprs]
    wanted = jax.make_jaxpr(lambda x: fun(x))(weak).out_avals
    with jax_cse.enabled():
      self.assertEqual(jax.make_jaxpr(lambda x: fun(x))(weak).out_avals, wanted)


if __name__ == "__main__":
  absltest.main()
