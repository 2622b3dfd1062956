"""`derivatives` is nested `jvp` of whatever a function holds: rules of the
user's, effects, references, shard_map, functions that look at values."""

import functools
import os

os.environ["XLA_FLAGS"] = (os.environ.get("XLA_FLAGS", "")
                           + " --xla_force_host_platform_device_count=2")

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse

_seen: list = []


def _rule(tangent, fun=jnp.sin):
  """A function with a rule that is wrong on purpose."""
  g = jax.custom_jvp(fun)
  g.defjvp(lambda xs, ts: (g(*xs), tangent(xs[0], ts[0])))
  return g


@jax.custom_jvp
def _other_function(x):
  return jnp.sin(x)
# Which the next level derives by the rule of the sine.
_other_function.defjvp(lambda xs, ts: (jnp.sin(xs[0]), 5 * ts[0] * xs[0]))


@jax.custom_jvp
def _other_value(x):
  return 1. * x
_other_value.defjvp(lambda xs, ts: (2. * xs[0], ts[0] * xs[0]))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _apply(fun, x):
  return fun(x)
_apply.defjvp(lambda fun, xs, ts: (_apply(fun, *xs), 5 * ts[0] * xs[0]))


@functools.partial(jax.custom_jvp, nondiff_argnums=(0,))
def _counted(order, x):
  return 1. * x
# Which the next level derives by the rule for another argument.
_counted.defjvp(lambda c, xs, ts: (_counted(c + 1., *xs), c * ts[0] * xs[0]))


def _loop(fun):
  return lambda x: lax.scan(lambda c, _: (fun(c), None), x, None, length=2)[0]


def _seen_before(fun):
  def seen(x):
    jax.debug.callback(lambda _: None, x)
    return fun(x)
  return seen


def _loop_that_is_seen(x):
  def step(c, _):
    jax.debug.callback(lambda v: _seen.append(float(np.sum(v))), c)
    return c * x, None
  return lax.scan(step, x, None, length=3)[0]


def _branch_that_is_seen(x):
  return lax.cond(jnp.sum(x) > 0, lambda y: (jax.debug.callback(
      lambda v: _seen.append(1.), y), y * y * x)[1], lambda y: y, x)


def _reference(x):
  ref = jax.new_ref(x)
  ref[...] = ref[...] * ref[...]
  return ref[...] * x


def _reference_in_a_loop(x):
  ref = jax.new_ref(jnp.zeros_like(x))
  def step(i, c):
    ref[...] += c * x
    return c * x
  return lax.fori_loop(0, 3, step, x) + ref[...]


def _reference_in_a_while(x):
  ref = jax.new_ref(x * x)
  return lax.while_loop(lambda c: c[0] < 2,
                        lambda c: (c[0] + 1, c[1] + ref[...] * x), (0, x))[1]


def _reference_in_a_branch_and_a_jit(x):
  ref = jax.new_ref(x)
  @jax.jit
  def write(y):
    ref[...] = ref[...] * y
  write(x)
  lax.cond(jnp.sum(x) > 0, lambda: write(x * x), lambda: None)
  return jax.freeze(ref)


def _root(x):
  return lax.custom_root(
      lambda y: y * y - x, jnp.ones_like(x),
      lambda f, y0: lax.fori_loop(0, 20, lambda i, y: y - f(y) / (2 * y), y0),
      lambda g, y: y / g(jnp.ones_like(y)))


@jax.custom_jvp
def _by_value(x):
  return x * x if jnp.sum(x) > 0 else -x
_by_value.defjvp(lambda xs, ts: (
    _by_value(*xs), 3 * xs[0] * ts[0] if jnp.sum(xs[0]) > 0 else ts[0]))


def _shard_map(check_vma, collective=lambda x: x):
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("i",))
  spec = jax.sharding.PartitionSpec()
  return jax.shard_map(lambda x: collective(x * jnp.sin(x)), mesh=mesh,
                       in_specs=spec, out_specs=spec, check_vma=check_vma)


def _checkpointed(x):
  return jax.checkpoint(lambda x: jnp.sin(x) * x)(x)


