"""Calls and loops: what becomes one there, what must not, and what survives."""

import itertools

import functools

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import io_callback
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse import compat
from jax_cse.compat import core
from jax_cse.numbering import congruence
from jax_cse.numbering import jaxpr_numbering
from jax_cse.numbering import keys
from jax_cse.numbering import value_numbering
from jax_cse.numbering.expressions import Expressions

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


def _fresh(f):
  """A `jit` of its own: JAX has the jaxpr of no other call for it."""
  return jax.jit(lambda *xs: f(*xs))


@jax.custom_jvp
def _custom(x):
  return jnp.sin(x) * x


@_custom.defjvp
def _custom_rule(primals, tangents):
  return _custom(*primals), jnp.cos(primals[0]) * tangents[0]


@jax.custom_jvp
def _same_with_another_rule(x):
  return jnp.sin(x) * x


@_same_with_another_rule.defjvp
def _another_rule(primals, tangents):
  return _same_with_another_rule(*primals), tangents[0]


@jax.custom_vjp
def _clipped(x):
  return lax.sin(x)


_clipped.defvjp(lambda x: (_clipped(x), None),
                lambda _, ct: (jnp.clip(ct, -1, 1),))


class _Equal:
  """A rule, or what a pytree is flattened with, that is equal to any other."""

  def __init__(self, slope):
    self.slope = slope

  def __eq__(self, other):
    return isinstance(other, _Equal)

  def __hash__(self):
    return 0

  def __call__(self, primals, tangents):
    return lax.sin(primals[0]), tangents[0] * self.slope

  def rule(self, primals, tangents):
    return self(primals, tangents)


_ONE, _TWO = _Equal(1.0), _Equal(2.0)


def _with_rule(rule):
  fun = jax.custom_jvp(lax.sin)
  fun.defjvp(rule)
  return fun


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _applied(fun, factor, x):
  return fun(x)
_applied.defjvp(lambda fun, factor, xs, ts: (
    _applied(fun, factor, *xs), factor * ts[0]))


def _acting(act):
  """A function with a rule that does something, or raises."""
  fun = jax.custom_jvp(lax.sin)
  fun.defjvp(lambda xs, ts: (fun(*xs), (act(xs[0]), ts[0])[1]))
  return lambda x: (fun(x), fun(x))


def _raise(x):
  raise NotImplementedError


@jax.tree_util.register_pytree_node_class
class _Tagged:

  def __init__(self, x, tag):
    self.x, self.tag = x, tag

  def tree_flatten(self):
    return (self.x,), self.tag

  @classmethod
  def tree_unflatten(cls, tag, children):
    return cls(*children, tag)


@jax.custom_jvp
def _of_tagged(tagged):
  return lax.sin(tagged.x)


@_of_tagged.defjvp
def _of_tagged_rule(primals, tangents):
  tagged, = primals
  return lax.sin(tagged.x), tangents[0].x * tagged.tag.slope


def _both(c, ys=()):
  return c[0] + c[1], ys


def _scan(step, init, xs=None, length=3, **kwargs):
  return lax.scan(step, init, xs, length=length, **kwargs)


def _while(step, init, until=4.):
  return lax.while_loop(lambda c: jnp.sum(c[0]) < until, step, init)


def _nested_loop(x, y, swap):
  order = (lambda c: c[::-1]) if swap else (lambda c: c)

  def inner(c, _):
    a, b = order(c)
    return order((lax.sin(b), lax.cos(a))), None

  outer = lambda c, _: (_scan(inner, c, length=2)[0], None)
  return order(_scan(outer, order((x, y)))[0])


