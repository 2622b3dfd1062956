"""Calls and loops: what becomes one there, and what must not: two tables."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import io_callback
import jax.numpy as jnp

from calls_and_loops import fresh, scan, while_below
import checking
from custom_rules import (
    ONE, TWO, Tagged, acting, applied, clipped, custom, of_tagged,
    same_with_another_rule, with_rule)
import jax_cse
from jax_cse.compat import core

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


def _raise(x):
  raise NotImplementedError


def _nested_loop(x, y, swap):
  order = (lambda c: c[::-1]) if swap else (lambda c: c)

  def inner(c, _):
    a, b = order(c)
    return order((lax.sin(b), lax.cos(a))), None

  outer = lambda c, _: (scan(inner, c, length=2)[0], None)
  return order(scan(outer, order((x, y)))[0])


# Name, function, arguments, and the equations that CSE takes away.
MUST_MERGE = (
    ("the same call", lambda x: (fresh(lax.sin)(x), fresh(lax.sin)(x)),
     (X,), 2),
    ("a call and what it computes", lambda x: (lax.sin(x), fresh(lax.sin)(x)),
     (X,), 2),
    ("congruent operands",
     lambda x: fresh(lambda a, b: lax.sin(a) + lax.sin(b))(x, x), (X,), 1),
    ("equal results",
     lambda x: fresh(lambda a, b: (lax.sin(a), lax.sin(b)))(x, x), (X,), 1),
    ("one of two results is known",
     lambda x: (lax.sin(x), *fresh(lambda a: (lax.sin(a), lax.cos(a)))(x)),
     (X,), 1),
    ("a call in a call", lambda x: fresh(lambda a, b: fresh(
        lambda c, d: lax.sin(c) * lax.sin(d))(a, b))(x, x), (X,), 1),
    ("custom_jvp", lambda x: (custom(x), custom(x)), (X,), 3),
    ("custom_jvp under vmap",
     lambda x: jax.vmap(lambda a: custom(a) + custom(a))(x), (X,), 3),
    ("custom_jvp by a method", lambda x: (with_rule(ONE.rule)(x),
                                          with_rule(ONE.rule)(x)), (X,), 2),
    ("custom_jvp by an object", lambda x: (with_rule(ONE)(x),
                                           with_rule(ONE)(x)), (X,), 2),
    ("custom_jvp with arguments", lambda x: (
        applied(lax.sin, 2.0, x), applied(lax.sin, 2.0, x)), (X,), 2),
    ("custom_jvp of a pytree", lambda x: (
        of_tagged(Tagged(x, ONE)), of_tagged(Tagged(x, ONE))), (X,), 2),
    ("branches on congruent operands", lambda x: lax.cond(
        x[0] > 1, lambda a, b: lax.sin(a) + lax.sin(b),
        lambda a, b: lax.cos(a), x, x), (X,), 1),
    ("the same cond", lambda x: (
        lax.cond(x[0] > 1, lax.sin, lax.cos, x),
        lax.cond(x[0] > 1, lax.sin, lax.cos, x)), (X,), 7),
    ("carries", lambda x: scan(
        lambda c, _: ((lax.sin(c[0]), lax.sin(c[1])), None), (x, x)), (X,), 1),
    ("crossed carries", lambda x: scan(
        lambda c, _: ((lax.sin(c[1]), lax.sin(c[0])), None), (x, x)), (X,), 1),
    ("a carry and a constant", lambda x: scan(
        lambda c, _: ((c[0] + lax.sin(c[1]) + lax.sin(x), c[1]), None),
        (X, x))[0], (Y,), 1),
    ("scanned inputs", lambda x: scan(
        lambda c, s: (c + lax.sin(s[0]) * lax.sin(s[1]), None),
        X[0], (x, x), length=None), (Y,), 1),
    ("stacked results", lambda x: scan(
        lambda c, s: (c, (lax.sin(s), lax.sin(s) * 2)), X[0], x, length=None),
     (Y,), 1),
    ("the same loop", lambda x: (
        scan(lambda c, _: (lax.sin(c), None), x),
        scan(lambda c, _: (lax.sin(c), None), x)), (X,), 2),
    ("a loop that is part of another", lambda x: (
        scan(lambda c, _: (lax.sin(c), None), x)[0],
        scan(lambda c, _: ((lax.sin(c[0]), c[1] * c[1]), None), (x, x))[0]),
     (X,), 1),
    ("carries of a while", lambda x: while_below(
        lambda c: (c[0] * 2, c[1] * 2), (x, x)), (X,), 1),
    ("loops in loops, with carries in another order", lambda x: (
        _nested_loop(x, x + 1, False), _nested_loop(x, x + 1, True)), (X,), 5),
    ("a loop in a loop", lambda x: scan(lambda c, _: (scan(
        lambda d, _: ((lax.sin(d[0]), lax.sin(d[1])), None), c)[0], None),
        (x, x)), (X,), 1),
    ("inside of a checkpoint", lambda x: jax.checkpoint(
        lambda a, b: lax.sin(a) * lax.sin(b))(x, x), (X,), 1),
    ("triangle of a triangle", lambda x: jnp.tril(jnp.tril(x)),
     (jnp.eye(3) + 1,), 7),
)

MUST_NOT_MERGE = (
    ("different operands", lambda x, y: (fresh(lax.sin)(x),
                                         fresh(lax.sin)(y)), (X, Y)),
    ("different functions", lambda x: (fresh(lax.sin)(x), fresh(lax.cos)(x)),
     (X,)),
    ("operands in another order", lambda x, y: (
        fresh(lax.sub)(x, y), fresh(lax.sub)(y, x)), (X, Y)),
    ("other rules", lambda x: (custom(x), same_with_another_rule(x)), (X,)),
    ("rules with other numbers", lambda x: (
        applied(lax.sin, 2.0, x), applied(lax.sin, 2, x)), (X,)),
    ("rules with other functions", lambda x: (
        applied(lax.sin, 2.0, x), applied(lambda y: lax.sin(y), 2.0, x)),
     (X,)),
    ("rules that are seen", acting(
        lambda x: jax.debug.callback(lambda _: None, x)), (X,)),
    ("rules that call back", acting(lambda x: io_callback(
        lambda _: None, None, x)), (X,)),
    ("rules that raise", acting(_raise), (X,)),
    ("rules that are equal", lambda x: (with_rule(ONE)(x),
                                        with_rule(TWO)(x)), (X,)),
    ("methods of what is equal", lambda x: (
        with_rule(ONE.rule)(x), with_rule(TWO.rule)(x)), (X,)),
    ("pytrees that are equal", lambda x: (
        of_tagged(Tagged(x, ONE)), of_tagged(Tagged(x, TWO))), (X,)),
    ("a rule and none", lambda x: (custom(x), fresh(
        lambda a: lax.sin(a) - a)(x)), (X,)),
    ("rules for cotangents", lambda x: (clipped(x), clipped(x)), (X,)),
    ("two checkpoints", lambda x: (jax.checkpoint(lax.sin)(x),
                                   jax.checkpoint(lax.sin)(x)), (X,)),
    ("into a checkpoint", lambda x: (lax.sin(x), jax.checkpoint(lax.sin)(x)),
     (X,)),
    ("a barrier inside", lambda x: (
        fresh(lambda a: lax.optimization_barrier(lax.sin(a)))(x),
        fresh(lambda a: lax.optimization_barrier(lax.sin(a)))(x)), (X,)),
    ("carries that start apart", lambda x, y: scan(
        lambda c, _: ((lax.sin(c[0]), lax.sin(c[1])), None), (x, y)), (X, Y)),
    ("carries that part", lambda x: scan(
        lambda c, _: ((lax.sin(c[0]), lax.cos(c[1])), None), (x, x)), (X,)),
    ("carries that part in the second step", lambda x: scan(
        lambda c, _: ((c[1] * 2, c[2] * 2, c[2] * 3), None), (x, x, x)), (X,)),
    ("a carry that leaves its constant", lambda x: scan(
        lambda c, _: (c * x, None), x), (X,)),
    ("an invariant carry alone", lambda x, y: scan(
        lambda c, _: ((c[0] + c[1], c[1]), None), (x, y)), (X, Y)),
    ("other lengths", lambda x: (
        scan(lambda c, _: (lax.sin(c), None), x, length=3),
        scan(lambda c, _: (lax.sin(c), None), x, length=4)), (X,)),
    ("other directions", lambda x: (
        scan(lambda c, s: (c * s, c), 2., x, length=None),
        scan(lambda c, s: (c * s, c), 2., x, length=None, reverse=True)),
     (Y,)),
    ("other unrolling", lambda x: (
        scan(lambda c, _: (lax.sin(c), None), x, unroll=1),
        scan(lambda c, _: (lax.sin(c), None), x, unroll=3)), (X,)),
    ("other ends", lambda x: (
        while_below(lambda c: (c[0] * 2, c[1] + 1), (x, X), 4.),
        while_below(lambda c: (c[0] * 2, c[1] + 1), (x, X), 5.)), (Y + 2,)),
    ("a final value and a step", lambda x: (
        lax.sin(x), scan(lambda c, _: (lax.sin(c), None), x)), (X,)),
    ("other branches", lambda p, x: (
        lax.cond(p, lax.sin, lax.cos, x),
        lax.cond(~p, lax.sin, lax.cos, x)), (True, X)),
    ("random draws in calls", lambda k: (
        fresh(jax.random.uniform)(k), fresh(jax.random.uniform)(k)),
     (jax.random.key(0),)),
    ("select with another predicate", lambda x, y: lax.select(
        x > 1, x, lax.select(y > 0, x, y)), (X, Y)),
    ("half of a double", lambda x: (x + x) / 2, (X,)),
    ("transposed sum of others", lambda x: x.T + x, (jnp.eye(3) + 1,)),
)


class TablesTest(parameterized.TestCase):

  @parameterized.named_parameters(*MUST_MERGE)
  def test_must_merge(self, fun, args, delta):
    jax.clear_caches()
    plain = checking.trace(fun, *args)
    with jax_cse.enabled():
      merged = checking.trace(fun, *args)
    core.check_jaxpr(merged.jaxpr)
    self.assertEqual(checking.size(plain) - checking.size(merged), delta,
                     f"{plain}\n{merged}")
    checking.assert_same_bits(core.jaxpr_as_fun(merged)(*args),
                              core.jaxpr_as_fun(plain)(*args))
    rewritten = jax_cse.cse_jaxpr(plain, mode="exact")
    core.check_jaxpr(rewritten.jaxpr)
    self.assertLessEqual(checking.size(rewritten),
                         checking.size(merged), f"{rewritten}\n{merged}")
    checking.assert_same_bits(core.jaxpr_as_fun(rewritten)(*args),
                              core.jaxpr_as_fun(plain)(*args))
    self.assertEqual(str(jax_cse.cse_jaxpr(rewritten, mode="exact")),
                     str(rewritten))

  @parameterized.named_parameters(*MUST_NOT_MERGE)
  def test_must_not_merge(self, fun, args):
    jax.clear_caches()
    plain = checking.trace(fun, *args)
    with jax_cse.enabled():
      merged = checking.trace(fun, *args)
    self.assertEqual(str(merged), str(plain))
    self.assertEqual(str(jax_cse.cse_jaxpr(plain, mode="exact")), str(plain))

  def test_more_must_not_than_must(self):
    self.assertGreater(len(MUST_NOT_MERGE), len(MUST_MERGE))


if __name__ == "__main__":
  absltest.main()
