"""Programs with nested gradients, and how they are traced where sums and
products may be reordered."""

from collections import Counter
import itertools

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.foundation import counting

grad = jax.grad
T = jnp.float32(0.4)
Z = jnp.array([0.1, 0.2, 0.3])
WAYS = ("ring", "reassociate", "cse")


def by(way, fun):
  """A function that is traced by one of `WAYS`."""
  def traced(*args):
    if way == "cse":
      return jax.make_jaxpr(jax_cse.cse(fun), return_shape=True)(*args)
    with jax_cse.enabled(way):
      return jax.make_jaxpr(fun, return_shape=True)(*args)

  def evaluated(*args):
    jaxpr, shape = traced(*args)
    outs = compat.core.jaxpr_as_fun(jaxpr)(*jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shape), outs)

  evaluated.jaxpr = lambda *args: jaxprs.drop_dead_equations(traced(*args)[0])
  return evaluated


def size(jaxpr):
  return len(list(counting.equations(jaxpr.jaxpr)))


def primitives(jaxpr):
  return Counter(eqn.primitive.name
                 for eqn in counting.equations(jaxpr.jaxpr))


def f(t):
  return jnp.sin(t) * jnp.exp(0.3 * t) + t**3


def network(widths, seed=0):
  rng = np.random.RandomState(seed)
  weights = [rng.randn(a, b).astype("float32") / 2
             for a, b in itertools.pairwise(widths)]
  def fun(z):
    for w in weights[:-1]:
      z = jnp.tanh(z @ w)
    return (z @ weights[-1])[0]
  return fun


def pick(fun, i):
  return lambda z: grad(fun)(z)[i]


def nested(fun, order):
  for _ in range(order):
    fun = grad(fun)
  return fun


def scanned(t):
  return lax.scan(lambda c, x: (jnp.sin(c) * x + t, c * c), t,
                  jnp.arange(3.))[0]


def two(x, y):
  return jnp.sin(x * y) * x


