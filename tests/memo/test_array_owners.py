"""Eager results: who owns an array, and what a copy of one is."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax._src.lib import _jax
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse

donate = jax.jit(lambda x: x + 1, donate_argnums=0)


def _kept(run):
  """What `run(keep)` passes to `keep`, but for the last, which it returns."""
  kept = []
  run(lambda *xs: kept.extend(xs[:-1]) or xs[-1])
  return kept


# Functions of an array whose results may have arrays in common.
SHARING = {
    "eager": lambda x: (lax.sin(x), lax.sin(x)),
    "three": lambda x: (lax.sin(x), lax.sin(x), lax.sin(x)),
    "jvp": lambda x: jax.jvp(lambda y: (lax.sin(y), lax.sin(y)), (x,), (x,)),
    "two jvps": lambda x: (jax.jvp(lax.sin, (x,), (x,)),
                           jax.jvp(lax.sin, (x,), (x,))),
    "jvp jvp": lambda x: jax.jvp(
        lambda y: jax.jvp(lambda z: lax.sin(z) * lax.sin(z), (y,), (y,)),
        (x,), (x,)),
    "vmap": lambda x: jax.vmap(lambda y: (lax.sin(y), lax.sin(y)))(x),
    "vmap jvp": lambda x: jax.vmap(
        lambda y: jax.jvp(lambda z: (lax.sin(z), lax.sin(z)), (y,), (y,)))(x),
    "grads": lambda x: [jax.grad(lambda y: lax.sin(y).sum())(x)
                        for _ in range(2)],
    "vjps": lambda x: [jax.vjp(lax.sin, x)[0] for _ in range(2)],
    "device_put": lambda x: [jax.device_put(lax.sin(x), jax.devices()[0])
                             for _ in range(2)],
    "device_put in vmap": lambda x: jax.vmap(lambda y: [
        jax.device_put(lax.sin(y), jax.devices()[0]) for _ in range(2)])(x),
    "in vmap, not batched": lambda x: _kept(
        lambda keep: jax.vmap(lambda y: keep(lax.sin(x), lax.sin(x), y))(x)),
    "several results": lambda x: [lax.split(x, (1, 2)) for _ in range(2)],
}


class OwnersTest(parameterized.TestCase):

  @parameterized.product(name=tuple(SHARING), donates=(True, False))
  def test_losing_one_result_loses_no_other(self, name, donates):
    x = jnp.arange(3.0) + 1
    expected = [np.array(a) for a in jax.tree.leaves(SHARING[name](x))]
    with jax_cse.enabled():
      for _ in range(2):
        arrays = jax.tree.leaves(SHARING[name](x))
        for i, a in enumerate(arrays):
          if donates:
            donate(a)
          else:
            a.delete()
          for b, value in zip(arrays[i + 1:], expected[i + 1:]):
            np.testing.assert_array_equal(b, value)
    self.assertFalse(x.is_deleted())

  @parameterized.parameters("eager", "jvp", "vmap", "vjp", "jvp jvp")
  def test_donation_inside_a_transformation(self, transform):
    def fun(x):
      a, b = jnp.sin(x), jnp.sin(x)
      c, d = lax.cos(x), lax.cos(x)
      return donate(a) + b + donate(c) + d

    x = jnp.arange(3.0)
    make = {
        "eager": lambda f: f,
        "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
        "vmap": jax.vmap,
        "vjp": lambda f: lambda x: jax.vjp(f, x)[1](x),
        "jvp jvp": lambda f: lambda x: jax.jvp(
            lambda y: jax.jvp(f, (y,), (y,)), (x,), (x,)),
    }[transform]
    expected = make(fun)(x)
    with jax_cse.enabled():
      for _ in range(2):
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6),
                     make(fun)(x), expected)

  def test_enabled_inside_a_transformation(self):
    for context in (jax_cse.enabled(), jax_cse.enabled(max_bytes=1 << 20)):
      product = lambda z: lax.sin(z) * lax.cos(z)
      fun = context(lambda z: (product(z), product(z)))  # noqa: B023
      run = lambda x, fun=fun: jax.jvp(
          lambda y: jax.jvp(fun, (y,), (y,)), (x,), (x,))
      for outer in (jax_cse.enabled, jax_cse.disabled):
        with outer():
          leaves = jax.tree.leaves(run(jnp.arange(3.0) + 1))
          for i, a in enumerate(leaves):
            a.delete()
            self.assertFalse(any(b.is_deleted() for b in leaves[i + 1:]))

  def test_residuals_belong_to_the_vjp(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled():
      c = lax.cos(x)
      _, pull = jax.vjp(lax.sin, x)
      _, push = jax.linearize(lax.sin, x)
      c.delete()
      np.testing.assert_allclose(pull(x)[0], x * np.cos(x), rtol=1e-6)
      np.testing.assert_allclose(push(x), x * np.cos(x), rtol=1e-6)

  def test_residuals_that_are_donated(self):
    x = jnp.arange(3.0)
    fun = lambda x: lax.sin(lax.exp(x))
    with jax_cse.enabled():
      _, first = jax.vjp(fun, x)
      _, second = jax.vjp(fun, x)
      expected = np.array(second(x)[0])
      jax.jit(lambda pull, ct: pull(ct), donate_argnums=0)(first, x + 0)
      np.testing.assert_allclose(second(x)[0], expected)

  def test_a_deleted_result_is_computed_again(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled() as memo:
      lax.sin(x).delete()
      np.testing.assert_allclose(lax.sin(x), np.sin(np.arange(3.0)), rtol=1e-6)
      self.assertEqual(memo.stats.hits, 0)

  def test_a_deleted_operand_raises_as_ever(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled():
      lax.sin(x)
      x.delete()
      with self.assertRaisesRegex(RuntimeError, "deleted"):
        lax.sin(x)

  def test_copies_are_what_they_copy(self):
    device = jax.devices()[0]
    for x in (jnp.arange(3.0), jnp.asarray(1.0), jnp.zeros((0, 2), "int8"),
              jax.device_put(jnp.ones(2), device), jnp.array([1 + 2j]),
              jnp.arange(10_000.0), jnp.full((100, 100), jnp.asarray(1)),
              jax.device_put(jnp.ones(5000), device)):
      with jax_cse.enabled() as memo:
        held, copy = lax.neg(x), lax.neg(x)
      self.assertEqual(memo.stats.hits, 1)
      self.assertIsNot(held, copy)
      checking.assert_same_bits(copy, held)
      self.assertEqual(copy.sharding, held.sharding)
      self.assertEqual(copy.committed, held.committed)
      self.assertEqual(copy.weak_type, held.weak_type)

  def test_an_array_that_was_made_without_a_traceback(self):
    self.addCleanup(_jax.set_tracebacks_enabled, _jax.tracebacks_enabled())
    with jax_cse.enabled() as memo:
      _jax.set_tracebacks_enabled(False)
      held, scalar = jnp.array([7, 8]), jnp.array(7)
      _jax.set_tracebacks_enabled(True)
      hits = memo.stats.hits
      checking.assert_same_bits(jnp.array([7, 8]), held)
      self.assertEqual(memo.stats.hits, hits + 1)
      self.assertLen(jax.make_jaxpr(lambda: scalar + 1)().eqns, 1)

  def test_copies_have_the_number_of_what_they_copy(self):
    x = jnp.arange(3.0)
    with jax_cse.enabled() as memo:
      a, b = lax.sin(x), lax.sin(x)
      lax.cos(a), lax.cos(b)
    self.assertEqual((memo.stats.hits, memo.stats.misses), (2, 2))


if __name__ == "__main__":
  absltest.main()