# Name, function, arguments, and the equations that CSE takes away.
MUST_MERGE = (
    ("the same call", lambda x: (_fresh(lax.sin)(x), _fresh(lax.sin)(x)),
     (X,), 2),
    ("a call and what it computes", lambda x: (lax.sin(x), _fresh(lax.sin)(x)),
     (X,), 2),
    ("congruent operands",
     lambda x: _fresh(lambda a, b: lax.sin(a) + lax.sin(b))(x, x), (X,), 1),
    ("equal results",
     lambda x: _fresh(lambda a, b: (lax.sin(a), lax.sin(b)))(x, x), (X,), 1),
    ("one of two results is known",
     lambda x: (lax.sin(x), *_fresh(lambda a: (lax.sin(a), lax.cos(a)))(x)),
     (X,), 1),
    ("a call in a call", lambda x: _fresh(lambda a, b: _fresh(
        lambda c, d: lax.sin(c) * lax.sin(d))(a, b))(x, x), (X,), 1),
    ("custom_jvp", lambda x: (_custom(x), _custom(x)), (X,), 3),
    ("custom_jvp under vmap",
     lambda x: jax.vmap(lambda a: _custom(a) + _custom(a))(x), (X,), 3),
    ("custom_jvp by a method", lambda x: (_with_rule(_ONE.rule)(x),
                                          _with_rule(_ONE.rule)(x)), (X,), 2),
    ("custom_jvp by an object", lambda x: (_with_rule(_ONE)(x),
                                           _with_rule(_ONE)(x)), (X,), 2),
    ("custom_jvp with arguments", lambda x: (
        _applied(lax.sin, 2.0, x), _applied(lax.sin, 2.0, x)), (X,), 2),
    ("custom_jvp of a pytree", lambda x: (
        _of_tagged(_Tagged(x, _ONE)), _of_tagged(_Tagged(x, _ONE))), (X,), 2),
    ("branches on congruent operands", lambda x: lax.cond(
        x[0] > 1, lambda a, b: lax.sin(a) + lax.sin(b),
        lambda a, b: lax.cos(a), x, x), (X,), 1),
    ("the same cond", lambda x: (
        lax.cond(x[0] > 1, lax.sin, lax.cos, x),
        lax.cond(x[0] > 1, lax.sin, lax.cos, x)), (X,), 7),
    ("carries", lambda x: _scan(
        lambda c, _: ((lax.sin(c[0]), lax.sin(c[1])), None), (x, x)), (X,), 1),
    ("crossed carries", lambda x: _scan(
        lambda c, _: ((lax.sin(c[1]), lax.sin(c[0])), None), (x, x)), (X,), 1),
    ("a carry and a constant", lambda x: _scan(
        lambda c, _: ((c[0] + lax.sin(c[1]) + lax.sin(x), c[1]), None),
        (X, x))[0], (Y,), 1),
    ("scanned inputs", lambda x: _scan(
        lambda c, s: (c + lax.sin(s[0]) * lax.sin(s[1]), None),
        X[0], (x, x), length=None), (Y,), 1),
    ("stacked results", lambda x: _scan(
        lambda c, s: (c, (lax.sin(s), lax.sin(s) * 2)), X[0], x, length=None),
     (Y,), 1),
    ("the same loop", lambda x: (
        _scan(lambda c, _: (lax.sin(c), None), x),
        _scan(lambda c, _: (lax.sin(c), None), x)), (X,), 2),
    ("a loop that is part of another", lambda x: (
        _scan(lambda c, _: (lax.sin(c), None), x)[0],
        _scan(lambda c, _: ((lax.sin(c[0]), c[1] * c[1]), None), (x, x))[0]),
     (X,), 1),
    ("carries of a while", lambda x: _while(
        lambda c: (c[0] * 2, c[1] * 2), (x, x)), (X,), 1),
    ("loops in loops, with carries in another order", lambda x: (
        _nested_loop(x, x + 1, False), _nested_loop(x, x + 1, True)), (X,), 5),
    ("a loop in a loop", lambda x: _scan(lambda c, _: (_scan(
        lambda d, _: ((lax.sin(d[0]), lax.sin(d[1])), None), c)[0], None),
        (x, x)), (X,), 1),
    ("inside of a checkpoint", lambda x: jax.checkpoint(
        lambda a, b: lax.sin(a) * lax.sin(b))(x, x), (X,), 1),
    ("triangle of a triangle", lambda x: jnp.tril(jnp.tril(x)),
     (jnp.eye(3) + 1,), 7),
)

