"""Rules of derivation that the user wrote, looked at before they are used.

JAX asks that a rule gives the value of the function, beside its tangent. Then a
value has one derivative. A rule that gives another value makes each order a
derivative of its own, since the next level derives that other value:

    q(x) = x,  by a rule that gives 2*x        jvp(jvp(sin(q))) derives sin(2*x)

So the value of a rule is compared with that of the function, by number, in
calls and loops as well. A rule with effects is left to JAX.
"""

from typing import Any

import jax

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import custom_rules


class NotByValue(Exception):
  """A rule that can be derived by JAX's own rules only, or not at all."""


class NoOneDerivative(Exception):
  """A rule gives another value than the function, so the next level derives
  that."""


class UserRules:
  """The rules of the functions that a `CseTrace` meets."""

  def __init__(self, trace):
    self._trace = trace
    # Equations with rules that give the value; held, so that ids stay theirs.
    self._known: dict[int, Any] = {}

  def derive(self, call, apply, primals, tangents) -> tuple[list, list]:
    """The results of a call and their tangents, by its rule.

    Raises:
      NotByValue: the rule has effects, or has to know values.
      NoOneDerivative: it gives another value.
    """
    try:
      jaxpr = jax.make_jaxpr(lambda *xs: jax.jvp(apply, *xs))(primals, tangents)
    except compat.WANTS_VALUES:
      raise NotByValue from None
    if not compat.benign(jaxpr.effects):
      raise NotByValue
    results = self._trace.inline(jaxpr, [*primals, *tangents])
    self._require_value(call.results, results)
    return results[:len(call.results)], results[len(call.results):]

  def look_inside(self, call) -> None:
    """Raises like `derive`, for the rules inside of a call or a loop."""
    if call.primitive not in compat.STRUCTURED:
      return
    for eqn in jaxprs.inner_equations(call.params):
      if eqn.primitive is compat.custom_jvp_call_p:
        self._look_at(eqn)

  def _look_at(self, eqn):
    key = id(eqn.params["call_jaxpr"])
    if key in self._known:
      return
    jaxpr = compat.jvp_of_equation(eqn)
    if not compat.benign(jaxpr.effects):
      raise NotByValue
    results = self._trace.inline(
        jaxpr, [self._trace.unknown(aval) for aval in jaxpr.in_avals])
    half = len(results) // 2
    self._require_value([y.number for y in results[:half]], results[half:])
    self._known[key] = eqn

  def _require_value(self, numbers, results):
    """Raises unless the value that a rule gives is that of the function."""
    trace = self._trace
    if all(y.number == n or _is_again(
        trace.call_of(n), trace.call_of(y.number))
           for n, y in zip(numbers, results)):
      return
    if trace.has_acted:
      raise NotImplementedError(
          "derivatives: the rule of a custom_jvp function gives for its value "
          "another than the function. Then each order is an evaluation of its "
          "own, and this function has effects, which happened already")
    raise NoOneDerivative


def _is_again(call: Any, other: Any) -> bool:
  """Whether two calls are of one function on the same numbers, though their
  numbers differ for something inside that is never merged, as a `remat`."""
  numbers = lambda call: [x.number for x in call.operands]
  text = lambda call: str(call.params["call_jaxpr"])
  rule = lambda call: custom_rules.rule_of(call.params["jvp_jaxpr_fun"])
  return (call is not None is not other
          and call.primitive is other.primitive is compat.custom_jvp_call_p
          and numbers(other) == numbers(call) and rule(other) == rule(call)
          and text(other) == text(call))
