"""Vector in, scalar out: second and third derivatives of networks."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp

from benchmarks.frame import Case, Count, enabled, entry
from benchmarks.sizes import Size
import jax_cse

_DIMENSIONS, _WIDTH = 16, 64


class Program(NamedTuple):
  """A function and its arguments."""
  name: str
  fun: Callable
  args: tuple


def _mlp(activation):
  def network(weights, x):
    for w in weights[:-1]:
      x = activation(x @ w)
    return (x @ weights[-1])[0]
  return network


def _attention(weights, x):
  tokens = x.reshape(4, 4) @ weights[0][:4]
  scores = tokens @ weights[1] @ tokens.T / _WIDTH**0.5
  return jnp.sum(jax.nn.softmax(scores) @ tokens @ weights[2])


NETWORKS = {"tanh mlp": _mlp(jnp.tanh), "gelu mlp": _mlp(jax.nn.gelu),
            "softplus mlp": _mlp(jax.nn.softplus), "attention": _attention}


def _hvp_forward(f):
  """A product with the Hessian: forward mode over reverse mode."""
  return lambda w, x, v: jax.jvp(jax.grad(lambda x: f(w, x)), (x,), (v,))[1]


def _hvp_reverse(f):
  """The same, reverse mode over reverse mode."""
  return lambda w, x, v: jax.grad(
      lambda x: jnp.vdot(jax.grad(f, 1)(w, x), v))(x)


OPERATORS = {
    "hessian": lambda f: lambda w, x, v: jax.hessian(f, 1)(w, x),
    "hvp, jvp of grad": _hvp_forward,
    "hvp, grad of grad": _hvp_reverse,
    "gradient penalty": lambda f: jax.grad(
        lambda w, x, v: jnp.sum(jax.grad(f, 1)(w, x)**2)),
    "third, jvp of jvp of grad": lambda f: lambda w, x, v: jax.jvp(
        lambda x: _hvp_forward(f)(w, x, v), (x,), (v,))[1],
}


def programs() -> Iterator[Program]:
  """Each operator of each network, on 1,024 points."""
  keys = jax.random.split(jax.random.key(0), 6)
  sizes = [_DIMENSIONS, _WIDTH, _WIDTH, 1]
  weights = [jax.random.normal(k, (n, m)) / n**0.5
             for k, n, m in zip(keys, sizes, sizes[1:])]
  x, v = (jax.random.normal(k, (1024, _DIMENSIONS)) for k in keys[4:])
  for name, network in NETWORKS.items():
    for operator, of in OPERATORS.items():
      yield Program(f"{operator} of {name}",
                    jax.vmap(of(network), (None, 0, 0)), (weights, x, v))


@entry("equations of second derivatives of networks, CSE over plain")
def vector_counts(size: Size) -> Iterator[Count]:
  for name, fun, args in programs():
    counts = [into(lambda fun=fun, args=args: jax_cse.count_primitives(fun)(
        *args).total())() for into in (lambda f: f, enabled)]
    yield Count(name, *counts, limit=1)


@entry("time to the first second derivatives of networks, CSE over plain")
def vector_first(size: Size) -> Iterator[Case]:
  for name, fun, args in programs():
    first = lambda fun=fun, args=args: jax.block_until_ready(
        jax.jit(lambda *xs: fun(*xs))(*args))
    yield Case(name, first, enabled(first), turns=3, prepare=jax.clear_caches)


@entry("run time of second derivatives of networks, CSE over plain")
def vector_run(size: Size) -> Iterator[Case]:
  for name, fun, args in programs():
    compile_ = lambda fun=fun, args=args: jax.jit(
        lambda *xs: fun(*xs)).lower(*args).compile()
    plain, merged = compile_(), enabled(compile_)()
    yield Case(name, lambda f=plain, xs=args: jax.block_until_ready(f(*xs)),
               lambda f=merged, xs=args: jax.block_until_ready(f(*xs)),
               turns=60)
