"""The residual of Burgers' equation, u_t + u u_x - 0.01 u_xx, of a network."""

import jax
from jax import numpy as jnp


def network(params, t, x):
  h = jnp.stack([t, x])
  for w, b in params[:-1]:
    h = jnp.sin(h @ w + b)
  (w, b), = params[-1:]
  return (h @ w + b)[0]


def residual(params, t, x):
  u = network(params, t, x)
  u_t = jax.grad(network, 1)(params, t, x)
  u_x = jax.grad(network, 2)(params, t, x)
  u_xx = jax.grad(jax.grad(network, 2), 2)(params, t, x)
  return u_t + u * u_x - 0.01 * u_xx


def loss(params, ts, xs):
  return jnp.mean(jax.vmap(residual, (None, 0, 0))(params, ts, xs)**2)


def parameters(widths=(2, 16, 16, 1)):
  keys = jax.random.split(jax.random.key(0), len(widths) - 1)
  return [(jax.random.normal(k, (n, m)) / n**0.5, jnp.zeros(m))
          for k, n, m in zip(keys, widths, widths[1:])]


if __name__ == "__main__":
  ts, xs = jnp.linspace(0, 1, 256), jnp.linspace(-1, 1, 256)
  step = jax.jit(jax.value_and_grad(loss))
  value, gradient = step(parameters(), ts, xs)
  print(f"loss {value:.4f}")