# Whether it can be traced, that is whether its values need not be known.
TRACED = {
    "a rule": _rule(lambda x, t: 10. * t),
    "a rule that gives another function": _other_function,
    "... in a product": lambda x: _other_function(x) * x,
    "... in a rule": _rule(lambda x, t: _other_function(x) * x * t),
    "a rule with an argument": lambda x: _apply(jnp.sin, x) * x,
    "a rule that changes its argument": lambda x: jnp.sin(_counted(1., x)),
    "... in a loop": _loop(lambda x: jnp.sin(_counted(1., x))),
    "a rule that gives another value": lambda x: jnp.sin(_other_value(x)),
    "... within a loop": lambda x: jnp.sin(_loop(_other_value)(x)),
    "... in a loop in a loop": lambda x: jnp.sin(_loop(_loop(_other_value))(x)),
    "... in a branch": lambda x: jnp.sin(lax.cond(
        jnp.sum(x) > 0, _other_value, lambda y: y, x)),
    "... in a checkpoint": lambda x: jnp.sin(jax.checkpoint(_other_value)(x)),
    "... beside a debug callback": _seen_before(
        lambda x: jnp.sin(_other_value(x))),
    "a rule that is zero": _rule(lambda x, t: 0. * t),
    "a rule of a rule": _rule(lambda x, t: _rule(lambda x, t: 7. * t)(x) * t),
    "a rule that is seen": _rule(lambda x, t: (jax.debug.callback(
        lambda v: _seen.append(1.), x), x * t)[1]),
    "a rule with a loop that is seen": _rule(
        lambda x, t: _loop_that_is_seen(x) * t),
    "a rule with a reference": _rule(lambda x, t: _reference(x) * t),
    "a function that is seen, with a rule": _rule(
        lambda x, t: x * t, _loop_that_is_seen),
    "relu at 0": lambda x: jax.nn.relu(x - x * 1) + x * x,
    "sinc at 0": lambda x: jnp.sinc(x - lax.stop_gradient(x)),
    "a rule in a loop": lambda x: lax.scan(
        lambda c, _: (_rule(lambda x, t: 10. * t)(c), None), x, None,
        length=2)[0],
    "a rule under vmap": lambda x: jax.vmap(_rule(lambda x, t: 10. * t))(
        jnp.stack([x, 2 * x])).sum(0),
    "a gradient of a rule": jax.grad(lambda x: jnp.sum(
        _rule(lambda x, t: x * x * t)(x))),
    "a loop that is seen": _loop_that_is_seen,
    "a branch that is seen": _branch_that_is_seen,
    "a reference": _reference,
    "a reference in a loop": _reference_in_a_loop,
    "a reference in a while": _reference_in_a_while,
    "a reference in a branch and a jit": _reference_in_a_branch_and_a_jit,
    "a root": _root,
    "a shard_map": lambda x: _shard_map(True)(x) * x,
    "a shard_map in a jit": lambda x: jax.jit(_shard_map(False))(x) * x,
    "a sum over an axis": _shard_map(
        True, lambda x: lax.psum(lax.pcast(x, "i", to="varying"), "i")
        if hasattr(lax, "pcast") else lax.pmean(lax.pvary(x, "i"), "i")),
    "a checkpoint": _checkpointed,
    "half precision": lambda x: (jnp.tanh(x.astype(jnp.float16)) ** 2).astype(
        x.dtype),
    "a change of type": lambda x: jnp.exp(x.astype(jnp.bfloat16) * 2).astype(
        x.dtype),
    "parts that do not depend": lambda x: (x * x, 3.0 + 0 * x, jnp.ones(2)),
}
BY_VALUE = {
    "a function that looks": lambda x: x * x if jnp.sum(x) > 0 else -x,
    "a rule that looks": _by_value,
    "a rule that looks, of something": lambda x: _by_value(jnp.sin(x)) * x,
}


def nested(fun, order):
  def derivative(f):
    return lambda x: jax.jvp(f, (x,), (jnp.ones_like(x),))[1]
  def all_orders(x):
    results, f = [fun(x)], fun
    for _ in range(order):
      f = derivative(f)
      results.append(f(x))
    return tuple(results)
  return all_orders


WAYS = {
    "eager": lambda f: f,
    "jit": jax.jit,
    "vmap": lambda f: lambda x: jax.vmap(f)(x[None]),
    "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
    "jit of cse": lambda f: jax.jit(jax_cse.cse(f)),
    "in a scan": lambda f: lambda x: lax.scan(
        lambda c, y: (c, f(y)), 0., x[None])[1],
}


