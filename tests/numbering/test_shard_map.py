"""`shard_map`: equal operands enter once, equal results leave once."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
from jax.sharding import PartitionSpec as P
import numpy as np

import checking
import jax_cse
from jax_cse.foundation import modes

MESH = jax.make_mesh((1, 1), ("i", "j"),
                     axis_types=(jax.sharding.AxisType.Auto,) * 2)
X = jnp.arange(4.0) + 1
ROWS = P("i")


def derivative(fun):
  return lambda x: jax.jvp(fun, (x,), (jnp.ones_like(x),))[1]


def _sharded(fun, specs=ROWS, out_specs=ROWS, **options):
  return jax.shard_map(fun, mesh=MESH, in_specs=specs, out_specs=out_specs,
                       **options)


_sin = lambda x: jnp.sin(x) * x
_both = lambda x, y: (x * y, y * x, x + 1)

# Name, function, and the equations that CSE takes away.
MUST_MERGE = (
    ("two calls", lambda x: (_sharded(_sin)(x), _sharded(_sin)(x)), 3),
    ("a result twice", _sharded(lambda x: (jnp.sin(x), jnp.sin(x)),
                                out_specs=P("i")), 1),
    ("an operand twice", lambda x: _sharded(_both, (P("i"), P("i")))(x, x), 1),
    ("in a call", lambda x: jax.jit(lambda y: (
        _sharded(_sin)(y), _sharded(_sin)(y)))(x), 3),
    ("in a loop", lambda x: lax.scan(lambda c, _: (
        _sharded(_sin)(c) + _sharded(_sin)(c), None), x, None, length=2)[0], 3),
    ("one in the other", _sharded(lambda x: jax.shard_map(
        lambda y: (jnp.sin(y), jnp.sin(y)), in_specs=P("j"), out_specs=P("j"),
        axis_names={"j"})(x), axis_names={"i"}), 1),
)
MUST_NOT_MERGE = (
    ("other specs", lambda x: (_sharded(_sin)(x),
                               _sharded(_sin, P("j"), P("j"))(x))),
    ("other specs of results", lambda x: (
        _sharded(_sin, P(), P())(x), _sharded(_sin, P(), P("i"))(x))),
    ("other specs of operands", lambda x: _sharded(
        lambda x, y: (x * 2, y * 2), (P("i"), P()), (P("i"), P()))(x, x)),
    ("an index on another axis", lambda x: (
        _sharded(lambda y: y * lax.axis_index("i"))(x),
        _sharded(lambda y: y * lax.axis_index("j"), P("j"), P("j"))(x))),
    ("checked and not", lambda x: (
        _sharded(_sin)(x), _sharded(_sin, check_vma=False)(x))),
    ("inside and outside", lambda x: (_sharded(jnp.sin)(x), jnp.sin(x))),
)


AROUND = {
    "nothing": lambda f: f,
    "jvp": derivative,
    "jvp of jvp": lambda f: derivative(derivative(f)),
    "grad": lambda f: jax.grad(
        lambda x: sum(jnp.sum(y) for y in jax.tree.leaves(f(x)))),
    "vmap": lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x + 1])),
    "linearize": lambda f: lambda x: jax.linearize(f, x)[1](x),
    "scan": lambda f: lambda x: lax.scan(
        lambda c, _: (c, f(c)), x, None, length=2)[1],
    "jit": jax.jit,
}
PROGRAMS = {name: fun for name, fun, *_ in (*MUST_MERGE, *MUST_NOT_MERGE)} | {
    "scan inside": _sharded(lambda x: lax.scan(
        lambda c, _: (jnp.sin(c) * c, None), x, None, length=3)[0]),
    "collectives": _sharded(
        lambda x: lax.psum(x * x, "i") + lax.all_gather(x, "j").sum(0),
        check_vma=False),
}


class ShardMapTest(parameterized.TestCase):

  @parameterized.named_parameters(*MUST_MERGE)
  def test_must_merge(self, fun, delta):
    plain = checking.trace(fun, X)
    with jax_cse.enabled() as memo:
      merged = checking.trace(fun, X)
    self.assertEqual(checking.size(plain) - checking.size(merged), delta,
                     f"{plain}\n{merged}")
    self.assertGreater(memo.stats.by_primitive["shard_map"]["misses"], 0)
    rewritten = jax_cse.cse_jaxpr(plain, "exact")
    self.assertLessEqual(checking.size(rewritten), checking.size(merged))

  @parameterized.named_parameters(*MUST_NOT_MERGE)
  def test_must_not_merge(self, fun):
    plain = checking.trace(fun, X)
    with jax_cse.enabled():
      merged = checking.trace(fun, X)
    self.assertEqual(checking.size(plain), checking.size(merged),
                     f"{plain}\n{merged}")

  def test_effects_stay(self):
    def calls_back(x):
      jax.debug.callback(lambda _: None, x)
      return jnp.sin(x)

    with jax_cse.enabled():
      counts = jax_cse.count_primitives(
          lambda x: (_sharded(calls_back)(x), _sharded(calls_back)(x)))(X)
    self.assertEqual((counts["debug_callback"], counts["sin"]), (2, 1))

  @parameterized.parameters(3, 5, 7)
  def test_derivatives_from_outside_grow_as_without(self, order):
    thread = lambda t: jnp.sin(t) * jnp.exp(jnp.tanh(t))
    along = lambda fun, v: lambda x: jax.jvp(fun, (x,), (v,))[1]

    def count(fun):
      def nested(x, v):   # inside, no direction is known to be ones
        derived = fun
        for _ in range(order):
          derived = along(derived, v)
        return derived(x)
      with jax_cse.enabled():
        return jax_cse.count_primitives(nested)(X, X).total()

    self.assertLessEqual(count(_sharded(thread)), count(thread) + 2)

  @parameterized.product(name=list(PROGRAMS), around=list(AROUND))
  def test_values(self, name, around):
    fun = AROUND[around](PROGRAMS[name])
    plain = jax.make_jaxpr(lambda x: fun(x))(X)
    wanted = jax.jit(core.jaxpr_as_fun(plain))(X)
    for mode in modes.MODES:
      with jax_cse.enabled(mode):
        merged = jax.make_jaxpr(lambda x: fun(x))(X)
      for jaxpr in (merged, jax_cse.cse_jaxpr(plain, mode)):
        for x, y in zip(jax.jit(core.jaxpr_as_fun(jaxpr))(X), wanted,
                        strict=True):
          np.testing.assert_allclose(x, y, rtol=1e-5, atol=1e-6)


if __name__ == "__main__":
  absltest.main()
