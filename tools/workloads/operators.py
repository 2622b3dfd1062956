"""The Laplacian and the biharmonic operator of a network.

    laplacian u = sum_i d^2 u / dx_i^2
    biharmonic u = laplacian laplacian u

The first is the kinetic energy of a wave function (Pfau et al. 2020, "Ab initio
solution of the many-electron Schroedinger equation with deep neural networks"),
and networks for molecules are often made of softplus (Schuett et al. 2017,
"SchNet"). The second is the bending of a thin plate (Timoshenko and
Woinowsky-Krieger 1959, chapter 4).

`jet` has derivatives along one direction only; mixed fourth ones come from
those along sums and differences (Griewank, Utke and Walther 2000, "Evaluating
higher derivative tensors by forward propagation of univariate Taylor series"):

    u_iijj = (D^4 along i + j, and along i - j, less 2 of i and 2 of j) / 12
"""

from collections.abc import Callable, Iterator
import functools

import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from workloads import taylor
from workloads import workload

_DIMENSION = 10


def nested_jvp(f: Callable) -> Callable:
  """The Laplacian by nested `jvp` along each coordinate."""
  def along(x, v):
    return jax.jvp(lambda y: jax.jvp(f, (y,), (v,))[1], (x,), (v,))[1]
  return lambda x: jax.vmap(along, (None, 0))(
      x, jnp.eye(x.size, dtype=x.dtype)).sum()


def trace_of_hessian(f: Callable) -> Callable:
  return lambda x: jnp.trace(jax.hessian(f)(x))


def by_folx(f: Callable) -> Callable:
  import folx
  return lambda x: folx.forward_laplacian(f)(x).laplacian


def by_series(propagate: taylor.Propagate, f: Callable) -> Callable:
  """The Laplacian from second derivatives along the coordinates."""
  def laplacian(x):
    along = lambda v: taylor.along(propagate, f, x, v, 2)[2]
    return jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype)).sum()
  return laplacian


def biharmonic_by_series(propagate: taylor.Propagate, f: Callable) -> Callable:
  """The biharmonic operator from fourth derivatives along n^2 directions."""
  def biharmonic(x):
    n = x.size
    i, j = np.triu_indices(n, 1)
    basis = np.eye(n)
    directions = jnp.asarray(np.concatenate(
        [basis, basis[i] + basis[j], basis[i] - basis[j]]), x.dtype)
    weights = jnp.asarray(np.concatenate(
        [np.full(n, 1 - (n - 1) / 3), np.full(2 * len(i), 1 / 6)]), x.dtype)
    along = lambda v: taylor.along(propagate, f, x, v, 4)[4]
    return weights @ jax.vmap(along)(directions)
  return biharmonic


def twice(operator: Callable) -> Callable:
  return lambda f: operator(operator(f))


def _contenders(series: Callable) -> dict[str, Callable]:
  return {name: functools.partial(series, propagate)
          for name, propagate in taylor.contenders().items()}


PLAIN = {"nested jvp": nested_jvp, "trace of hessian": trace_of_hessian}
FOLX = {"folx": by_folx} if workload.installed("folx") else {}
LAPLACIAN: dict[str, Callable] = {
    "laplacian": jax_cse.laplacian, **_contenders(by_series), **FOLX}
BIHARMONIC = {"laplacian": twice(jax_cse.laplacian),
              **_contenders(biharmonic_by_series),
              **{way: twice(of) for way, of in FOLX.items()}}


def _of_network(operator: Callable, activation: Callable) -> Callable:
  def at_points(params, x):
    u = lambda x: workload.network(params, x, activation)[0]
    return jax.vmap(operator(u))(x)
  return at_points


def workloads(sizes: workload.Sizes) -> Iterator[workload.Workload]:
  """Both operators of a tanh network, for both plain forms, and the Laplacian
  of a softplus network."""
  problems: dict[str, tuple] = {
      "Laplacian": (_DIMENSION, jnp.tanh, lambda of: of, LAPLACIAN),
      "Laplacian of softplus": (
          _DIMENSION, jax.nn.softplus, lambda of: of, LAPLACIAN),
      **{f"biharmonic in {n} dimensions": (n, jnp.tanh, twice, BIHARMONIC)
         for n in sizes.dimensions}}
  for name, (dimension, activation, power, operators) in problems.items():
    others = {way: _of_network(operator, activation)
              for way, operator in operators.items()}
    args = (workload.init(dimension, 1, sizes),
            workload.random(1, sizes.batch, dimension))
    for form, operator in PLAIN.items():
      plain = _of_network(power(operator), activation)
      yield workload.Workload(f"{name}, {form}", {
          **workload.with_cse(plain), **others}, args)