class DerivativesByJaxTest(parameterized.TestCase):

  def check(self, fun, way, order, x):
    make = WAYS[way]
    try:
      expected = make(nested(fun, order))(x)
    except NotImplementedError:   # vmap of a branch that writes
      with self.assertRaises(NotImplementedError):
        make(fun)(x)
      return
    actual = make(jax_cse.derivatives(fun, order))(x)
    jax.effects_barrier()
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected),
                    strict=True):
      self.assertEqual((a.shape, a.dtype), (b.shape, b.dtype))
      if b.dtype != jax.dtypes.float0:
        np.testing.assert_allclose(a, b, rtol=4e-3, atol=1e-4)

  @parameterized.parameters(*TRACED)
  def test_is_nested_jvp(self, name):
    x = jnp.float32(0.75)
    for way in WAYS:
      # A derivative of what is seen in a rule is seen at each order by JAX.
      with self.subTest(way):
        self.check(TRACED[name], way, 2, x)

  @parameterized.parameters(*BY_VALUE)
  def test_is_nested_jvp_where_values_are_known(self, name):
    for x in (jnp.float32(0.75), jnp.asarray([0.5, -1.5])):
      with self.subTest(str(x)):
        self.check(BY_VALUE[name], "eager", 3, x)

  @parameterized.parameters(_loop_that_is_seen, _branch_that_is_seen)
  def test_is_seen_once(self, fun):
    seen = []
    for make in (jax_cse.derivatives, lambda f, n: jax.jit(
        jax_cse.derivatives(f, n))):
      _seen.clear()
      fun(jnp.float32(0.5))
      jax.effects_barrier()
      seen.append(list(_seen))
      _seen.clear()
      make(fun, 3)(jnp.float32(0.5))
      jax.effects_barrier()
      self.assertEqual(_seen, seen[-1])

  def test_a_rule_for_cotangents_has_no_forward_mode(self):
    fun = jax.custom_vjp(jnp.sin)
    fun.defvjp(lambda x: (fun(x), x), lambda x, g: (g * x,))
    for way, order in (("eager", 1), ("jit", 1), ("vmap", 1), ("eager", 2),
                       ("vmap", 2)):
      with self.subTest(way, order=order), self.assertRaisesRegex(
          TypeError, "custom_vjp"):
        WAYS[way](jax_cse.derivatives(fun, order))(jnp.float32(1))

  def test_what_has_no_forward_mode_raises_what_jax_raises(self):
    shape = jax.ShapeDtypeStruct((), jnp.float32)
    for fun in (lambda x: jax.pure_callback(lambda v: v, shape, x),
                lambda x: jax.experimental.io_callback(lambda v: v, shape, x)):
      with self.assertRaisesRegex(ValueError, "JVP"):
        jax_cse.derivatives(fun, 1)(jnp.float32(1))

  def test_a_reference_from_outside(self):
    outside = jax.new_ref(jnp.float32(2))
    def fun(x):
      outside[...] = outside[...] + 1
      return outside[...] * x
    self.check(lambda x: jax.jit(lambda x: outside[...] * x)(x), "eager", 1,
               jnp.float32(3))
    _, derived = jax_cse.derivatives(fun, 1)(jnp.float32(3))
    self.assertEqual((float(derived), float(outside[...])), (3., 3.))

  def test_a_rule_that_gives_another_value_after_an_effect(self):
    def fun(x):
      jax.experimental.io_callback(_seen.append, None, 0, ordered=True)
      return jnp.sin(_other_value(x))
    with self.assertRaisesRegex(NotImplementedError, "another than the func"):
      jax_cse.derivatives(fun, 1)(jnp.float32(1))

  def test_rules_in_loops_are_derived_by_value(self):
    # Equal calls within what JAX's dead-code elimination made of a loop.
    fun = _loop(lambda c: jax.nn.relu(jnp.sin(c)))
    counts = [jax_cse.count_primitives(jax_cse.derivatives(fun, n))(
        jnp.ones(3)).total() for n in (2, 4, 6)]
    self.assertLess(counts[2] - counts[1], 3 * (counts[1] - counts[0]))

  def test_a_root_is_derived_by_value(self):
    # Its rule is given tuples that JAX makes again.
    counts = [jax_cse.count_primitives(jax_cse.derivatives(_root, n))(
        jnp.float32(3)).total() for n in (2, 3, 4)]
    self.assertLess(counts[2] - counts[1], 2 * (counts[1] - counts[0]))

  def test_rules_act_as_often_and_in_the_order_of_the_program(self):
    ticks = []
    def tick(x):
      ticks.append(x)
      return np.float32(len(ticks))
    @jax.custom_jvp
    def g(x):
      return jnp.sin(x)
    @g.defjvp
    def rule(xs, ts):
      factor = jax.experimental.io_callback(
          tick, jax.ShapeDtypeStruct((), jnp.float32), xs[0], ordered=True)
      return g(*xs), ts[0] * factor
    unread = lambda x: (g(x), x * x)[1]
    loop = lambda x: sum(lax.scan(
        lambda c, _: ((g(c[0]), g(c[1])), None), (x, x), None, length=2)[0])
    for fun in (lambda x: g(x) - 2 * g(x), unread, loop):
      found = []
      for derive in (
          lambda f: lambda x: jax.jvp(f, (x,), (jnp.float32(1),))[1],
          lambda f: lambda x: jax_cse.derivatives(f, 1)(x)[1],
          lambda f: jax.jit(lambda x: jax_cse.derivatives(f, 1)(x)[1])):
        ticks.clear()
        found.append((float(derive(fun)(jnp.float32(2))), len(ticks)))
      self.assertEqual(found[1:], found[:1] * 2)
    with jax_cse.enabled():
      ticks.clear()
      jax.block_until_ready(
          jax.jvp(jax.jit(lambda x: g(x) - 2 * g(x)), (1.,), (1.,)))
    self.assertLen(ticks, 2)

  def test_values_that_do_not_move_may_be_looked_at(self):
    for fun in (lambda x: x * float(jnp.sin(2.)),
                lambda x: x * float(lax.stop_gradient(x)),
                lambda x: x * np.asarray(jnp.zeros(()) + 2),
                lambda x: x * complex(lax.stop_gradient(x)).real):
      np.testing.assert_allclose(jax_cse.derivatives(fun, 1)(jnp.float32(2))[1],
                                 jax.jvp(fun, (2.,), (1.,))[1])
    for fun in (lambda x: x * float(x), lambda x: x * np.asarray(x)):
      with self.assertRaises(TypeError):
        jax_cse.derivatives(fun, 1)(jnp.float32(2))

  def test_inside_of_shard_map(self):
    devices = jax.devices()[:2]   # one, if JAX was there before this file
    mesh = jax.sharding.Mesh(np.array(devices), ("i",))
    spec = jax.sharding.PartitionSpec("i")
    inside = lambda f: jax.shard_map(f, mesh=mesh, in_specs=spec,
                                     out_specs=spec)
    x = jnp.arange(4.) + 1
    w = jnp.ones((4 // len(devices), 2))
    for fun in (lambda x: x * x, jnp.sin, lambda x: jnp.sin(x) * jnp.exp(x),
                lambda x: jnp.tanh(x @ w), lambda x: x * lax.psum(x, "i")):
      for wrap in (lambda f: f, jax.jit):
        np.testing.assert_allclose(
            jnp.stack(wrap(inside(jax_cse.derivatives(fun, 2)))(x)),
            jnp.stack(wrap(inside(nested(fun, 2)))(x)), rtol=1e-5)
        for mode in ("exact", "ring"):
          np.testing.assert_allclose(
              wrap(inside(jax_cse.cse(fun, mode)))(x), inside(fun)(x),
              rtol=1e-5)

  def test_a_tangent_that_does_not_vary(self):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), ("i",))
    spec = jax.sharding.PartitionSpec("i")
    x, w = jnp.ones((2, 3)), jnp.ones((3, 3))
    fun = lambda x: jax.vmap(lambda v: jax.jvp(
        lambda y: jnp.sin(y @ w), (x[0],), (v,))[1])(jnp.eye(3))
    inside = lambda f: jax.shard_map(f, mesh=mesh, in_specs=spec,
                                     out_specs=spec)
    np.testing.assert_allclose(inside(jax_cse.cse(fun, "exact"))(x),
                               inside(fun)(x), rtol=1e-6)
    jax_cse.cse_jaxpr(jax.make_jaxpr(jax.jit(inside(fun)))(x))


if __name__ == "__main__":
  absltest.main()
