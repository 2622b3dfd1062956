"""Calls and loops, each in a few words, of which programs are made."""

import jax
from jax import lax
import jax.numpy as jnp


def fresh(f):
  """A `jit` of its own: JAX has the jaxpr of no other call for it."""
  return jax.jit(lambda *xs: f(*xs))


def scan(step, init, xs=None, length=3, **kwargs):
  return lax.scan(step, init, xs, length=length, **kwargs)


def while_below(step, init, until=4.):
  return lax.while_loop(lambda c: jnp.sum(c[0]) < until, step, init)
