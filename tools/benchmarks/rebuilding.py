"""What is rebuilt, traced: loops, branches, printed code, mixed partials.

Times are of the CPU. `derivatives` is beside plain nested `jvp` of the highest
order, which has all others in it, and `cse_jaxpr` beside tracing plainly.
"""

from collections.abc import Callable, Iterator
import time

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from benchmarks.frame import Case, Count, entry
from benchmarks.sizes import Size
import jax_cse
from mixed_partials import GROW_LITTLE, mixed, point
from workloads import printed_code

_rng = np.random.RandomState(0)


def _normal(*shape):
  return _rng.randn(*shape).astype("float32") * np.float32(.3)


def _pendulum(t):
  """An angle after ten steps of Runge and Kutta's method."""
  slope = lambda y: jnp.stack([y[1], -jnp.sin(y[0]) - .1 * y[1]])

  def step(y, _, h=.1):
    a = slope(y)
    b = slope(y + h / 2 * a)
    c = slope(y + h / 2 * b)
    d = slope(y + h * c)
    return y + h / 6 * (a + 2 * b + 2 * c + d), None

  return lax.scan(step, jnp.stack([t, 2 * t]), None, length=10)[0][0]


_STATE, _READ, _INPUTS = _normal(8, 8), _normal(3, 8), _normal(12, 3)


def _recurrent(t):
  """A recurrent network on inputs of a scale."""
  step = lambda h, x: (jnp.tanh(h @ _STATE + (x * t) @ _READ), None)
  return lax.scan(step, jnp.zeros(8), _INPUTS)[0].sum()


def _likelihood(scale):
  """That of a Gaussian process, by the length scale of its kernel."""
  at = np.linspace(0, 1, 8, dtype="float32")
  kernel = jnp.exp(-((at[:, None] - at) / scale)**2 / 2) + .1 * jnp.eye(8)
  factor = jnp.linalg.cholesky(kernel)
  solved = jax.scipy.linalg.solve_triangular(
      factor, jnp.sin(6 * at), lower=True)
  return -solved @ solved / 2 - jnp.log(jnp.diag(factor)).sum()


def _branches(count):
  def fun(x):
    for i in range(count):
      x = lax.cond(x > .1 * i, lambda x, i=i: jnp.sin(x) * x + i,
                   lambda x, i=i: jnp.cos(x) - x * i, x)
    return x
  return fun


def _carries(count):
  def fun(x):
    step = lambda c, _: (tuple(
        jnp.sin(a) * b + a for a, b in zip(c, (*c[1:], c[0]))), None)
    start = tuple(x * (1 + i) for i in range(count))
    return sum(lax.scan(step, start, None, length=5)[0])
  return fun


def _traced(fun: Callable, x) -> Callable[[], object]:
  return lambda: jax.make_jaxpr(lambda y: fun(y))(x)


def _case(name, control, candidate, turns=5) -> Case:
  return Case(name, control, candidate, turns=turns, prepare=jax.clear_caches,
              clock=time.process_time)


def _nested(fun, order):
  """Values and derivatives of all orders, with 2**order copies."""
  for _ in range(order):
    fun = lambda x, f=fun: jax.jvp(f, (x,), (jnp.ones_like(x),))
  return fun


@entry("tracing derivatives over tracing plain nested jvp")
def derivatives_traced(size: Size) -> Iterator[Case]:
  for name, fun, order in (("Runge-Kutta in a scan", _pendulum, 4),
                           ("recurrent network", _recurrent, 6),
                           ("likelihood by Cholesky", _likelihood, 4)):
    order = 2 if size.quick else order
    yield _case(f"{name}, order {order}",
                _traced(_nested(fun, order), jnp.float32(.7)),
                _traced(jax_cse.derivatives(fun, order), jnp.float32(.7)))


def _simplified(fun, x):
  """Simplifies a jaxpr that is new each time: what is known of one is kept."""
  return lambda: jax_cse.cse_jaxpr(jax.make_jaxpr(lambda y: fun(y))(x))


@entry("tracing and cse_jaxpr over tracing, branches and carries")
def rebuilt_traced(size: Size) -> Iterator[Case]:
  for name, make, counts in (("branches", _branches, (10, 40)),
                             ("carries of a scan", _carries, (10, 40, 160))):
    for count in counts[:1] if size.quick else counts:
      yield _case(f"{count} {name}", _traced(make(count), jnp.float32(.3)),
                  _simplified(make(count), jnp.float32(.3)))


@entry("cse of printed code and its Jacobian over plain: traced, and in all to "
       "the first result")
def printed_jacobian(size: Size) -> Iterator[Case]:
  y = jnp.linspace(.5, 1.5, 13)
  for terms in size.of((10,), (60,), (60, 240)):
    fun = printed_code.printed(printed_code.reactions, 12, terms)
    jacobian = lambda fun=fun: jax.jacfwd(lambda y: fun(y))
    for what, run in (("traced", lambda f: jax.jit(f).trace(y)),
                      ("in all", lambda f: jax.block_until_ready(
                          jax.jit(f)(y)))):
      yield _case(f"{terms} terms, {what}",
                  lambda run=run, make=jacobian: run(make()),
                  lambda run=run, make=jacobian: run(jax_cse.cse(make())),
                  turns=1 if terms > 100 else 3)


@entry("equations of the mixed partial by 8 arguments over those by 4")
def mixed_partials(size: Size) -> Iterator[Count]:
  # In mode "exact" 0*x is no zero, and others grow as the subsets do.
  for mode, names in (("ring", GROW_LITTLE),
                      ("exact", ("product", "loop", "composition"))):
    for name in names:
      def equations(count, fun=GROW_LITTLE[name], mode=mode):
        with jax_cse.enabled(mode):
          return jax_cse.count_primitives(mixed(fun, count))(
              *point(count)).total()
      few, many = map(equations, (2, 4) if size.quick else (4, 8))
      yield Count(f"{name}, {mode}", max(few, 1), many, limit=4, ours=False)