NET = network((3, 5, 5, 1))
# A program, and its operands.
PROGRAMS = {
    "third": (nested(f, 3), T),
    "in vmap": (jax.vmap(nested(f, 2)), jnp.linspace(0., 1., 4)),
    "in scan": (lambda t: lax.scan(
        lambda c, x: (nested(f, 2)(c) * x + c, grad(f)(c)), t,
        jnp.arange(3.)), T),
    "of scan": (nested(scanned, 2), T),
    "of cond": (nested(lambda t: t * lax.cond(
        t > 0, jnp.sin, lambda x: x**3, t), 2), T),
    "of jit": (nested(jax.jit(f), 2), T),
    "in jit": (lambda t: jax.jit(grad(jax.jit(grad(f))))(t), T),
    "of remat": (nested(jax.checkpoint(f), 2), T),
    "value": (lambda t: jax.value_and_grad(
        lambda t: jax.value_and_grad(f)(t)[1])(t), T),
    "aux": (lambda t: jax.value_and_grad(lambda t: grad(
        lambda t: (f(t), {"a": 2 * t, "b": jnp.ones(3)}), has_aux=True)(t),
                                         has_aux=True)(t), T),
    "two arguments": (lambda x, y: grad(lambda x, y: sum(
        grad(two, (0, 1))(x, y)), (0, 1))(x, y), T, 2 * T),
    "a tree": (lambda d: grad(lambda d: grad(
        lambda d: jnp.sin(d["a"]) * d["b"])(d)["a"])(d), {"a": T, "b": 2 * T}),
    "components": (pick(pick(NET, 0), 1), Z),
    "all components": (lambda z: grad(
        lambda z: (grad(NET)(z)**2).sum())(z), Z),
    "hessian": (jax.hessian(NET), Z),
    "jacrev jacrev": (jax.jacrev(jax.jacrev(NET)), Z),
    "jacfwd jacrev": (jax.jacfwd(jax.jacrev(NET)), Z),
    "jacrev thrice": (jax.jacrev(jax.jacrev(jax.jacrev(NET))), Z),
    "a matrix": (pick(lambda x: grad(lambda x: jnp.sin(x @ x).sum())(x)[0, 1],
                      (1, 0)), jnp.array([[.3, .2], [.1, .5]])),
    "a matrix in another order": (lambda x: grad(lambda x: grad(
        lambda x: (jnp.sin(lax.reshape(x, (4,), (1, 0)))
                   * jnp.arange(4.)).sum()**3)(x)[0, 1])(x),
                                  jnp.array([[.3, .2], [.1, .5]])),
    "one in an array": (lambda x: grad(lambda x: (grad(
        lambda x: (jnp.sin(x) @ x)[0, 0])(x)**2).sum())(x), jnp.array([[.3]])),
    "vjp": (lambda t: jax.vjp(lambda t: jax.vjp(lambda t: jnp.stack(
        [jnp.sin(t), t * t, t]), t)[1](jnp.array([1., 2., t]))[0], t)[1](
            jnp.float32(2.))[0], T),
    "vjp of rows": (lambda x: jax.vjp(lambda x: jax.vjp(f, x)[1](
        jnp.ones(5))[0], x)[1](jnp.arange(5.))[0], jnp.linspace(0., 1., 5)),
    "rows that meet": (lambda x: grad(lambda x: grad(
        lambda x: jax.vmap(f)(x).mean())(x)[2] * x[0])(x),
                       jnp.linspace(0., 1., 7)),
    "rows of two": (lambda x: grad(lambda x: grad(lambda x: (jnp.tanh(
        x @ jnp.arange(6.).reshape(2, 3))**2).sum())(x)[:, 1].sum())(x),
                    jnp.linspace(0., 1., 12).reshape(6, 2)),
    "an integer": (lambda t, n: grad(lambda t: grad(
        lambda t, n: f(t) * n, (0, 1), allow_int=True)(t, n)[0])(t),
                   T, jnp.int32(3)),
    "complex inside": (nested(lambda x: jnp.abs(
        jnp.exp(1j * x) * (1 + 2j * x))**2, 2), T),
    "complex": (grad(lambda x: (x * x * jnp.conj(x)).real),
                jnp.complex64(1 + 2j)),
    "complex result": (lambda t: jax.vjp(lambda t: jnp.exp(1j * t), t)[1](
        jnp.complex64(1 + 2j))[0], T),
    "holomorphic": (grad(grad(jnp.sin, holomorphic=True), holomorphic=True),
                    jnp.complex64(1 + 2j)),
    "solve": (nested(lambda t: jnp.linalg.solve(
        jnp.eye(3) * (1 + t) + 0.1 * t * t, jnp.arange(3.)).sum(), 2), T),
    "cholesky": (nested(lambda t: jnp.linalg.cholesky(
        jnp.eye(3) * (2 + t) + 0.1 * t * t).sum(), 2), T),
    "gather": (pick(pick(lambda z: (
        jnp.sin(z)[jnp.array([2, 0, 0])] * z).sum(), 2), 0), Z),
    "scatter": (pick(pick(lambda z: (jnp.zeros(4).at[
        jnp.array([1, 1, 3])].add(z)**3).sum(), 1), 1), Z),
    "unstack": (pick(pick(lambda z: (
        lambda a, b, c: a * b * jnp.sin(c))(*z), 2), 0), Z),
    "zero": (nested(jnp.floor, 2), T),
    "half precision": (nested(lambda x: jnp.sin(x) * x, 2), jnp.float16(.4)),
    "an axis": (jax.vmap(lambda t: grad(lambda t: jnp.sin(
        lax.psum(f(t), "i")))(t), axis_name="i"), jnp.linspace(0., 1., 4)),
    "weights": (lambda w, x: jax.value_and_grad(lambda w: jnp.mean(jax.vmap(
        lambda t: nested(lambda t: jnp.tanh(jnp.tanh(t * w[0]) @ w[1]).sum(),
                         2)(t) - t)(x)**2))(w),
                [jnp.arange(5.) / 5, jnp.full((5, 5), 0.3)],
                jnp.linspace(0., 1., 4)),
    "weights, aux": (lambda w: grad(lambda w: (nested(
        lambda t: jnp.tanh(t * w).sum(), 2)(T), {"w": 2 * w, "n": T}),
                                    has_aux=True)(w), jnp.arange(5.) / 5),
    "linearize": (lambda x: jax.linearize(lambda x: jax.vmap(
        nested(f, 2))(x).sum(), x)[1](jnp.ones(6)), jnp.arange(6.) / 6),
    "a step of learning inside": (grad(lambda w: jnp.sum((w - 0.1 * grad(
        lambda w: jnp.sum(jnp.sin(w)**2) * nested(f, 2)(w[0]))(w))**2)),
                                  jnp.arange(6.) / 6),
}