MUST_NOT_MERGE = (
    ("different operands", lambda x, y: (_fresh(lax.sin)(x),
                                         _fresh(lax.sin)(y)), (X, Y)),
    ("different functions", lambda x: (_fresh(lax.sin)(x), _fresh(lax.cos)(x)),
     (X,)),
    ("operands in another order", lambda x, y: (
        _fresh(lax.sub)(x, y), _fresh(lax.sub)(y, x)), (X, Y)),
    ("other rules", lambda x: (_custom(x), _same_with_another_rule(x)), (X,)),
    ("rules with other numbers", lambda x: (
        _applied(lax.sin, 2.0, x), _applied(lax.sin, 2, x)), (X,)),
    ("rules with other functions", lambda x: (
        _applied(lax.sin, 2.0, x), _applied(lambda y: lax.sin(y), 2.0, x)),
     (X,)),
    ("rules that are seen", _acting(
        lambda x: jax.debug.callback(lambda _: None, x)), (X,)),
    ("rules that call back", _acting(lambda x: io_callback(
        lambda _: None, None, x)), (X,)),
    ("rules that raise", _acting(_raise), (X,)),
    ("rules that are equal", lambda x: (_with_rule(_ONE)(x),
                                        _with_rule(_TWO)(x)), (X,)),
    ("methods of what is equal", lambda x: (
        _with_rule(_ONE.rule)(x), _with_rule(_TWO.rule)(x)), (X,)),
    ("pytrees that are equal", lambda x: (
        _of_tagged(_Tagged(x, _ONE)), _of_tagged(_Tagged(x, _TWO))), (X,)),
    ("a rule and none", lambda x: (_custom(x), _fresh(
        lambda a: lax.sin(a) - a)(x)), (X,)),
    ("rules for cotangents", lambda x: (_clipped(x), _clipped(x)), (X,)),
    ("two checkpoints", lambda x: (jax.checkpoint(lax.sin)(x),
                                   jax.checkpoint(lax.sin)(x)), (X,)),
    ("into a checkpoint", lambda x: (lax.sin(x), jax.checkpoint(lax.sin)(x)),
     (X,)),
    ("a barrier inside", lambda x: (
        _fresh(lambda a: lax.optimization_barrier(lax.sin(a)))(x),
        _fresh(lambda a: lax.optimization_barrier(lax.sin(a)))(x)), (X,)),
    ("carries that start apart", lambda x, y: _scan(
        lambda c, _: ((lax.sin(c[0]), lax.sin(c[1])), None), (x, y)), (X, Y)),
    ("carries that part", lambda x: _scan(
        lambda c, _: ((lax.sin(c[0]), lax.cos(c[1])), None), (x, x)), (X,)),
    ("carries that part in the second step", lambda x: _scan(
        lambda c, _: ((c[1] * 2, c[2] * 2, c[2] * 3), None), (x, x, x)), (X,)),
    ("a carry that leaves its constant", lambda x: _scan(
        lambda c, _: (c * x, None), x), (X,)),
    ("an invariant carry alone", lambda x, y: _scan(
        lambda c, _: ((c[0] + c[1], c[1]), None), (x, y)), (X, Y)),
    ("other lengths", lambda x: (
        _scan(lambda c, _: (lax.sin(c), None), x, length=3),
        _scan(lambda c, _: (lax.sin(c), None), x, length=4)), (X,)),
    ("other directions", lambda x: (
        _scan(lambda c, s: (c * s, c), 2., x, length=None),
        _scan(lambda c, s: (c * s, c), 2., x, length=None, reverse=True)),
     (Y,)),
    ("other unrolling", lambda x: (
        _scan(lambda c, _: (lax.sin(c), None), x, unroll=1),
        _scan(lambda c, _: (lax.sin(c), None), x, unroll=3)), (X,)),
    ("other ends", lambda x: (
        _while(lambda c: (c[0] * 2, c[1] + 1), (x, X), 4.),
        _while(lambda c: (c[0] * 2, c[1] + 1), (x, X), 5.)), (Y + 2,)),
    ("a final value and a step", lambda x: (
        lax.sin(x), _scan(lambda c, _: (lax.sin(c), None), x)), (X,)),
    ("other branches", lambda p, x: (
        lax.cond(p, lax.sin, lax.cos, x),
        lax.cond(~p, lax.sin, lax.cos, x)), (True, X)),
    ("random draws in calls", lambda k: (
        _fresh(jax.random.uniform)(k), _fresh(jax.random.uniform)(k)),
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


class SurvivalTest(absltest.TestCase):

  def _eqn(self, fun, *args):
    with jax_cse.enabled():
      jaxpr = checking.trace(fun, *args).jaxpr
    (eqn,) = [e for e in jaxpr.eqns if e.primitive.name in ("jit", "scan")]
    return eqn

  def test_name_and_inlining_of_a_call(self):
    def some_name(a, b):
      return lax.sin(a) + lax.sin(b)
    eqn = self._eqn(lambda x: jax.jit(some_name)(x, x), X)
    self.assertEqual(eqn.params["name"], "some_name")
    self.assertLen(eqn.invars, 1)
    self.assertIsNot(eqn.params["inline"], compat.INLINE)

  def test_donated_operands_stay_apart(self):
    call = jax.jit(lambda a, b, c: (lax.sin(a), lax.sin(b), lax.sin(c)),
                   donate_argnums=0)
    eqn = self._eqn(lambda x: call(x, x, x), X)
    self.assertEqual(eqn.params["donated_invars"], (True, False))

  def test_results_placed_apart_stay_apart(self):
    mesh = jax.make_mesh((1,), ("i",))
    apart = [jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*s))
             for s in ((), ("i",))]
    for donated in ((), 0):
      call = jax.jit(lambda a, b: (lax.sin(b), lax.sin(b)),
                     donate_argnums=donated, out_shardings=tuple(apart))
      eqn = self._eqn(lambda x, call=call: call(x, x * 2), X)
      self.assertLen(eqn.outvars, 2)

  def test_trip_count_and_unrolling_of_a_loop(self):
    eqn = self._eqn(lambda x: _scan(
        lambda c, s: ((lax.sin(c[0]), lax.sin(c[1])), s), (X, X), x,
        length=None, reverse=True, unroll=2), Y)
    self.assertEqual((eqn.params["length"], eqn.params["reverse"],
                      eqn.params["unroll"]), (4, True, 2))
    self.assertEqual(compat.constants_and_carries(eqn.params), (0, 1))

  def test_effects_of_a_call(self):
    seen = []

    def call(a, b):
      jax.debug.callback(lambda x: seen.append(float(x)), a[0])
      return lax.sin(a), lax.sin(b)

    def fun(x):
      return jax.jit(call)(x, x), jax.jit(call)(x, x)

    with jax_cse.enabled():
      jaxpr = checking.trace(fun, X)
      jax.block_until_ready(jax.jit(fun)(X))
    jax.effects_barrier()
    self.assertLen(seen, 2)
    self.assertEqual([len(e.invars) for e in jaxpr.eqns], [1, 1])

  def test_a_clipped_cotangent_is_clipped_for_each_use(self):
    def fun(x):
      return jax.jit(lambda a: _clipped(a) + _clipped(a))(x)
    expected = jax.grad(fun)(0.5)
    self.assertEqual(expected, 2.0)
    with jax_cse.enabled():
      self.assertEqual(jax.grad(fun)(0.5), expected)
      self.assertEqual(jax.jit(jax.grad(fun))(0.5), expected)
    rewritten = jax_cse.cse_jaxpr(jax.make_jaxpr(fun)(0.5), "exact")
    self.assertEqual(
        jax.grad(lambda x: core.jaxpr_as_fun(rewritten)(x)[0])(0.5), expected)

  def test_the_rule_of_a_merged_call_is_the_users(self):
    def fun(x):
      return _custom(x) + _same_with_another_rule(x) + _custom(x)
    with jax_cse.enabled():
      jaxpr = checking.trace(fun, 0.5)
    again = lambda x: core.jaxpr_as_fun(jaxpr)(x)[0]
    np.testing.assert_allclose(jax.grad(again)(0.5), jax.grad(fun)(0.5))

  def test_checkpoint_saves_no_more(self):
    block = jax.checkpoint(lambda a, b: lax.sin(lax.sin(a) * lax.cos(b)))

    def residuals():
      _, vjp = jax.vjp(jax.jit(lambda x: block(x, x)), X)
      return sum(np.size(x) for x in jax.tree.leaves(vjp))

    plain = residuals()
    with jax_cse.enabled():
      self.assertLessEqual(residuals(), plain)


