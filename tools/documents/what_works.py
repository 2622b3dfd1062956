"""Tries many functions at several orders of differentiation, four ways.

Each row is a function of one real number and each cell what a way makes of its
derivative: the equations of the jaxpr, inner ones included, or the error. A
derivative that is traced is also run, and compared with plain nested `jvp` at
the lowest order, and with that inside of `enabled()` at the others; one that
differs says so.
"""

import sys
import warnings

import jax
from jax import lax
import jax.numpy as jnp
from jax.scipy import special
import numpy as np

from benchmarks import contenders
import jax_cse
from jax_cse.orders import blowup
from jax_cse.orders import order_counts
from programs import POINT, PROGRAMS

_V = np.array([0.5, 2.0, 1.2, 0.7])
_M = np.eye(4) + np.arange(16.).reshape(4, 4) / 40


def _collective(reduce):
  def fun(t):
    return jax.vmap(lambda x: jnp.sin(reduce(x * t, "i")) * x,
                    axis_name="i")(_V)[0]
  return fun


FUNCTIONS = {
    # elementwise
    "thread's 0.3 sin(t) t^10": blowup.function,
    "tanh(t)^3": lambda t: jnp.tanh(t)**3,
    "exp(sin t)": lambda t: jnp.exp(jnp.sin(t)),
    "1/(1+t^2)": lambda t: 1 / (1 + t * t),
    "log1p(t) sqrt(t)": lambda t: jnp.log1p(t) * jnp.sqrt(t),
    "atan2(t, 1+t)": lambda t: jnp.arctan2(t, 1 + t),
    "asinh(t)": jnp.arcsinh,
    "t^t": lambda t: t**t,
    "rsqrt, cbrt": lambda t: lax.rsqrt(t) * jnp.cbrt(t),
    "expm1(t) logistic(t)": lambda t: jnp.expm1(t) * lax.logistic(t),
    "tan(t/2)": lambda t: jnp.tan(t / 2),
    "where, maximum, clip": lambda t: jnp.where(
        t > 1, jnp.maximum(t, 0.5)**3, jnp.clip(t, 0, 2)),
    "abs, sign": lambda t: jnp.abs(t - 2)**3 * jnp.sign(t),
    # special functions
    "erf": special.erf,
    "erfc(t)^2": lambda t: special.erfc(t)**2,
    "ndtri": lambda t: special.ndtri(t / 3),
    "digamma": lambda t: special.digamma(t + 1.5),
    "gammainc in x": lambda t: special.gammainc(2.0, t),
    "i0, i1": lambda t: special.i0(t) * special.i1(t),
    "betaln": lambda t: special.betaln(t, t + 1),
    "xlogy, entr": lambda t: special.xlogy(t, t) + special.entr(t),
    "logsumexp": lambda t: special.logsumexp(t * _V),
    # reductions, sorting, indexing
    "mean, var": lambda t: jnp.var(jnp.sin(t * _V)) / jnp.mean(t * _V),
    "prod": lambda t: jnp.prod(jnp.sin(t * _V)),
    "cumsum, cumprod": lambda t: jnp.cumprod(jnp.cumsum(t * _V))[-1],
    "cumlogsumexp": lambda t: lax.cumlogsumexp(t * _V)[-1],
    "sort": lambda t: jnp.sort(jnp.sin(t * _V))[1],
    "top_k": lambda t: lax.top_k(jnp.sin(t * _V), 2)[0][1],
    "max": lambda t: jnp.max(jnp.sin(t * _V)),
    "median": lambda t: jnp.median(jnp.sin(t * _V)),
    "gather": lambda t: jnp.sum(jnp.sin(t * _V)[np.array([0, 2, 2])]),
    "scatter-add": lambda t: jnp.sum(
        jnp.zeros(3).at[np.array([0, 1, 1, 2])].add(jnp.sin(t * _V))**3),
    "dynamic slices": lambda t: jnp.sum(lax.dynamic_update_slice(
        jnp.sin(t * _V), lax.dynamic_slice(t * _V, (1,), (2,)), (0,))),
    "concatenate, pad, reverse": lambda t: jnp.sum(jnp.pad(jnp.concatenate(
        [jnp.sin(t * _V), t * _V]), 1)[::-1]**2),
    "softmax": lambda t: jax.nn.softmax(t * _V)[0],
    "convolution": lambda t: jnp.convolve(jnp.sin(t * _V), t * _V)[3],
    "einsum": lambda t: jnp.einsum("i,ij,j", t * _V, _M, jnp.sin(t * _V)),
    "interp": lambda t: jnp.interp(t, _V * np.arange(4), jnp.sin(t * _V)),
    # linear algebra beside the programs
    "qr": lambda t: jnp.sum(jnp.linalg.qr(_M + t)[1]),
    "svd": lambda t: jnp.sum(jnp.linalg.svd(_M + jnp.diag(t * _V))[1]),
    "lu": lambda t: jnp.sum(jax.scipy.linalg.lu(_M * t + jnp.eye(4))[1]),
    "triangular solve": lambda t: jnp.sum(jax.scipy.linalg.solve_triangular(
        _M + t * jnp.eye(4), _V * t, lower=True)),
    "slogdet": lambda t: jnp.linalg.slogdet(_M + t * jnp.eye(4))[1],
    "matrix power": lambda t: jnp.sum(jnp.linalg.matrix_power(_M * t, 5)),
    "cg": lambda t: jnp.sum(jax.scipy.sparse.linalg.cg(
        lambda x: (_M @ _M.T + t * jnp.eye(4)) @ x, _V * t)[0]),
    # collectives, random numbers
    "psum": _collective(lax.psum),
    "pmean": _collective(lax.pmean),
    "random normal": lambda t: jnp.sum(jnp.sin(
        t * jax.random.normal(jax.random.key(0), (3,)))),
} | PROGRAMS


