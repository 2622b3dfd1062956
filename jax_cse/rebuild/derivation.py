"""Derivatives along one curve, of numbers instead of programs.

The curve does not change, so the derivative of a value depends on the value
alone. A number has one derivative, which is computed once, however many
derivatives of however many values need it:

    D(x) = v,  D(v) = 0   along a straight line
    D(a + b) = D(a) + D(b)
    D(a * b) = D(a) * b + a * D(b)
    D(f(a, ...))   by JAX's own rule for f, whatever f is

Nested `jvp` has the same rules, and 2**N copies of N + 1 values.

There are rules for quotients (`ring_rules`) and for tanh (`of_tanh`) beside.

The derivative of a value that is no sum or product has a name, so sums and
products of it are those of one atom, however long it is. So the derivatives of
a product follow Leibniz' rule, sum(binomial(n, k) a_k b_(n-k)), and those of a
composition a recurrence on it, as in Taylor mode. A closed formula would have
as many terms as there are partitions.

A function with effects, or one that has to know its operands, is not derived
value by value. It goes through JAX's own rules, all orders at once, where it
stands (see `through`). A reference that the program makes is the value that it
holds at the time.
"""

import itertools
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp

from jax_cse import compat
from jax_cse.numbering.linear_maps import is_in_ring
from jax_cse.rebuild import nested_jvp
from jax_cse.rebuild.ring_rules import RingRules
from jax_cse.rebuild.user_rules import NotByValue, UserRules
from jax_cse.ring.coefficients import over
from jax_cse.ring.cores import (
    Element, Factor, Power, Product, Reciprocal, Sum, bottom_up)
from jax_cse.ring.normal_form import NormalForms

# Derivatives of exp(x) / (1 + exp(x)) are polynomials with coefficients up to
# 40,320 at order 8. Of 7 digits 2 were left where they were taken for a form.
_MAX_RATIO = 30


