"""Whether a program reads of its first operand what another one has as well.

    reads_no_more(closed_jaxpr, a, b)

What is computed of the first operand and constants alone is evaluated for both,
and compared where it meets other operands, whose values are not known.

Limits: a call is followed, and a loop of at most 64 steps; a branch and a
`while` are not.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs

_MOST_STEPS = 64


class _Differs(Exception):
  """What other operands meet is not the same for both."""


class _Constant:
  """A value that no operand has part in, evaluated when it is asked for."""

  def __init__(self, evaluate: Callable[[], Any]):
    self._evaluate = evaluate

  @functools.cached_property
  def value(self) -> Any:
    return self._evaluate()

  @property
  def pair(self) -> tuple[Any, Any]:
    return self.value, self.value


class _Pair:
  """A value that the first operand has part in, for both."""

  def __init__(self, first: Any, second: Any):
    self.pair = first, second


_UNKNOWN = None


def reads_no_more(closed_jaxpr, first: Any, second: Any) -> bool:
  """Whether results are the same for two values of the first operand."""
  others = len(closed_jaxpr.jaxpr.invars) - 1
  try:
    with jax.ensure_compile_time_eval():   # a trace may be under way
      _check(_evaluated(closed_jaxpr, [_Pair(first, second)]
                        + [_UNKNOWN] * others))
  except _Differs:
    return False
  return True


def _evaluated(closed_jaxpr, values):
  constant = lambda x: _Constant(lambda: x)
  return jaxprs.interpret(closed_jaxpr, values, constant,
                          lambda literal: constant(literal.val), _equation)


def _check(values):
  for x in values:
    if type(x) is _Pair and not all(map(np.array_equal, *(
        [np.asarray(y)] for y in x.pair))):
      raise _Differs


def _equation(eqn, values):
  has_part = any(type(x) is _Pair for x in values)
  is_known = all(x is not _UNKNOWN for x in values) and not eqn.effects
  if not has_part:
    return _later(eqn, values) if is_known else [_UNKNOWN] * len(eqn.outvars)
  if eqn.primitive is compat.scan_p and eqn.params["length"] <= _MOST_STEPS:
    return _scan(values, **eqn.params)
  body = _body(eqn)
  if body is not None and not eqn.effects:
    return _evaluated(body, values)
  if not is_known:
    _check(values)
    return [_UNKNOWN] * len(eqn.outvars)
  firsts, seconds = (
      _bound(eqn, [x.pair[i] for x in values]) for i in range(2))
  return list(map(_Pair, firsts, seconds))


def _later(eqn, values):
  """The results of an equation on constants."""
  all_of = functools.cache(lambda: _bound(eqn, [x.value for x in values]))
  place = lambda i: _Constant(lambda: all_of()[i])
  return [place(i) for i in range(len(eqn.outvars))]


def _bound(eqn, values):
  params = eqn.primitive.get_bind_params(eqn.params)
  found = eqn.primitive.bind(*values, **params)
  return found if eqn.primitive.multiple_results else [found]


def _body(eqn):
  """The body of a call."""
  if eqn.primitive is compat.jit_p:
    return eqn.params["jaxpr"]
  return eqn.params["call_jaxpr"] if eqn.primitive in (
      compat.closed_call_p, compat.custom_jvp_call_p,
      compat.custom_vjp_call_p) else None


def _scan(values, *, jaxpr, length, reverse, **params):
  num_consts, num_carry = compat.constants_and_carries(params)
  consts, carry = values[:num_consts], values[num_consts:][:num_carry]
  xs = values[num_consts + num_carry:]
  steps = reversed(range(length)) if reverse else range(length)
  rows = {}
  for i in steps:
    found = _evaluated(jaxpr, [*consts, *carry, *(_row(x, i) for x in xs)])
    carry, rows[i] = found[:num_carry], found[num_carry:]
  return [*carry, *(_stacked([rows[i][k] for i in range(length)])
                    for k in range(len(jaxpr.out_avals) - num_carry))]


def _row(x, i):
  if x is _UNKNOWN:
    return x
  if type(x) is _Pair:
    return _Pair(*(y[i] for y in x.pair))
  return _Constant(lambda: x.value[i])


def _stacked(rows):
  if not rows or any(x is _UNKNOWN for x in rows):
    _check(rows)
    return _UNKNOWN
  return _Pair(*(np.stack([x.pair[i] for x in rows]) for i in range(2)))
