"""Truth: what a jaxpr computes, to forty digits.

    exactly(jax.make_jaxpr(f)(x), x)      # arrays of mpmath numbers

Each equation is evaluated with mpmath on the exact values of the operands, so
the result has no rounding of the dtype in it. That the evaluator is right is
tested against JAX, with 64 bits.
"""

from collections.abc import Callable
import operator
from typing import Any

import mpmath
import numpy as np
from jax.extend import core

DIGITS = 40


def exactly(closed_jaxpr, *operands) -> list[np.ndarray]:
  """The results of a jaxpr as arrays of objects.

  Raises:
    NotImplementedError: there is no rule for a primitive in it.
  """
  with mpmath.workdps(DIGITS):
    return _evaluate(closed_jaxpr.jaxpr, closed_jaxpr.consts,
                     [_exact(x) for x in operands])


def _exact(x) -> np.ndarray:
  x = np.asarray(x)
  if x.dtype == bool or np.issubdtype(x.dtype, np.integer):
    return x.astype(object)
  return _map(lambda v: mpmath.mpf(float(v)), x)


def _map(f: Callable, *xs) -> np.ndarray:
  return np.asarray(np.frompyfunc(f, len(xs), 1)(*xs), dtype=object)


def _evaluate(jaxpr, consts, operands):
  env: dict[Any, np.ndarray] = dict(zip(jaxpr.constvars, map(_exact, consts)))
  env.update(zip(jaxpr.invars, operands))

  def read(atom):
    return _exact(atom.val) if isinstance(atom, core.Literal) else env[atom]

  for eqn in jaxpr.eqns:
    name, params = eqn.primitive.name, eqn.params
    xs = [read(a) for a in eqn.invars]
    if "jaxpr" in params or "call_jaxpr" in params:
      inner = params.get("jaxpr") or params["call_jaxpr"]
      function = inner.jaxpr.debug_info.func_name
      outs = ([_map(_FUNCTIONS[function], *xs)] if function in _FUNCTIONS else
              _evaluate(inner.jaxpr, inner.consts, xs))
    elif name in _ELEMENTWISE:
      outs = [_map(_ELEMENTWISE[name], *xs)]
    elif name in _RULES:
      outs = [np.asarray(_RULES[name](*xs, **params), dtype=object)]
    else:
      raise NotImplementedError(name)
    env.update(zip(eqn.outvars, outs))
  return [read(a) for a in jaxpr.outvars]


# Functions that JAX computes by splitting numbers into bits, by their names.
_FUNCTIONS: dict[str, Callable] = {"exp_neg_sq": lambda x: mpmath.exp(-x * x)}

_ELEMENTWISE: dict[str, Callable] = {
    "add": operator.add, "add_any": operator.add, "sub": operator.sub,
    "mul": operator.mul, "div": operator.truediv, "neg": operator.neg,
    "max": max, "min": min, "abs": abs, "stop_gradient": lambda x: x,
    "square": lambda x: x * x, "one_minus_square": lambda x: 1 - x * x,
    "sqrt": mpmath.sqrt,
    "rsqrt": lambda x: 1 / mpmath.sqrt(x),
    "exp": mpmath.exp, "log": mpmath.log, "log1p": mpmath.log1p,
    "expm1": mpmath.expm1, "sin": mpmath.sin, "cos": mpmath.cos,
    "tanh": mpmath.tanh, "erf": mpmath.erf, "exp2": lambda x: 2**x,
    "logistic": lambda x: 1 / (1 + mpmath.exp(-x)),
    "gt": operator.gt, "lt": operator.lt, "ge": operator.ge,
    "le": operator.le, "eq": operator.eq, "ne": operator.ne,
    "is_finite": mpmath.isfinite, "copy": lambda x: x,
    "lgamma": mpmath.loggamma, "sign": mpmath.sign,
    "select_n": lambda p, *cases: cases[int(p)], "pow": operator.pow,
}


def _dot_general(x, y, *, dimension_numbers, **_):
  (cx, cy), (bx, by) = dimension_numbers
  assert not bx and not by
  return np.tensordot(x, y, (cx, cy))


def _broadcast(x, *, shape, broadcast_dimensions, **_):
  expanded = [1] * len(shape)
  for i, axis in enumerate(broadcast_dimensions):
    expanded[axis] = x.shape[i]
  return np.broadcast_to(x.reshape(expanded), shape)


def _reduce(operation):
  def reduce(x, *, axes, **_):
    for axis in sorted(axes, reverse=True):
      x = operation.reduce(x, axis=axis)
    return x
  return reduce


_RULES: dict[str, Callable] = {
    "integer_pow": lambda x, y: x ** y,
    "convert_element_type": lambda x, **_: x,
    "dot_general": _dot_general,
    "broadcast_in_dim": _broadcast,
    "reduce_sum": _reduce(np.add),
    "reduce_max": _reduce(np.maximum),
    "transpose": lambda x, permutation: np.transpose(x, permutation),
    "reshape": lambda x, new_sizes, **_: x.reshape(new_sizes),
    "squeeze": lambda x, dimensions: np.squeeze(x, tuple(dimensions)),
}
