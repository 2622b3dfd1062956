"""Eager evaluation: single calls, and nested `jvp`."""

from collections.abc import Iterator

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from benchmarks.frame import Case, enabled, entry
from benchmarks.sizes import Size
import jax_cse
from jax_cse.orders import blowup
from jax_cse.orders import order_counts
from specs import SMOOTH


@entry("eager lax calls that hit")
def gain_of_an_eager_hit(size: Size) -> Iterator[Case]:
  calls = 50 if size.quick else 500
  for name, operation, x in (
      ("sin of a scalar", lax.sin, jnp.float32(1)),
      ("sin of a million numbers", lax.sin, jnp.ones(1_000_000)),
      ("product of 512 x 512 matrices", lambda x: lax.dot(x, x),
       jnp.ones((512, 512)))):

    def run(operation=operation, x=x):
      for _ in range(calls if x.size == 1 else calls // 50):
        operation(x).block_until_ready()

    yield Case(name, run, enabled(run), turns=7)


_LINE = np.linspace(-1, 1, 64, dtype="float32")
_WEIGHTS = [np.random.RandomState(i).randn(64, 64).astype("float32") / 8
            for i in range(3)]


def _lax_thread(t):
  return lax.mul(lax.mul(lax.full_like(t, 0.3), lax.sin(t)),
                 lax.integer_pow(t, 10))


def _lax_network(t):
  h = lax.mul(lax.broadcast(t, (64,)), jnp.asarray(_LINE))
  for w in map(jnp.asarray, _WEIGHTS):
    h = lax.tanh(lax.dot(h, w))
  return lax.reduce_sum(h, (0,))


def _jnp_network(t):
  h = t * jnp.asarray(_LINE)
  for w in map(jnp.asarray, _WEIGHTS):
    h = jnp.tanh(h @ w)
  return jnp.sum(h)


_MANY = np.linspace(0.5, 1.2, 1_000_000, dtype="float32")

# A function, and where. Where there are many numbers arithmetic dominates, with
# one the time is Python's.
FUNCTIONS = {
    "thread, lax": (_lax_thread, blowup.POINT),
    "thread, jnp": (blowup.function, blowup.POINT),
    "thread, lax, a million numbers": (_lax_thread, _MANY),
    "thread, jnp, a million numbers": (blowup.function, _MANY),
    "network of width 64, lax": (_lax_network, blowup.POINT),
    "network of width 64, jnp": (_jnp_network, blowup.POINT),
    # At 1.1 its sixth derivative by nested jvp has no digit that is right.
    "attention, jnp": ({spec.name: spec.fun for spec in SMOOTH}["attention"],
                       0.3),
}


def _eagerly(orders, prepare, turns, most):
  for name, (fun, where) in FUNCTIONS.items():
    x = jnp.asarray(where)
    for order in orders:
      if x.size > 1 and order > most:
        continue

      def run(fun=fun, order=order, x=x):
        return jax.block_until_ready(
            order_counts.nested_jvp(fun, order, jnp.ones_like(x))(x))

      def derived(fun=fun, order=order, x=x):
        return jax.block_until_ready(jax_cse.derivatives(fun, order)(x)[-1])

      for way, candidate in ("memo", enabled(run)), ("derivatives", derived):
        _assert_close(candidate(), run())
        yield Case(f"{name}, {way}, order {order}", run, candidate,
                   prepare=prepare, turns=turns(order),
                   limit=0.2 if order == 6 and way == "memo" else None)


def _assert_close(a, b):
  np.testing.assert_allclose(a, b, rtol=1e-2, atol=1e-3 * np.max(np.abs(b)))


@entry("nested jvp evaluated eagerly, from the second time on")
def nested_jvp_eagerly(size: Size) -> Iterator[Case]:
  yield from _eagerly(size.of((2,), (2, 4, 6), range(2, 8)), lambda: None,
                      # Without CSE the sixth of a million takes 2 s, the next
                      # 15.
                      lambda order: 7 if order < 7 else 3, size.of(6, 4, 6))


@entry("nested jvp evaluated eagerly for the first time, from cold caches")
def nested_jvp_eagerly_first(size: Size) -> Iterator[Case]:
  yield from _eagerly(size.of((2,), (2, 4), (2, 4, 6)), jax.clear_caches,
                      lambda order: 3, size.of(0, 0, 6))
