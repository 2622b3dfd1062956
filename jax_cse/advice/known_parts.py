"""Whether a program reads of its first operand what another one has as well.

    reads_no_more(closed_jaxpr, a, b)

What is computed of the first operand and constants alone is evaluated for both,
and compared where it meets other operands, whose values are not known.

Both values are made up. So nothing but operations of JAX's own runs, and of
those none that calls back, has effects or draws. What such an equation gives is
as little known as other operands. All that is evaluated is counted, and ends at
some seconds of work.

Limits: a call is followed, and a `scan` of at most 64 steps; a `while` is not.
"""

from collections.abc import Callable
import functools
from typing import Any

import jax
import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.findings import findings
from jax_cse.primitives import exclusions

_MOST_STEPS = 64
_LOOPS = compat.scan_p, compat.while_p
# Flops of all that is evaluated, and how many take as long as it takes to look
# at an equation, to bind it, and to write a number.
_MOST_WORK = 2 * 10**9
_LOOK, _BIND, _NUMBER = 5_000, 50_000, 32


class _Differs(Exception):
  """What other operands meet is not the same for both."""


class _TooMuch(Exception):
  """It would take too long to find out."""


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
      _check(_Evaluation().results(
          closed_jaxpr, [_Pair(first, second)] + [_UNKNOWN] * others))
  except (_Differs, _TooMuch):
    return False
  return True


def _check(values):
  for x in values:
    if type(x) is _Pair and not all(map(np.array_equal, *(
        [np.asarray(y)] for y in x.pair))):
      raise _Differs


class _Evaluation:
  """Of a program, as far as it is known, while there is work left."""

  def __init__(self) -> None:
    self._left = _MOST_WORK

  def results(self, jaxpr, values):
    constant = lambda x: _Constant(lambda: x)
    return jaxprs.interpret(jaxpr, values, constant,
                            lambda literal: constant(literal.val),
                            self._equation)

  def _equation(self, eqn, values):
    self._spend(_LOOK)
    has_part = any(type(x) is _Pair for x in values)
    is_known = all(x is not _UNKNOWN for x in values)
    if has_part or is_known:
      if (body := _body(eqn)) is not None:
        return self.results(body, values)
      if eqn.primitive is compat.scan_p and (
          eqn.params["length"] <= _MOST_STEPS):
        return self._scan(values, **eqn.params)
      if eqn.primitive is compat.device_put_p:
        return values
    if not (is_known and _is_own(eqn)):
      _check(values)
      return [_UNKNOWN] * len(eqn.outvars)
    if not has_part:
      return self._later(eqn, values)
    firsts, seconds = (
        self._bound(eqn, [x.pair[i] for x in values]) for i in range(2))
    return list(map(_Pair, firsts, seconds))

  def _later(self, eqn, values):
    """The results of an equation on constants."""
    all_of = functools.cache(
        lambda: self._bound(eqn, [x.value for x in values]))
    place = lambda i: _Constant(lambda: all_of()[i])
    return [place(i) for i in range(len(eqn.outvars))]

  def _bound(self, eqn, values):
    self._spend(_BIND + findings.work(eqn) + _NUMBER * sum(
        v.aval.size for v in eqn.outvars))
    params = eqn.primitive.get_bind_params(eqn.params)
    found = eqn.primitive.bind(*values, **params)
    return found if eqn.primitive.multiple_results else [found]

  def _spend(self, work: int) -> None:
    self._left -= work
    if self._left < 0:
      raise _TooMuch

  def _scan(self, values, *, jaxpr, length, reverse, **params):
    num_consts, num_carry = compat.constants_and_carries(params)
    consts, carry = values[:num_consts], values[num_consts:][:num_carry]
    xs = values[num_consts + num_carry:]
    steps = reversed(range(length)) if reverse else range(length)
    rows = {}
    for i in steps:
      found = self.results(jaxpr, [*consts, *carry, *(_row(x, i) for x in xs)])
      carry, rows[i] = found[:num_carry], found[num_carry:]
    return [*carry, *(_stacked([rows[i][k] for i in range(length)])
                      for k in range(len(jaxpr.out_avals) - num_carry))]


def _is_own(eqn) -> bool:
  """Whether an equation, with all inside of it, does nothing but compute, in
  operations of JAX's own and in no loop."""
  return not eqn.effects and all(
      e.primitive in compat.OF_LAX and e.primitive not in _LOOPS
      and exclusions.reason_against(e.primitive) is None
      for e in (eqn, *jaxprs.inner_equations(eqn.params)))


def _body(eqn):
  """The body of a call."""
  if eqn.primitive is compat.jit_p:
    return eqn.params["jaxpr"]
  return eqn.params["call_jaxpr"] if eqn.primitive in (
      compat.closed_call_p, compat.custom_jvp_call_p,
      compat.custom_vjp_call_p) else None


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
  if all(type(x) is _Constant for x in rows):
    return _Constant(lambda: np.stack([x.value for x in rows]))
  return _Pair(*(np.stack([x.pair[i] for x in rows]) for i in range(2)))