class Derivation:
  """Derivatives of the values of a `CseTrace`.

  Attributes:
    forms: normal forms in atoms and in cores with a name.
  """

  def __init__(self, trace, curves, order: int):
    """`curves`: of each operand a tracer, followed by those of its derivatives
    up to the last that is not zero; `order`: the highest that will be asked
    for."""
    self._trace = trace
    self._ring = trace.algebra.ring
    self.forms = NormalForms(self._ring, max_ratio=_MAX_RATIO)
    self._known: dict[int, Element | None] = {}
    for levels in curves:
      for x, derivative in itertools.pairwise(levels):
        c, core = trace.algebra.find(x.number)
        element = self._element_of(derivative)
        self._known[core] = None if element is None else self._ring.scale(
            element, over(1, c))
    self._ring_rules = RingRules(
        self._ring, self.forms, self._known, self._of_core)
    self._left = order   # how often the present result may be derived again
    self._in_rule = False
    self._rules = UserRules(trace)

  def _element_of(self, tracer) -> Element | None:
    return None if self._trace.is_zero(tracer) else (
        self._trace.algebra.element(tracer.number, tracer.aval))

  def series(self, tracer, order: int) -> list:
    """A tracer and its derivatives up to an order, up to the last that is not
    zero."""
    found, before = [tracer], self._left
    try:
      while len(found) <= order:
        self._left = order - len(found)
        derivative = self._of(found[-1])
        if derivative is None:
          break
        found.append(derivative)
    finally:
      self._left = before
    return found

  def _of(self, tracer):
    """The derivative of a tracer; None where it is zero."""
    c, core = self._trace.algebra.find(tracer.number)
    derivative = self._of_core(core)
    if derivative is None:
      return None
    found = self._trace.tracer(self._ring.scale(derivative, c), tracer.aval)
    found.where = tracer.where
    return found

  def through(self, fun, operands) -> list:
    """The results of a function that is evaluated at once, by the parent trace,
    under as many nested `jvp` as there are orders."""
    if self._in_rule:
      raise NotByValue
    return [self._trace.enter(y) if len(levels) == 1 else levels[0]
            for y, levels in self._evaluate(fun, operands, self._left)]

  def _evaluate(self, fun, operands, order) -> list[tuple[Any, list]]:
    """The value of each result, and tracers for it and its derivatives."""
    trace = self._trace
    series = [self.series(x, order) for x in operands]
    values = iter(trace.values([x for levels in series for x in levels]))
    with compat.set_current_trace(trace.parent_trace):
      results = nested_jvp.evaluate(
          fun, [[next(values) for _ in levels] for levels in series], order)
    found = []
    for levels in zip(*results):
      tracers = []
      for y in levels:
        if y is None or compat.is_float0(y):
          break
        tracers.append(trace.enter(y))
      for x, derivative in zip(tracers, [*tracers[1:], None]):
        self._known[x.number] = (
            None if derivative is None else self._element_of(derivative))
      found.append((levels[0], tracers))
    return found

  def _of_core(self, number) -> Element | None:
    """The derivative of a core; its operands are derived first."""
    known = self._known
    for n in bottom_up(number, known, self._below):
      if all(known[m] is None for m in self._below(n)):
        known[n] = None
      else:
        self._derive(n)
    return known[number]

  def _below(self, n) -> list[int]:
    core = self._ring.cores.get(n)
    if type(core) in (Sum, Product, Power):
      return self._ring_rules.leaves(n)
    if type(core) in (Reciprocal, Factor):
      return [core.parts[0].core]
    call = self._trace.call_of(n)
    return [] if call is None else [
        self._trace.algebra.find(x.number).core for x in call.operands]

  def _derive(self, n) -> None:
    core = self._ring.cores.get(n)
    if type(core) in (Sum, Product, Power):
      element = self._ring_rules.derive(n)
      self._known[n] = element if element.coefficient else None
    elif type(core) is Reciprocal:
      self._known[n] = self._ring_rules.of_reciprocal(n)
    elif type(core) is Factor:
      self._known[n] = self._ring.scale(
          self._known[core.parts[0].core], core.parts[0].coefficient)
    else:
      self._derive_call(self._trace.call_of(n))

  def _derive_call(self, call) -> None:
    """Derives an application of a primitive, by JAX's rule for it."""
    try:
      self._derive_by_value(call)
    except NotByValue:
      if self._in_rule:
        raise
      levels = self._evaluate(
          lambda *xs: compat.bind_later(call.primitive, xs, call.params,
                                        call.context, call.source),
          call.operands, self._left + 1)
      for n, (_, tracers) in zip(call.results, levels):
        if len(tracers) > 1:
          self._known[n] = self._element_of(tracers[1])
    for n in call.results:
      self._known.setdefault(n, None)

  def _derive_by_value(self, call) -> None:
    moving, tangents = [], []
    for i, x in enumerate(call.operands):
      c, core = self._trace.algebra.find(x.number)
      derivative = self._known[core]
      if derivative is not None and compat.is_inexact(x.aval.dtype):
        moving.append(i)
        tangents.append(self._trace.tracer(
            self._ring.scale(derivative, c), x.aval))

    def apply(*primals):
      operands = list(call.operands)
      for i, x in zip(moving, primals):
        operands[i] = x
      return compat.bind_later(call.primitive, operands, call.params,
                               call.context, call.source)

    if not moving:
      return
    if call.primitive is compat.custom_lin_p and not isinstance(
        self._trace.parent_trace,
        (compat.DynamicJaxprTrace, compat.LinearizeTrace)):
      compat.refuse_forward_mode()   # as JAX does there, in other words here
    if call.primitive in _RULES and compat.is_float(
        tangents[0]) and is_in_ring(tangents[0].aval):
      self._derive_by_our_rule(call, tangents[0])
      return
    primals = [call.operands[i] for i in moving]
    before, self._in_rule = self._in_rule, True
    try:
      with compat.set_current_trace(self._trace):
        if compat.has_rule_of_its_own(call.primitive):
          outs, derived = self._rules.derive(call, apply, primals, tangents)
        else:
          self._rules.look_inside(call)
          outs, derived = jax.jvp(apply, primals, tangents)
    finally:
      self._in_rule = before
    for n, out, d in zip(call.results, outs, derived):
      if n not in self._known and compat.is_inexact(compat.typeof(out).dtype):
        self._known[n] = self._element_of(self._trace.lift(d))
        self._name(n)

  def _derive_by_our_rule(self, call, tangent) -> None:
    n, = call.results
    x, = call.operands
    self._known[n] = _RULES[call.primitive](
        self, x, self._trace.algebra.element(n, x.aval),
        self._element_of(tangent))
    self._name(n)

  def _name(self, n) -> None:
    """Makes the derivative of `n` an atom to normal forms from now on."""
    element = self._known[n]
    if element is not None:
      self._ring_rules.group(element.core)
      self.forms.name(element.core)

  def of_tanh(self, x, y, dx) -> Element:
    """The derivative of `y`, the hyperbolic tangent of a tracer `x`.

    1 - y**2 has no accurate digit left where y is near -1 or 1, and a gelu
    multiplies it by powers of x there. 4*p * (1 - p), where p is the logistic
    function of -2 * abs(x), has them all.
    """
    ring, trace = self._ring, self._trace
    with compat.set_current_trace(trace):
      p = trace.lift(lax.logistic(-2 * jnp.abs(x)))
    p = trace.algebra.element(p.number, p.aval)
    rest = ring.sub(ring.constant(1, x.aval.dtype), p)
    slope = ring.factor(ring.scale(ring.mul(p, rest), 4))
    derivative = ring.mul(slope, dx)
    if slope.core not in self._known:
      self._known[slope.core] = ring.scale(
          ring.mul(y, derivative), over(-2, slope.coefficient))
      self.forms.name(slope.core)
    return derivative


# Rules of our own, where those of JAX lose digits that Taylor mode keeps.
_RULES = {compat.tanh_p: Derivation.of_tanh}
