"""The functions from which compositions are derived, each stated once.

A spec is a name and a function of one scalar. Everything is straight-line code.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np


class Spec(NamedTuple):
  name: str
  fun: Callable


_rng = np.random.RandomState(0)
_WEIGHTS = tuple(_rng.randn(4, 4).astype("float32") / 2 for _ in range(3))


def mlp(activation):
  """Three layers of width 4, from a scalar to a scalar."""
  def fun(t):
    h = t * np.linspace(-1, 1, 4, dtype="float32")
    for w in _WEIGHTS:
      h = activation(h @ w)
    return h.sum()
  return fun


def gelu(x):
  inner = np.sqrt(2 / np.pi).astype("float32") * (x + 0.044715 * x**3)
  return 0.5 * x * (1 + jnp.tanh(inner))


SPECS = (
    Spec("thread", lambda t: 0.3 * jnp.sin(t) * t**10),
    Spec("tanh^3", lambda t: jnp.tanh(jnp.tanh(jnp.tanh(t)))),
    Spec("exp sin", lambda t: jnp.exp(jnp.sin(t))),
    Spec("1/(1+t*t)", lambda t: 1 / (1 + t * t)),
    Spec("tanh mlp", mlp(jnp.tanh)),
    Spec("gelu mlp", mlp(gelu)),
    Spec("jax.nn.gelu mlp", mlp(jax.nn.gelu)),
    Spec("logsumexp", lambda t: jax.scipy.special.logsumexp(
        t * np.arange(3, dtype="float32"))),
    Spec("shared subexpressions",
         lambda t: lax.sin(t) * lax.cos(t) + lax.cos(t) * lax.sin(t)),
    Spec("reductions and indexing", lambda t: jnp.sort(
        jnp.cumsum(t * np.arange(4, dtype="float32")))[1:].prod()),
    Spec("select", lambda t: lax.select(t > 0.5, jnp.sin(t), t * t)),
)
SPECS_BY_NAME = {spec.name: spec for spec in SPECS}

_TOKENS = tuple(_rng.randn(3, 4).astype("float32") for _ in range(2))


def _attention(t):
  x = _TOKENS[0] + t * _TOKENS[1]
  weights = jax.nn.softmax((x @ _WEIGHTS[0]) @ (x @ _WEIGHTS[1]).T, axis=-1)
  return (weights @ x).sum()


def _layer_norm(t):
  x = _TOKENS[0] + t * _TOKENS[1]
  deviation = x - x.mean(-1, keepdims=True)
  variance = (deviation**2).mean(-1, keepdims=True)
  return (deviation / jnp.sqrt(variance + 1e-5) * _TOKENS[1]).sum()


# Smooth functions, for which there are rules of Taylor mode.
SMOOTH = (
    *(SPECS_BY_NAME[name] for name in (
        "thread", "tanh^3", "exp sin", "1/(1+t*t)", "tanh mlp",
        "jax.nn.gelu mlp", "logsumexp")),
    Spec("power of tanh", lambda t: jnp.tanh(t)**3),
    Spec("tanh", lax.tanh),
    Spec("logistic chain",
         lambda t: jax.nn.sigmoid(jax.nn.sigmoid(jax.nn.sigmoid(t)))),
    Spec("erf polynomial", lambda t: lax.erf(t) * (1 + t + t**3)),
    Spec("attention", _attention),
    Spec("layer norm", _layer_norm),
)


def derivative(fun):
  return lambda t: jax.jvp(fun, (t,), (1.0,))[1]


def nested(fun, order):
  for _ in range(order):
    fun = derivative(fun)
  return fun


# Name to what it makes of a function of a scalar; the result takes a scalar.
COMPOSITIONS = {
    "itself": lambda f: f,
    "twice": lambda f: lambda t: (f(t), f(t)),
    "jit": jax.jit,
    "jvp": lambda f: lambda t: jax.jvp(f, (t,), (2.0,)),
    "grad": jax.grad,
    "value_and_grad": jax.value_and_grad,
    "vmap": lambda f: lambda t: jax.vmap(f)(t * jnp.arange(1.0, 4.0)),
    "linearize": lambda f: lambda t: jax.linearize(f, t)[1](1.5),
    "jvp jvp": lambda f: nested(f, 2),
    "jvp jvp jvp": lambda f: nested(f, 3),
    "grad grad": lambda f: jax.grad(jax.grad(f)),
    "jvp grad": lambda f: derivative(jax.grad(f)),
    "grad jvp": lambda f: jax.grad(derivative(f)),
    "grad jvp jvp": lambda f: jax.grad(nested(f, 2)),
    "vmap jvp jvp": lambda f: lambda t: jax.vmap(nested(f, 2))(
        t * jnp.arange(1.0, 4.0)),
    "jvp vmap jvp": lambda f: derivative(
        lambda t: jax.vmap(derivative(f))(t * jnp.arange(1.0, 4.0)).sum()),
    "jvp of jit": lambda f: nested(jax.jit(f), 2),
    "jit of jvp": lambda f: jax.jit(nested(f, 2)),
    "remat": lambda f: jax.checkpoint(f),
    "grad remat": lambda f: jax.grad(jax.checkpoint(f)),
    "jvp grad remat": lambda f: derivative(jax.grad(jax.checkpoint(f))),
    "scan": lambda f: lambda t: lax.scan(
        lambda c, x: (f(c) * 0.1 + x, f(c)), t, jnp.arange(3.0)),
    "jvp scan": lambda f: derivative(lambda t: lax.scan(
        lambda c, x: (f(c) * 0.1 + x, c), t, jnp.arange(3.0))[0]),
    "grad scan": lambda f: jax.grad(lambda t: lax.scan(
        lambda c, x: (f(c) * 0.1 + x, c), t, jnp.arange(3.0))[0]),
    "cond": lambda f: lambda t: lax.cond(t > 0, f, lambda u: u, t),
    "grad cond": lambda f: jax.grad(
        lambda t: lax.cond(t > 0, f, lambda u: u, t)),
    "custom_jvp": lambda f: nested(_custom_jvp(f), 2),
    "custom_vjp": lambda f: jax.grad(_custom_vjp(f)),
}


def _custom_jvp(f):
  g = jax.custom_jvp(lambda t: f(t))
  g.defjvp(lambda primals, tangents: jax.jvp(f, primals, tangents))
  return g


def _custom_vjp(f):
  g = jax.custom_vjp(lambda t: f(t))
  g.defvjp(lambda t: (f(t), t), lambda t, ct: (ct * jax.grad(f)(t),))
  return g