def _delays(op):
  """Two loops, one in the other, whose carries are x and then y."""
  def outer(a, _):
    return 3., _scan(lambda b, _: (3., op(a, b)), 2.)[1]
  return _scan(outer, 2.)[1]


def _solve(matvec, b, solve):
  return lax.custom_linear_solve(matvec, b, solve, symmetric=True)


def _nested_solve(b):
  return _solve(lambda w: 2 * w, b, lambda _, v: _solve(
      lambda w: w * v, 3 * b, lambda _, r: r * v))


def _while_with_a_reference(x):
  ref = jax.new_ref(x)

  def body(c):
    ref[...] = ref[...] + 1.
    return c[0] + 1, c[1] * 2, c[2] * 2

  lax.while_loop(lambda c: c[0] < 3, body, (0, x, x))
  return ref[...]


class NestedBindersTest(parameterized.TestCase):
  """What is bound in a loop is not what is bound in the loop around it."""

  @parameterized.named_parameters(
      ("elements of one array", lambda xs: _scan(
          lambda c, x: (c, _scan(lambda d, y: (d, x - y), 0., xs,
                                 length=None)[1]), 0., xs, length=None)[1], X),
      ("elements backwards", lambda xs: _scan(
          lambda c, x: (_scan(lambda d, y: (d + x * x * y, None), c, xs,
                              length=None, reverse=True)[0], None),
          0., xs, length=None)[0], X),
      ("carries that are delays", lambda x: [
          _delays(op) for op in (lambda a, b: a * b, lambda a, b: b * b,
                                 lambda a, b: a * a)], X),
      ("linear solves", _nested_solve, X),
      ("while with a reference", _while_with_a_reference, np.float32(2)),
  )
  def test_values(self, fun, x):
    expected = jax.jit(fun)(x)
    plain = checking.trace(fun, x)
    with jax_cse.enabled():
      checking.assert_same_bits(jax.jit(fun)(x), expected)
    checking.assert_same_bits(
        core.jaxpr_as_fun(jax_cse.cse_jaxpr(plain, "exact"))(x),
        jax.tree.leaves(expected))


