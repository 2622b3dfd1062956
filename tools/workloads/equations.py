"""Equations that networks are trained for, by all ways to their derivatives.

A physics-informed network is trained to make the residual of an equation small
at points (Raissi, Perdikaris and Karniadakis 2019). The equations, with the
papers that train networks for them or for ones of the same form:

    Helmholtz              u_xx + u_yy + 4 u            Wang et al. 2021
    Navier-Stokes          in u, v, p of x, y, t        Raissi et al. 2019
    Korteweg-de Vries      u_t + 6 u u_x + u_xxx        Raissi et al. 2019
    Kuramoto-Sivashinsky   u_t + u u_x + u_xx + u_xxxx  Wang et al. 2024
    beam                   u_tt + u_xxxx                Kapoor et al. 2023
    plate                  u_xxxx + 2 u_xxyy + u_yyyy   Guo et al. 2019

The networks have 4 layers of width 128, with tanh, silu or sin (Sitzmann et al.
2020). A way makes the partial derivatives at a point; plain code is nested
`grad` by one coordinate after the other, or the same by nested `jvp`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from workloads import taylor
from workloads import workload

# A partial derivative: which field, and the coordinates that it is by.
Partial = tuple[int, str]


class Equation(NamedTuple):
  """An equation in fields of coordinates.

  Attributes:
    coordinates: their names, a letter each.
    fields: how many there are.
    partials: the derivatives that it needs.
    residual: of their values, in this order.
  """
  coordinates: str
  fields: int
  partials: tuple[Partial, ...]
  residual: Callable[..., Any]


def _of_one(coordinates: str, partials: str, residual: Callable) -> Equation:
  return Equation(coordinates, 1, tuple(
      (0, name) for name in partials.replace("u", "").split(",")), residual)


def _navier_stokes(*partials: Any) -> jax.Array:
  u, ux, uy, ut, uxx, uyy, v, vx, vy, vt, vxx, vyy, px, py = partials
  return jnp.stack([ut + u * ux + v * uy + px - 0.01 * (uxx + uyy),
                    vt + u * vx + v * vy + py - 0.01 * (vxx + vyy), ux + vy])


EQUATIONS = {
    "Helmholtz": _of_one("xy", "u,uxx,uyy", lambda u, a, b: a + b + 4 * u),
    "Navier-Stokes": Equation("xyt", 3, (
        *((field, name) for field in (0, 1)
          for name in ("", "x", "y", "t", "xx", "yy")), (2, "x"), (2, "y")),
                              _navier_stokes),
    "Korteweg-de Vries": _of_one(
        "xt", "u,ux,ut,uxxx", lambda u, ux, ut, c: ut + 6 * u * ux + c),
    "Kuramoto-Sivashinsky": _of_one(
        "xt", "u,ux,ut,uxx,uxxxx",
        lambda u, ux, ut, b, d: ut + u * ux + b + d),
    "beam": _of_one("xt", "utt,uxxxx", lambda a, b: a + b),
    "plate": _of_one("xy", "uxxxx,uxxyy,uyyyy",
                     lambda a, b, c: a + 2 * b + c - 1),
}
ACTIVATIONS = {"tanh": jnp.tanh, "silu": jax.nn.silu, "sin": jnp.sin}


def network(activation: Callable) -> Callable:
  """The fields at a point, of parameters and coordinates."""
  def fields(params, *point):
    h = jnp.stack(point)
    for w, b in params[:-1]:
      h = activation(h @ w + b)
    w, b = params[-1]
    return h @ w + b
  return fields


# Ways: of an equation and of the fields of a point, to the partial derivatives.

def by_grad(f: Callable, i: int) -> Callable:
  return jax.grad(f, i)


def by_jvp(f: Callable, i: int) -> Callable:
  return lambda *point: jax.jvp(
      lambda x: f(*point[:i], x, *point[i + 1:]), (point[i],),
      (jnp.ones_like(point[i]),))[1]


def nested(d: Callable) -> Callable:
  def partials(equation, fields, point):
    values = []
    for k, name in equation.partials:
      f = lambda *point, k=k: fields(*point)[k]
      for letter in name:
        f = d(f, equation.coordinates.index(letter))
      values.append(f(*point))
    return values
  return partials


def by_series(propagate: taylor.Propagate) -> Callable:
  """Series along the coordinates; mixed ones from those along diagonals."""
  def partials(equation, fields, point):
    orders: dict[tuple[int, ...], int] = {}
    for _, name in equation.partials:
      for direction in _directions(equation, name):
        orders[direction] = max(orders.get(direction, 0), len(name))
    along = {
        direction: taylor.along(
            propagate, lambda x: fields(*x), jnp.stack(point),
            jnp.asarray(direction, point[0].dtype), order)
        for direction, order in orders.items()}
    value = fields(*point)
    return [_from_series(equation, name, along)[k] if name else value[k]
            for k, name in equation.partials]
  return partials


def _directions(equation, name):
  axis = lambda letter: tuple(int(c == letter) for c in equation.coordinates)
  if len(set(name)) < 2:
    return [axis(letter) for letter in set(name)]
  assert (name, equation.coordinates) == ("xxyy", "xy")
  return [(1, 0), (0, 1), (1, 1), (1, -1)]


def _from_series(equation, name, along):
  terms = [along[v][len(name)] for v in _directions(equation, name)]
  if len(terms) == 1:
    return terms[0]
  x, y, sum_, difference = terms
  return (sum_ + difference - 2 * (x + y)) / 12


def by_folx(equation, fields, point):
  """Where all that is needed of second order is the Laplacian."""
  import folx
  if equation.partials != ((0, ""), (0, "xx"), (0, "yy")):
    raise NotImplementedError("folx has Laplacians alone")
  found = folx.forward_laplacian(lambda x: fields(*x)[0])(jnp.stack(point))
  return [found.x, found.laplacian, 0.]


WAYS: dict[str, Callable] = {
    "grad": nested(by_grad), "jvp": nested(by_jvp),
    **{name: by_series(propagate)
       for name, propagate in taylor.contenders().items()},
    **({"folx": by_folx} if workload.installed("folx") else {})}


def residual(equation: Equation, way: Callable, activation: Callable
             ) -> Callable:
  """The residual at a point, of parameters and coordinates."""
  fields = network(activation)
  return lambda params, *point: equation.residual(
      *way(equation, lambda *x: fields(params, *x), point))


def loss(residual: Callable, points: tuple) -> Callable:
  """The mean square of a residual at points, of parameters."""
  at_points = jax.vmap(residual, (None, *[0] * len(points)))
  return lambda params: jnp.mean(at_points(params, *points)**2)


def problem(equation: Equation, sizes: workload.Sizes) -> tuple[Any, tuple]:
  """Parameters, and points."""
  points = tuple(workload.uniform(i, 0, 1, sizes.points)
                 for i in range(len(equation.coordinates)))
  coordinates = len(equation.coordinates)
  return workload.init(coordinates, equation.fields, sizes), points
