"""Functions of many numbers, for mixed derivatives by each of them once.

`GROW_LITTLE` have derivatives that few values are needed for, if zeros are
known and what nobody reads is left out. Each subset of the numbers has another
derivative in `GROW_AS_SUBSETS`, and all of them are needed.
"""

import jax
from jax import lax
import jax.numpy as jnp


def mixed(f, order):
  """The derivative of `f` by each of its first `order` operands."""
  for i in range(order):
    f = _by(f, i)
  return f


def _by(f, i):
  return lambda *xs: jax.jvp(
      lambda x: f(*xs[:i], x, *xs[i + 1:]), (xs[i],), (1.,))[1]


def point(order):
  return [1. + i / 10 for i in range(order)]


def _chain(*xs):
  y = xs[0]
  for x in xs[1:]:
    y = y * x
  return y


def _updated(*xs):
  x = jnp.zeros(len(xs))
  for i, a in enumerate(xs):
    x = lax.dynamic_update_slice(x, jnp.reshape(a, (1,)), (i,))
  return jnp.prod(jnp.sin(x))


def _scattered(*xs):
  x = jnp.zeros(len(xs))
  for i, a in enumerate(xs):
    x = x.at[i].set(a)
  return jnp.prod(jnp.sin(x))


def _split(*xs):
  x, y = jnp.split(jnp.stack(xs), 2)
  return jnp.exp(jnp.sum(jnp.sin(x) * jnp.cos(y)))


def _unstacked(*xs):
  return _chain(*jnp.sin(jnp.stack(xs)))


def _network(*xs):
  w = jnp.sin(jnp.arange(5. * len(xs))).reshape(len(xs), 5)
  return jnp.sum(jnp.tanh(jnp.stack(xs) @ w))


def _nested_loop(*xs):
  y = xs[0]
  for x in xs[1:]:
    y = jnp.sin(y) * x
  return y


GROW_LITTLE = {
    "product": lambda *xs: jnp.prod(jnp.stack(xs)),
    "loop": _chain,
    "composition": lambda *xs: jnp.exp(jnp.sin(sum(xs))),
    "weighted sum": lambda *xs: jnp.exp(jnp.sin(
        sum((i + 1) * x for i, x in enumerate(xs)))),
    "dot product": lambda *xs: jnp.exp(
        jnp.stack(xs[::2]) @ jnp.stack(xs[1::2])),
    "norm": lambda *xs: jnp.linalg.norm(jnp.stack(xs)),
    "squares": lambda *xs: jnp.sin(jnp.sum(jnp.stack(xs)**2)),
    "softmax": lambda *xs: jax.nn.softmax(jnp.stack(xs))[0],
    "concatenate": lambda *xs: jnp.prod(jnp.concatenate([
        jnp.sin(jnp.stack(xs[:2])), jnp.cos(jnp.stack(xs[2:]))])),
    "pad": lambda *xs: jnp.prod(jnp.sin(
        jnp.pad(jnp.stack(xs), 1, constant_values=1.))),
    "cumulative product": lambda *xs: jnp.sum(
        jnp.cumprod(jnp.sin(jnp.stack(xs)))),
    "update": _updated,
    "scatter": _scattered,
    "split": _split,
    "unstack": _unstacked,
    "a call": lambda *xs: jax.jit(_chain)(*map(jnp.sin, xs)),
    "a call of a stack": lambda *xs: jax.jit(
        lambda x: jnp.prod(jnp.sin(x)))(jnp.stack(xs)),
    "network": _network,
}
GROW_AS_SUBSETS = {
    "nested loop": _nested_loop,
    "deep network": lambda *xs: jnp.tanh(_network(*xs) * _network(*xs)),
    "determinant": lambda *xs: jnp.linalg.slogdet(
        jnp.diag(jnp.stack(xs)) + 1.)[1],
}
