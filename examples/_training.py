"""What networks of the examples begin with, and the steps that train them."""

from collections.abc import Callable, Sequence
import itertools

import jax
import jax.numpy as jnp
import optax


def init(key: jax.Array, sizes: Sequence[int]) -> list:
  """Weights and biases of the layers between layers of these sizes."""
  keys = jax.random.split(key, len(sizes) - 1)
  return [(jax.random.normal(k, (n, m)) / n**0.5, jnp.zeros(m))
          for k, (n, m) in zip(keys, itertools.pairwise(sizes))]


def adam(loss: Callable, rate: float, steps: int) -> tuple[Callable, Callable]:
  """The first state of Adam, and a step, at a rate that falls to 0.

  What the step gets after parameters and state goes to the loss.
  """
  rule = optax.adam(optax.cosine_decay_schedule(rate, steps))

  def step(params, state, *data):
    value, gradient = jax.value_and_grad(loss)(params, *data)
    updates, state = rule.update(gradient, state, params)
    return optax.apply_updates(params, updates), state, value

  return rule.init, step
