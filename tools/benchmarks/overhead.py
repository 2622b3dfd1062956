"""What CSE costs where nothing, or almost nothing, is to be gained."""

from collections.abc import Iterator

import jax
from jax import lax
import jax.numpy as jnp

from benchmarks.frame import Case, enabled, entry
import jax_cse


def transformer(layers=24, width=64, heads=4, length=16):
  """Loss, parameters and input of a transformer with tanh-gelu."""
  def init(key):
    keys = jax.random.split(key, 6)
    sizes = {"q": (width, width), "k": (width, width), "v": (width, width),
             "o": (width, width), "up": (width, 4 * width),
             "down": (4 * width, width)}
    block = {name: 0.02 * jax.random.normal(k, size)
             for k, (name, size) in zip(keys, sizes.items())}
    return block | {"scale": jnp.ones((2, width)),
                    "shift": jnp.zeros((2, width))}

  def normalize(x, scale, shift):
    mean = jnp.mean(x, -1, keepdims=True)
    variance = jnp.mean((x - mean) ** 2, -1, keepdims=True)
    return (x - mean) * lax.rsqrt(variance + 1e-5) * scale + shift

  def attend(p, x):
    q, k, v = ((x @ p[n]).reshape(length, heads, width // heads) for n in "qkv")
    scores = jnp.einsum("thd,shd->hts", q, k) / jnp.sqrt(width // heads)
    scores = jnp.where(jnp.tril(jnp.ones((length, length), bool)), scores, -1e9)
    out = jnp.einsum("hts,shd->thd", jax.nn.softmax(scores), v)
    return out.reshape(length, width) @ p["o"]

  def block(p, x):
    x = x + attend(p, normalize(x, p["scale"][0], p["shift"][0]))
    y = normalize(x, p["scale"][1], p["shift"][1]) @ p["up"]
    y = 0.5 * y * (1 + jnp.tanh(jnp.sqrt(2 / jnp.pi) * (y + 0.044715 * y**3)))
    return x + y @ p["down"]

  def loss(params, x):
    for p in params:
      x = block(p, x)
    return jnp.mean(x ** 2)

  params = [init(k) for k in jax.random.split(jax.random.key(0), layers)]
  return loss, params, jnp.ones((length, width))


@entry("tracing a program in which almost nothing is redundant")
def overhead_of_tracing() -> Iterator[Case]:
  loss, params, x = transformer()

  def trace():
    # A new function each time, so that no cache has the jaxpr.
    return jax.make_jaxpr(
        lambda p, y: jax.value_and_grad(loss)(p, y))(params, x)

  plain, merged = len(trace().eqns), len(enabled(trace)().eqns)
  assert 0.85 * plain < merged <= plain, (plain, merged)
  yield Case(f"value_and_grad of a 24-layer transformer, {plain:,} equations",
             trace, enabled(trace), limit=1.25)


@entry("eager lax calls that miss, each on an array not seen before")
def overhead_of_an_eager_miss() -> Iterator[Case]:
  calls = 2000
  scalars = [jnp.float32(i) for i in range(calls)]
  rows = [jnp.arange(3.0) + i for i in range(calls)]
  matrices = [jnp.full((64, 64), 1.0 + i) for i in range(calls)]
  for name, operation, operands in (
      ("sin of a scalar", lax.sin, scalars),
      ("add of two scalars", lambda x: lax.add(x, x), scalars),
      ("sum of a row of 3", lambda x: lax.reduce_sum(x, (0,)), rows),
      ("product of 64 x 64 matrices", lambda x: lax.dot(x, x), matrices)):

    def run(operation=operation, operands=operands):
      for x in operands:
        operation(x)

    with jax_cse.enabled() as memo:
      run()
    assert (memo.stats.hits, memo.stats.misses) == (0, calls), memo.stats
    yield Case(name, run, enabled(run), limit=1.5)
