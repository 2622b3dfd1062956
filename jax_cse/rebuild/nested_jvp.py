"""Nested `jvp` of one evaluation: derivatives by JAX's own rules.

Along a curve x(t) the derivatives of f(x(t)) follow from those of x. Each level
of `jvp` makes one more of them:

    F0(x)            =  f(x)
    F1(x, dx)        =  jvp(F0, (x,), (dx,))
    F2(x, dx, ddx)   =  jvp(F1, (x, dx), (dx, ddx))

`f` is called once, under as many `jvp` as there are orders, so its effects are
those of one call. A value that does not move is closed over: JAX knows that its
tangent is zero, as it does where `f` is differentiated as a whole.

Limits: the operands of F grow as the order, and the work in it as 2**order.
"""

import jax
import jax.numpy as jnp

from jax_cse import compat


def evaluate(fun, series, order: int) -> list[list]:
  """The results of a function and their derivatives up to an order, by nested
  `jvp` of one evaluation.

  Args:
    fun: returns a list.
    series: of each operand the value and the derivatives that are not zero.
    order: the highest order.

  Returns:
    A list for each order; a derivative of None is zero.
  """
  if not order:
    return [fun(*(levels[0] for levels in series))]
  moving = [(i, k) for i, levels in enumerate(series)
            for k in range(min(len(levels) - 1, order))]

  def below(*primals):
    inner = [levels[:order] for levels in series]
    for (i, k), x in zip(moving, primals):
      inner[i][k] = x
    return evaluate(fun, inner, order - 1)

  if not moving:
    results = below()
    return [*results, [None] * len(results[0])]
  # None is a part of the structure, and stays None.
  results, derived = jax.jvp(
      below, [series[i][k] for i, k in moving],
      [series[i][k + 1] for i, k in moving])
  return [*results, derived[-1]]


def derivatives(fun, series, order: int) -> list[list]:
  """The results of a function and their derivatives along a curve.

  Each order is an evaluation of its own, so results are those of nested `jvp`
  even where a rule gives another value than the function.

  Args:
    fun: returns a list.
    series: of each operand the value and the derivatives that are not zero.
    order: the highest order.

  Returns:
    A list for each order.
  """
  flat = lambda *xs: list(map(jnp.asarray, fun(*xs)))
  values, *levels = [evaluate(flat, series, k)[-1] for k in range(order + 1)]
  return [values, *([compat.zero_tangent(y) if x is None else x
                     for x, y in zip(level, values)] for level in levels)]