class ExplicitTest(absltest.TestCase):

  def test_drops_what_nobody_reads(self):
    plain = jax.make_jaxpr(lambda x: _fresh(
        lambda a: (lax.sin(a), lax.cos(a)))(x)[0])(X)
    (eqn,) = jax_cse.cse_jaxpr(plain, "exact").eqns
    self.assertLen(eqn.outvars, 1)

  def test_drops_a_carry_of_a_while_that_nobody_reads(self):
    plain = jax.make_jaxpr(lambda x, y: _while(
        lambda c: (c[0] * 2, c[1] * 3), (x, y))[0])(X, Y)
    *_, eqn = jax_cse.cse_jaxpr(plain, "exact").eqns
    self.assertLen(eqn.outvars, 1)

  def test_keeps_the_interface(self):
    plain = jax.make_jaxpr(lambda x, y: (x, x, jnp.zeros(2), lax.sin(x)))(X, Y)
    merged = jax_cse.cse_jaxpr(plain, "exact")
    self.assertEqual(merged.in_avals, plain.in_avals)
    self.assertEqual(merged.out_avals, plain.out_avals)

  def test_bad_input(self):
    with self.assertRaisesRegex(TypeError, "ClosedJaxpr.*got function"):
      jax_cse.cse_jaxpr(lambda x: x)
    with self.assertRaisesRegex(ValueError, "'exact'.*got 'best'"):
      jax_cse.cse_jaxpr(jax.make_jaxpr(lax.sin)(1.), mode="best")


class PureCoreTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.e = Expressions(itertools.count().__next__)

  def test_greatest_fixpoint(self):
    fixpoint = congruence.greatest_fixpoint
    self.assertEqual(fixpoint("aab", lambda c: [c[1], c[0], c[2]]), [0, 0, 1])
    self.assertEqual(fixpoint("aab", lambda c: [c[2], c[0], c[2]]), [0, 1, 2])
    self.assertEqual(fixpoint("", lambda c: []), [])
    # One parts in each round, the last from the one before it.
    self.assertEqual(fixpoint("aaaa", lambda c: [c[1], c[2], c[3], "b"]),
                     [0, 1, 2, 3])

  def test_substitute_many_results(self):
    e = self.e
    x, y = e.leaf(), e.leaf()
    pair = e.enter(("both", None, x), 1, 2)
    swapped = e.substitute([pair[1], x, pair[0], y], {x: y})
    other = e.known["both", None, y][1]
    self.assertEqual(swapped, [other[1], y, other[0], y])

  def test_substitute_where_keys_are_equal_and_params_are_not(self):
    e = self.e
    x, y = e.leaf(), e.leaf()
    # As 1 and True: the key does not tell the params apart.
    first, = e.enter(("op", None, x, "s", 1), 1, 1, {"s": 1})
    other, = e.enter(("op", None, y, "s", True), 1, 1, {"s": True})
    self.assertNotEqual(e.substitute([first], {x: y}), [other])

  def test_what_has_no_key_is_a_leaf(self):
    scope = jaxpr_numbering.Scope(value_numbering.Numbering(lambda trace: None))
    x, plan = scope.leaf(), keys.plan_of(lax.sin_p)
    numbers = {scope.number(plan, None, [x], {"large": np.zeros(10_000)})
               for _ in range(2)}
    self.assertLen(numbers, 2)
    for n in numbers:
      self.assertEmpty(scope.expressions.parts(n))

  def test_deep_expressions(self):
    e = self.e
    x, y = e.leaf(), e.leaf()
    deep = {x: x, y: y}
    for leaf in deep:
      for _ in range(10_000):
        deep[leaf] = e.of("sin", (deep[leaf],))
    self.assertEqual(e.substitute([deep[x]], {x: y}), [deep[y]])

  def test_sequences_of_two_loops(self):
    e = self.e
    zero, one = e.leaf(), e.leaf()

    def fibonacci(order):
      leaves = [e.leaf(), e.leaf()]
      a, b = (leaves[i] for i in order)
      steps = {order[0]: b, order[1]: e.of("add", (a, b))}
      starts = {order[0]: zero, order[1]: one}
      return congruence.sequences(e, [starts[0], starts[1]], leaves,
                                  [steps[0], steps[1]], 0)

    there, back = fibonacci([0, 1]), fibonacci([1, 0])
    self.assertEqual(there, back[::-1])
    self.assertNotEqual(*there)


if __name__ == "__main__":
  absltest.main()
