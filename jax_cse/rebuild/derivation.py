"""Derivatives along one direction, of numbers instead of programs.

The direction does not change, so the derivative of a value depends on the value
alone. A number has one derivative, which is computed once, however many
derivatives of however many values need it:

    D(x) = v,  D(v) = 0
    D(a + b) = D(a) + D(b)
    D(a * b) = D(a) * b + a * D(b)
    D(a / b) = (D(a) - a/b * D(b)) / b
    D(f(a, ...))   by JAX's own rule for f, whatever f is

Nested `jvp` has the same rules, and 2**N copies of N + 1 values.

Beside that of quotients there is a rule for tanh: see `Derivation.of_tanh`.

The derivative of a value that is no sum or product has a name, so sums and
products of it are those of one atom, however long it is. So the derivatives of
a product follow Leibniz' rule, sum(binomial(n, k) a_k b_(n-k)), and those of a
composition a recurrence on it, as in Taylor mode. A closed formula would have
as many terms as there are partitions.

A function with effects, or one that has to know its operands, is not derived
value by value. It goes through JAX's own rules, all orders at once, where it
stands (see `through`). A reference that the program makes is the value that it
holds at the time.

Source: Griewank and Walther 2008, chapter 13, for the recurrences.
"""

import math
from typing import Any

import jax
import jax.numpy as jnp

from jax_cse import compat
from jax_cse.numbering.linear_maps import is_in_ring
from jax_cse.rebuild import nested_jvp
from jax_cse.rebuild.user_rules import NotByValue, UserRules
from jax_cse.ring import factoring
from jax_cse.ring.coefficients import over
from jax_cse.ring.cores import (
    Element, Factor, Power, Product, Reciprocal, Sum, bottom_up)
from jax_cse.ring.factoring import Plus, Times, Tree
from jax_cse.ring.normal_form import Base, NormalForms, Polynomial

_MAX_PRODUCTS = 8


