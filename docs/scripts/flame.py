"""Training for Kuramoto and Sivashinsky's u_t + u u_x + u_xx + u_xxxx = 0."""

import jax
from jax import numpy as jnp

from burgers import network, parameters


def d(f, i):                        # by a coordinate
  return jax.grad(f, argnums=1 + i)


u_t, u_x = d(network, 0), d(network, 1)
u_xx = d(u_x, 1)
u_xxxx = d(d(u_xx, 1), 1)


def loss(params, t, x):
  def residual(t, x):
    p = params, t, x
    return u_t(*p) + network(*p) * u_x(*p) + u_xx(*p) + u_xxxx(*p)
  return jnp.mean(jax.vmap(residual)(t, x)**2)


@jax.jit
def step(params, t, x):
  value, slopes = jax.value_and_grad(loss)(params, t, x)
  return jax.tree.map(lambda p, s: p - 0.001 * s, params, slopes), value


if __name__ == "__main__":
  params = parameters((2, 64, 64, 64, 1))
  t, x = jax.random.uniform(jax.random.key(0), (2, 256))
  for _ in range(100):
    params, value = step(params, t, x)
  print(f"loss {value:.4f}")
