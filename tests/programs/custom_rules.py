"""Functions with rules of their own, of which some only look the same."""

import functools

import jax
from jax import lax
import jax.numpy as jnp


@jax.custom_jvp
def custom(x):
  return jnp.sin(x) * x


@custom.defjvp
def _custom_rule(primals, tangents):
  return custom(*primals), jnp.cos(primals[0]) * tangents[0]


@jax.custom_jvp
def same_with_another_rule(x):
  return jnp.sin(x) * x


@same_with_another_rule.defjvp
def _another_rule(primals, tangents):
  return same_with_another_rule(*primals), tangents[0]


@jax.custom_vjp
def clipped(x):
  return lax.sin(x)


clipped.defvjp(lambda x: (clipped(x), None),
               lambda _, ct: (jnp.clip(ct, -1, 1),))


class Equal:
  """A rule, or what a pytree is flattened with, that is equal to any other."""

  def __init__(self, slope):
    self.slope = slope

  def __eq__(self, other):
    return isinstance(other, Equal)

  def __hash__(self):
    return 0

  def __call__(self, primals, tangents):
    return lax.sin(primals[0]), tangents[0] * self.slope

  def rule(self, primals, tangents):
    return self(primals, tangents)


ONE, TWO = Equal(1.0), Equal(2.0)


def with_rule(rule):
  fun = jax.custom_jvp(lax.sin)
  fun.defjvp(rule)
  return fun


@functools.partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def applied(fun, factor, x):
  return fun(x)
applied.defjvp(lambda fun, factor, xs, ts: (
    applied(fun, factor, *xs), factor * ts[0]))


def acting(act):
  """A function with a rule that does something, or raises."""
  fun = jax.custom_jvp(lax.sin)
  fun.defjvp(lambda xs, ts: (fun(*xs), (act(xs[0]), ts[0])[1]))
  return lambda x: (fun(x), fun(x))


@jax.tree_util.register_pytree_node_class
class Tagged:

  def __init__(self, x, tag):
    self.x, self.tag = x, tag

  def tree_flatten(self):
    return (self.x,), self.tag

  @classmethod
  def tree_unflatten(cls, tag, children):
    return cls(*children, tag)


@jax.custom_jvp
def of_tagged(tagged):
  return lax.sin(tagged.x)


@of_tagged.defjvp
def _of_tagged_rule(primals, tangents):
  tagged, = primals
  return lax.sin(tagged.x), tangents[0].x * tagged.tag.slope