def _by_our_jet(fun, order):
  series = [1.] + [0.] * (order - 1)
  return lambda t: jax_cse.jet(fun, (t,), (series,))[1][-1]


WAYS = {"jax_cse": (jax_cse.enabled, order_counts.nested_jvp),
        "jax_cse.jet": (jax_cse.disabled, _by_our_jet),
        "jet": (jax_cse.disabled, order_counts.taylor),
        "jet-array": (jax_cse.disabled, contenders.jet_array)}


def cell(way: str, fun, order: int, expected) -> tuple[str, float | None]:
  """What a way makes of a derivative, and its value if that is right."""
  context, derive = WAYS[way]
  jax.clear_caches()
  with context():
    try:
      size = jax_cse.count_primitives(derive(fun, order))(POINT).total()
      value = jax.jit(derive(fun, order))(POINT)
    except Exception as e:  # whatever it is, it goes into the table
      return type(e).__name__, None
  if expected is not None and not np.allclose(value, expected, rtol=1e-2,
                                              atol=1e-2):
    return "wrong value", None
  return f"{size:,}", value


def main(orders: list[int]) -> None:
  warnings.filterwarnings("ignore")
  columns = [(way, order) for way in WAYS for order in orders]
  print("| function | " + " | ".join(f"{way}, {order}"
                                      for way, order in columns) + " |")
  print("| --- |" + " ---: |" * len(columns))
  works = dict.fromkeys(columns, 0)
  for name, fun in FUNCTIONS.items():
    low = orders[0]
    expected = {low: jax.jit(order_counts.nested_jvp(fun, low))(POINT)}
    row = []
    for way, order in columns:
      text, value = cell(way, fun, order, expected.get(order))
      works[way, order] += value is not None
      expected.setdefault(order, value)
      row.append(text)
    print(f"| {name} | " + " | ".join(row) + " |", flush=True)
  print(f"| **works, of {len(FUNCTIONS)}** | " + " | ".join(
      f"**{n}**" for n in works.values()) + " |")


if __name__ == "__main__":
  main([int(order) for order in sys.argv[1:]] or [2, 6])
