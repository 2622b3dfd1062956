"""Functions of which there are pictures in gallery.md."""

import jax
from jax import lax
import jax.numpy as jnp


def pendulum(angle):
  """The angle after two seconds in 20 steps of the classic Runge-Kutta."""
  def slope(state):
    return jnp.stack([state[1], -9.81 * jnp.sin(state[0])])

  def step(state, _):
    k1 = slope(state)
    k2 = slope(state + 0.05 * k1)
    k3 = slope(state + 0.05 * k2)
    k4 = slope(state + 0.1 * k3)
    return state + 0.1 / 6 * (k1 + 2 * k2 + 2 * k3 + k4), None

  start = jnp.stack([angle, jnp.zeros_like(angle)])
  return lax.scan(step, start, length=20)[0][0]


def attention(t):
  """Self-attention of four tokens that move along a line."""
  tokens = jnp.sin(t * jnp.arange(1.0, 33.0).reshape(4, 8))
  weights = jax.nn.softmax(tokens @ tokens.T / jnp.sqrt(8.0), axis=-1)
  return jnp.sum(weights @ tokens)


def wave(t):
  """The thread's function in `lax`, so that nothing runs compiled."""
  return lax.mul(lax.mul(0.3, lax.sin(t)), lax.integer_pow(t, 10))


def sweeps():
  """Four sweeps over 10 products of matrices, then four over 40."""
  a = jnp.arange(256.0 * 256).reshape(256, 256) / 256**2
  for products in (10, 40):
    for _ in range(4):
      for i in range(products):
        lax.dot(a, lax.mul(a, jnp.float32(i)))
