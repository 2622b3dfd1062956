"""Two small networks and their training.

One has a step that is compiled and donates its state, the other an eager step
with `lax` functions. `trace` makes a function that is new.
"""

import functools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

BATCHES = (8, 12, 16, 24, 32, 40, 48, 56)


def network(key, *widths):
  keys = jax.random.split(key, len(widths))
  return [(jax.random.normal(k, (n, m)) / n**0.5, jnp.zeros(m))
          for k, n, m in zip(keys, widths, widths[1:])]


def loss(params, batch):
  x, y = batch
  for w, b in params:
    x = lax.tanh(lax.add(lax.dot(x, w), lax.broadcast_in_dim(
        b, (x.shape[0], b.shape[0]), (1,))))
  error = lax.sub(x, y)
  # The same twice, so that there is something to merge.
  return lax.add(lax.reduce_sum(lax.mul(error, error), (0, 1)),
                 lax.reduce_sum(lax.mul(error, error), (0, 1)))


def gradients(params, batch, schedule):
  """Of the loss on a batch that is scaled and shifted; `schedule` are numbers
  that are others at each step."""
  _, _, scale, shift, mix, rest = schedule
  x, y = batch
  x = lax.add(lax.mul(x, scale), shift)
  y = lax.add(lax.mul(y, mix), rest)
  return jax.value_and_grad(loss)(params, (x, y))


def momentum(state, batch, schedule):
  """A step of gradient descent."""
  rate, decay, *_ = schedule
  params, velocity = state
  value, grads = gradients(params, batch, schedule)
  velocity = jax.tree.map(
      lambda v, g: lax.add(lax.mul(v, 0.9), g), velocity, grads)
  params = jax.tree.map(
      lambda p, v: lax.sub(lax.mul(p, decay), lax.mul(v, rate)),
      params, velocity)
  return value, (params, velocity)


def adam(state, batch, schedule):
  """A step of Adam."""
  rate, decay, *_ = schedule
  params, first, second = state
  value, grads = gradients(params, batch, schedule)
  first = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, first, grads)
  second = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, second, grads)
  params = jax.tree.map(
      lambda p, m, v: decay * p - rate * m / (jnp.sqrt(v) + 1e-8),
      params, first, second)
  return value, (params, first, second)


class Training:
  """Two networks, and data that are new at every step."""

  def __init__(self):
    self._random = np.random.RandomState(0)
    self.steps = 0
    self.losses: tuple = ()
    zeros = functools.partial(jax.tree.map, jnp.zeros_like)
    params = network(jax.random.key(0), 8, 32, 4)
    self.compiled = params, zeros(params), zeros(params)
    params = network(jax.random.key(1), 8, 4)
    self.eager = params, zeros(params)
    self._step = jax.jit(adam, donate_argnums=0)

  def batch(self, size):
    x = self._random.standard_normal((size, 8)).astype(np.float32)
    return jnp.asarray(x), jnp.asarray(np.sin(x[:, :4]))

  def step(self):
    self.steps += 1
    rate = 1e-3 / (1 + 1e-3 * self.steps)
    scale, shift, mix = self._random.uniform(0.9, 1, 3).tolist()
    # Python's numbers: constants that are new at each step.
    schedule = (rate, 1 - 0.1 * rate, scale, shift - 0.95, mix, 1 - mix)
    a, self.compiled = self._step(self.compiled, self.batch(32), schedule)
    b, self.eager = momentum(self.eager, self.batch(16), schedule)
    self.losses = a, b

  def trace(self, n: int):
    """Traces and runs a function that is new, with nested `jvp` in it."""
    params, batch = self.eager[0], self.batch(BATCHES[n % len(BATCHES)])

    @jax.jit
    def curvature(params):
      f = lambda t: loss(jax.tree.map(lambda p: p * t, params), batch)
      slope = lambda t: jax.jvp(f, (t,), (1.0,))[1]
      return jax.jvp(slope, (1.0,), (1.0,))[1]

    curvature(params).block_until_ready()
