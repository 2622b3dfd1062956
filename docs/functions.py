"""A function of which there is a picture in gallery.md."""

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