class Derivation:
  """Derivatives of the values of a `CseTrace`.

  Attributes:
    forms: normal forms in atoms and in cores with a name.
  """

  def __init__(self, trace, operands, directions, order: int):
    """`directions`: the derivative of each operand, a tracer as they are;
    `order`: the highest that will be asked for."""
    self._trace = trace
    self._ring = trace.algebra.ring
    self.forms = NormalForms(self._ring)
    self._known: dict[int, Element | None] = {
        x.number: self._element_of(v) for x, v in zip(operands, directions)}
    self._trees: dict[int, Tree] = {}
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
      return factoring.leaves(self._tree(n))
    if type(core) in (Reciprocal, Factor):
      return [core.parts[0].core]
    call = self._trace.call_of(n)
    return [] if call is None else [
        self._trace.algebra.find(x.number).core for x in call.operands]

  def _tree(self, n) -> Tree:
    """The tree by which a sum or a product is derived."""
    tree = self._trees.get(n)
    if tree is None:
      tree = self._trees[n] = self._new_tree(self._ring.cores[n])
    return tree

  def _new_tree(self, core) -> Tree:
    if type(core) in (Product, Power):
      return Times(core.factors)
    return Plus(tuple((c, factoring.leaf(self._ring, m))
                      for m, c in core.terms.items()))

  def _grouped(self, core, n) -> Tree | None:
    """The normal form of a product, factors in one variable put together:
    y*(1 - y) is y - y**2, of which the square has half as many products."""
    form = self.forms.of(n)
    if n in form.factors or form.coefficient != 1:
      return None
    ring = self._ring
    groups: dict[Base, Element] = {}
    for base, e in form.factors.items():
      if isinstance(base, Polynomial):
        variables = {m for _, monomial in base for m, _ in monomial}
        key = variables.pop() if len(variables) == 1 else base
        tree: Tree = Plus(tuple((c, factoring.product(m)) for c, m in base))
      else:
        key, tree = base, base
      element = ring.power(factoring.element(ring, tree, core.domain), e)
      groups[key] = (ring.mul(groups[key], element) if key in groups
                     else element)
    c = math.prod(x.coefficient for x in groups.values())
    return None if c != 1 else factoring.product(
        (x.core, 1) for x in groups.values())

  def _products(self, tree) -> float:
    """How many products under a tree are to be derived, half for squares."""
    cores, known, seen, count = self._ring.cores, self._known, set(), 0.0
    if type(tree) is Times:
      count += len(tree.factors) - 1
    todo = factoring.leaves(tree)
    while todo and count < _MAX_PRODUCTS:
      n = todo.pop()
      if n in seen or n in known:
        continue
      seen.add(n)
      core = cores.get(n)
      if type(core) in (Sum, Product, Power):
        count += (0 if type(core) is Sum else
                  .5 if type(core) is Power else 1)
        todo += core.terms if type(core) is Sum else [
            m for m, _ in core.factors]
    return count

  def _derive(self, n) -> None:
    core = self._ring.cores.get(n)
    if type(core) in (Sum, Product, Power):
      element = self._of_tree(self._tree(n), core.domain)
      self._known[n] = element if element.coefficient else None
    elif type(core) is Reciprocal:
      self._known[n] = self._of_quotient(
          Element(1, n), self._ring.constant(0, core.domain), n)
    elif type(core) is Factor:
      self._known[n] = self._ring.scale(
          self._known[core.parts[0].core], core.parts[0].coefficient)
    else:
      self._derive_call(self._trace.call_of(n))

  def _of_tree(self, tree, domain) -> Element:
    ring = self._ring
    zero = ring.constant(0, domain)
    if type(tree) is int:
      return self._known[tree] or zero
    if type(tree) is Plus:
      total = zero
      for c, t in tree.terms:
        total = ring.add(total, ring.scale(self._of_tree(t, domain), c))
      return total
    for i, (t, e) in enumerate(tree.factors):
      if type(t) is int and type(ring.cores[t]) is Reciprocal:
        rest = Times((*tree.factors[:i], *([(t, e - 1)] if e > 1 else ()),
                      *tree.factors[i + 1:]))
        return self._of_quotient(factoring.element(ring, tree, domain),
                                 self._of_tree(rest, domain), t)
    total, before = zero, ring.constant(1, domain)
    for t, e in tree.factors:
      base = factoring.element(ring, t, domain)
      derived = self._of_tree(t, domain)
      power, of_power = self._of_power(base, derived, e)
      total = ring.add(ring.mul(total, power), ring.mul(before, of_power))
      before = ring.mul(before, power)
    return total

  def _of_quotient(self, quotient, of_dividend, reciprocal) -> Element:
    """Of a product with a reciprocal: the recurrence of division, which has one
    sum of products where the product rule has two, and loses less where the
    dividend and the divisor grow alike, as those of a softmax do."""
    ring = self._ring
    divisor = self._ring.cores[reciprocal].parts[0].core
    of_divisor = self._known[divisor]
    if of_divisor is not None:
      of_dividend = ring.sub(of_dividend, ring.mul(quotient, of_divisor))
    return ring.mul(of_dividend, Element(1, reciprocal))

  def _of_power(self, base, derived, e):
    """A power and its derivative.

    One to a high exponent is derived as a product of two of about half, unless
    its base is linear: then only lower powers turn up, and they are few.
    """
    ring = self._ring
    power = ring.power(base, e)
    if e == 1 or not derived.coefficient:
      return power, derived
    if e == 2 or self._of_core(derived.core) is None:
      lower = ring.power(base, e - 1)
      return power, ring.scale(ring.mul(lower, derived), e)
    low, of_low = self._of_power(base, derived, e // 2)
    if e % 2 == 0:
      return power, ring.scale(ring.mul(low, of_low), 2)
    high, of_high = self._of_power(base, derived, e - e // 2)
    return power, ring.add(ring.mul(of_low, high), ring.mul(low, of_high))

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
      core = self._ring.cores[element.core]
      if type(core) is Product and element.core not in self._known:
        grouped = self._grouped(core, element.core)
        if grouped is not None and self._products(grouped) < self._products(
            self._tree(element.core)):
          self._trees[element.core] = grouped
      self.forms.name(element.core)

  def of_tanh(self, x, y, dx) -> Element:
    """The derivative of `y`, the hyperbolic tangent of a tracer `x`.

    1 - y**2 has no accurate digit left where y is near -1 or 1, and a gelu
    multiplies it by powers of x there. 4*e / (1 + e)**2, where e is
    exp(-2 * abs(x)), has them all.
    """
    ring, trace = self._ring, self._trace
    with compat.set_current_trace(trace):
      e = trace.lift(jnp.exp(-2 * jnp.abs(x)))
    e = trace.algebra.element(e.number, e.aval)
    q = ring.reciprocal(ring.add(e, ring.constant(1, x.aval.dtype)))
    slope = ring.factor(ring.scale(ring.mul(e, ring.mul(q, q)), 4))
    derivative = ring.mul(slope, dx)
    if slope.core not in self._known:
      self._known[slope.core] = ring.scale(
          ring.mul(y, derivative), over(-2, slope.coefficient))
      self.forms.name(slope.core)
    return derivative


# Rules of our own, where those of JAX lose digits that Taylor mode keeps.
_RULES = {compat.tanh_p: Derivation.of_tanh}
