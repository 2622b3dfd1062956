"""A small program that computes some things twice, to be looked at.

    pip install 'PATH/TO/CLONE[examples,report]'
    python -m jax_cse run --report twice.html examples/twice.py

A pendulum with friction, where the power that it loses is written down with the
force in it once more; attention with equinox's layer norm and rotary
embeddings, which prepare the same tables for queries and keys; and one step of
training a network for Burgers' equation, u_t + u u_x = 0.01 u_xx, whose
derivatives are nested `jax.jvp`. In the page each is a function to choose.
"""

import functools

import equinox as eqx
import jax
from jax import lax
import jax.numpy as jnp


@jax.jit
def swing(angle):
  """The energies of a pendulum on its way, and the power that it loses."""
  def step(state, _):
    x, v = state
    force = -jnp.sin(x) - 0.1 * v
    energy = 0.5 * v**2 + 1 - jnp.cos(x)
    power = v * jnp.sin(x) + v * (-jnp.sin(x) - 0.1 * v)
    return (x + 0.01 * v, v + 0.01 * force), (energy, power)
  return lax.scan(step, (angle, jnp.zeros_like(angle)), length=100)[1]


_rotary = eqx.nn.RotaryPositionalEmbedding(8)


@eqx.filter_jit
def attention(norm, queries, keys, values):
  """The usual one, of tokens along the first axis."""
  queries, keys = jax.vmap(norm)(queries), jax.vmap(norm)(keys)
  scores = _rotary(queries) @ _rotary(keys).T
  return jax.nn.softmax(scores / jnp.sqrt(keys.shape[-1])) @ values


def network(params, t, x):
  """A tanh network, from two numbers to one."""
  h = jnp.stack([t, x])
  for w, b in params[:-1]:
    h = jnp.tanh(w @ h + b)
  w, b = params[-1]
  return (w @ h + b)[0]


def residual(params, t, x):
  """By how much the network misses the equation at a point."""
  u = functools.partial(network, params)
  u_x = lambda t, x: jax.jvp(lambda y: u(t, y), (x,), (1.0,))[1]
  u_xx = jax.jvp(lambda y: u_x(t, y), (x,), (1.0,))[1]
  u_t = jax.jvp(lambda s: u(s, x), (t,), (1.0,))[1]
  return u_t + u(t, x) * u_x(t, x) - 0.01 * u_xx


@jax.jit
def train_step(params, ts, xs):
  """The loss at some points, and the parameters after a step of descent."""
  def loss(params):
    return (jax.vmap(residual, (None, 0, 0))(params, ts, xs)**2).mean()
  value, slopes = jax.value_and_grad(loss)(params)
  return value, jax.tree.map(lambda p, g: p - 0.01 * g, params, slopes)


def main():
  print("energy at the end", swing(jnp.array(1.0))[0][-1])
  key = jax.random.key(0)
  queries, keys, values = jax.random.normal(key, (3, 6, 8))
  out = attention(eqx.nn.LayerNorm(8), queries, keys, values)
  print("attention, mean", out.mean())
  params = [(jax.random.normal(jax.random.fold_in(key, i), (b, a)) / a**0.5,
             jnp.zeros(b)) for i, (a, b) in enumerate([(2, 32), (32, 1)])]
  ts, xs = jax.random.uniform(key, (2, 256))
  for _ in range(10):
    value, params = train_step(params, ts, xs)
  print("loss", value)


if __name__ == "__main__":
  main()
