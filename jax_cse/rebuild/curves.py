"""Derivatives of a function along a curve, simplified as a whole.

    derive(fun, [x, y], [[x1, x2], [y1]], 3)

gives those of `fun(x(t), y(t))` with respect to `t`, up to order 3, where
`x(t)` has the derivatives x1, x2, 0 and `y(t)` has y1, 0, 0 at 0. A derivative
that is the number 0 or 1 is known to be that, elementwise.

Each operand is an atom, and so is each of its derivatives but the last, since
equal values may move otherwise. What is known of one that moves is told to a
trace around, which sees the result.
"""

import functools
import math
from typing import Any

from jax_cse import compat
from jax_cse.numbering import scalars
from jax_cse.numbering.linear_maps import is_in_ring
from jax_cse.rebuild import eager_derivatives
from jax_cse.rebuild import nested_jvp
from jax_cse.rebuild import simplification
from jax_cse.rebuild.cse_trace import CseTrace
from jax_cse.rebuild.derivation import Derivation
from jax_cse.rebuild.eager_derivatives import is_known
from jax_cse.rebuild.user_rules import NoOneDerivative
from jax_cse.ring.coefficients import Coefficient, over


def derive(fun, operands, series, order: int, are_scaled: bool = False
           ) -> list[list[Any]]:
  """Derivatives of all orders of a function of and on flat lists.

  Args:
    fun: returns a list.
    operands: a flat list.
    series: for each operand its derivatives, up to the last that is not zero.
    order: the highest order.
    are_scaled: whether each derivative of order k, given or not, is divided by
      the factorial of k.

  Returns:
    A list for each order. A derivative that is zero is a `zero_tangent`.
  """
  how = order, are_scaled
  try:
    found = eager_derivatives.evaluate(_around, fun, operands, series, how)
    if found is None:
      found = _around(fun, operands, series, how)
  except NoOneDerivative:
    return _by_jax(fun, operands, series, *how)
  return [[levels[k] if k < len(levels) else compat.zero_tangent(levels[0])
           for levels in found] for k in range(order + 1)]


def _around(fun, operands, series, how) -> list[list]:
  """For each result its value, and its derivatives that are not zero."""
  if not any(is_known(y) for terms in series for y in terms[:-1]):
    return _by_value(fun, operands, series, *how)
  given = [y for terms in series for y in terms if not is_known(y)]
  lengths: list[int] = []

  def known(trace, *tracers):
    rest = iter(tracers[len(operands):])
    xs = tracers[:len(operands)]
    terms = [[trace.constant(y, x.aval) if is_known(y) else next(rest)
              for y in terms] for x, terms in zip(xs, series)]
    found = _by_value(fun, xs, terms, *how)
    lengths[:] = map(len, found)
    return [y for levels in found for y in levels]

  values = iter(simplification.transform(known, [*operands, *given], "ring"))
  return [[next(values) for _ in range(n)] for n in lengths]


def _by_value(fun, operands, series, order, are_scaled):
  with compat.take_current_trace() as parent:
    trace = CseTrace(parent, "ring", simplification.Inside().simplify)
    try:
      curves = [_entered(trace, x, terms, are_scaled)
                for x, terms in zip(operands, series)]
      derivation = trace.derivation = Derivation(trace, curves, order)
      with compat.set_current_trace(trace):
        outs = [trace.lift(y) for y in fun(*(levels[0] for levels in curves))]
      trace.use_forms(derivation.forms)
      found = [derivation.series(y, order) for y in outs]
      if are_scaled:
        found = [[_times(trace, y, over(1, math.factorial(k))) if k > 1 else y
                  for k, y in enumerate(levels)] for levels in found]
      values = iter(trace.results([y for levels in found for y in levels]))
    finally:
      trace.invalidate()
  return [[next(values) for _ in levels] for levels in found]


def _entered(trace, operand, terms, are_scaled) -> list:
  """Tracers for an operand and its derivatives."""
  x = trace.enter(operand)
  found = [x]
  for k, term in enumerate(terms, 1):
    if not is_known(term):
      y = (trace.enter if k < len(terms) else trace.lift)(term)
    elif is_in_ring(x.aval):
      y = trace.constant(term, x.aval)
    else:
      with compat.set_current_trace(trace.parent_trace):
        y = trace.lift(compat.full_like(operand, term))
    found.append(_times(trace, y, math.factorial(k))
                 if are_scaled and k > 1 else y)
  return found


def _times(trace, x, c: Coefficient):
  if is_in_ring(x.aval):
    element = trace.algebra.element(x.number, x.aval)
    return trace.tracer(trace.algebra.ring.scale(element, c), x.aval)
  with compat.set_current_trace(trace):
    return trace.lift(x * scalars.constant(c, x.aval.dtype))


def _by_jax(fun, operands, series, order, are_scaled):
  """The same by plain nested `jvp`."""
  def scaled(terms, factor):
    return [x if k < 2 or compat.is_float0(x) else
            x * scalars.rounded(factor(math.factorial(k)))
            for k, x in enumerate(terms)]

  curves = [[x, *(compat.full_like(x, y) if is_known(y) else y
                  for y in terms)] for x, terms in zip(operands, series)]
  if are_scaled:
    curves = [scaled(terms, int) for terms in curves]
  levels = nested_jvp.derivatives(fun, curves, order)
  if are_scaled:
    levels = [list(terms) for terms in zip(*(
        scaled(terms, functools.partial(over, 1)) for terms in zip(*levels)))]
  return levels
