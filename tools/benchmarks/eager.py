"""Eager evaluation: single calls, and nested `jvp`."""

from collections.abc import Iterator

from jax import lax
import jax.numpy as jnp

from benchmarks.frame import Case, enabled, entry
from jax_cse import blowup


@entry("eager lax calls that hit")
def gain_of_an_eager_hit() -> Iterator[Case]:
  calls = 500
  for name, operation, x in (
      ("sin of a scalar", lax.sin, jnp.float32(1)),
      ("sin of a million numbers", lax.sin, jnp.ones(1_000_000)),
      ("product of 512 x 512 matrices", lambda x: lax.dot(x, x),
       jnp.ones((512, 512)))):

    def run(operation=operation, x=x):
      for _ in range(calls if x.size == 1 else calls // 50):
        operation(x).block_until_ready()

    yield Case(name, run, enabled(run), turns=7)


@entry("nested jvp evaluated eagerly, with lax functions")
def nested_jvp_eagerly() -> Iterator[Case]:
  fun = lambda t: lax.mul(lax.mul(0.3, lax.sin(t)), lax.integer_pow(t, 10))
  for order in (3, 5, 7):
    run = lambda order=order: blowup.nested_jvp(fun, order)(blowup.POINT)
    yield Case(f"order {order}", run, enabled(run), turns=7)
