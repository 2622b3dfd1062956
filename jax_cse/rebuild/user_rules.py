"""Rules of derivation that the user wrote, looked at before they are used.

A value has one derivative where the rule for it says what the value is, as JAX
asks of it. A rule that gives another value makes a derivative of each order a
thing of its own, since the next level derives that other value:

    q(x) = x,  by a rule that gives 2*x        jvp(jvp(sin(q))) derives sin(2*x)

So what a rule gives is compared with what the function gives, by their numbers,
in calls and loops as well. A rule with effects is left to JAX.
"""

from typing import Any

import jax

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import custom_rules


class NotByValue(Exception):
  """A rule does what is derived by JAX's own rules, or not at all."""


class NoOneDerivative(Exception):
  """A rule gives for a value another than the function, which the next level
  derives by another rule."""


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
    """Raises what `derive` raises for the rules inside of a call or a loop."""
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
    """What a rule gives for the value has to be what the function gives."""
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
  """Whether another call is of the same function on the same numbers, though
  there is something inside that is like no other, as a `remat`."""
  numbers = lambda call: [x.number for x in call.operands]
  text = lambda call: str(call.params["call_jaxpr"])
  rule = lambda call: custom_rules.rule_of(call.params["jvp_jaxpr_fun"])
  return (call is not None is not other
          and call.primitive is other.primitive is compat.custom_jvp_call_p
          and numbers(other) == numbers(call) and rule(other) == rule(call)
          and text(other) == text(call))
