"""Derivatives of sums, products and quotients, from those of their parts.

A sum or a product is derived along a tree. A product with a reciprocal has the
recurrence of division:

    D(a / b) = (D(a) - a/b * D(b)) / b

It has one sum of products where the product rule has two, and loses less where
the dividend and the divisor grow alike, as those of a softmax do. The product
rule serves the terms of the derivatives of a reciprocal itself: by it they
follow from the ones before, in one sequence.

Source: Griewank and Walther 2008, chapter 13, for the recurrences.
"""

from collections.abc import Callable
import math
from typing import Any

from jax_cse.ring import factoring
from jax_cse.ring.cores import Element, Power, Product, Reciprocal, Sum
from jax_cse.ring.factoring import Plus, Times, Tree
from jax_cse.ring.normal_form import Base, NormalForms, Polynomial
from jax_cse.ring.ring import Ring

_MAX_PRODUCTS = 8


class RingRules:
  """Derives cores of a ring, given the derivatives of their leaves."""

  def __init__(self, ring: Ring, forms: NormalForms,
               known: dict[int, Element | None],
               of_core: Callable[[int], Element | None]):
    """`forms`: normal forms in atoms and in cores with a name; `known`: the
    derivatives of cores, None for zero; `of_core`: makes them known."""
    self._ring = ring
    self._forms = forms
    self._known = known
    self._of_core = of_core
    self._trees: dict[int, Tree] = {}
    # Reciprocals with derivatives of their own, and those.
    self._derived: set[int] = set()
    self._of_reciprocals: set[int] = set()

  def leaves(self, n) -> list[int]:
    """The cores of which the derivatives are needed for that of `n`."""
    return factoring.leaves(self._tree(n))

  def derive(self, n) -> Element:
    """The derivative of a sum or a product, once those of its leaves are."""
    is_of_reciprocal = n in self._of_reciprocals
    element = self._of_tree(self._tree(n), self._ring.cores[n].domain,
                            not is_of_reciprocal)
    if is_of_reciprocal:
      self._of_reciprocals.add(element.core)
    return element

  def of_reciprocal(self, n) -> Element:
    """The derivative of a reciprocal."""
    zero = self._ring.constant(0, self._ring.cores[n].domain)
    element = self._of_quotient(Element(1, n), zero, n)
    self._of_reciprocals.add(element.core)
    return element

  def group(self, n) -> None:
    """Has a product derived with factors in one variable put together, if that
    takes fewer products."""
    core = self._ring.cores[n]
    if type(core) is Product and n not in self._known:
      grouped = self._grouped(core, n)
      if grouped is not None and self._products(grouped) < self._products(
          self._tree(n)):
        self._trees[n] = grouped

  def _tree(self, n) -> Tree:
    """The tree by which a sum or a product is derived."""
    tree = self._trees.get(n)
    if tree is None:
      tree = self._trees[n] = self._new_tree(self._ring.cores[n])
    return tree

  def _new_tree(self, core) -> Tree:
    if type(core) in (Product, Power):
      return self._with_one_reciprocal(core.factors)
    return Plus(tuple((c, factoring.leaf(self._ring, m))
                      for m, c in core.terms.items()))

  def _with_one_reciprocal(self, factors) -> Times:
    """A product with a reciprocal as one factor, and in no other: u*(u*y) is
    u**2 * y. Then the derivatives of u follow from one another."""
    cores, powers = self._ring.cores, dict(factors)
    for n, e in factors:
      core = cores[n]
      if type(core) is Product and e == 1 and n not in self._known and any(
          type(cores[m]) is Reciprocal and m in powers
          for m, _ in core.factors):
        del powers[n]
        for m, k in core.factors:
          powers[m] = powers.get(m, 0) + k
    return Times(tuple(powers.items()))

  def _grouped(self, core, n) -> Tree | None:
    """The normal form of a product, factors in one variable put together:
    y*(1 - y) is y - y**2, of which the square has half as many products."""
    form = self._forms.of(n)
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
      core: Any = cores.get(n)
      if type(core) in (Sum, Product, Power):
        count += (0 if type(core) is Sum else
                  .5 if type(core) is Power else 1)
        todo += core.terms if type(core) is Sum else [
            m for m, _ in core.factors]
    return count

  def _of_tree(self, tree, domain, is_term) -> Element:
    """`is_term`: whether it is a term of another derivative."""
    ring = self._ring
    zero = ring.constant(0, domain)
    if type(tree) is int:
      return self._known[tree] or zero
    if type(tree) is Plus:
      total = zero
      for c, t in tree.terms:
        total = ring.add(total, ring.scale(self._of_tree(t, domain, True), c))
      return total
    for i, (t, e) in enumerate(tree.factors):
      if type(t) is int and type(ring.cores[t]) is Reciprocal:
        if e > 1:
          self._derived.add(t)
        elif is_term and t in self._derived:
          break
        rest = Times((*tree.factors[:i], *([(t, e - 1)] if e > 1 else ()),
                      *tree.factors[i + 1:]))
        return self._of_quotient(factoring.element(ring, tree, domain),
                                 self._of_tree(rest, domain, True), t)
    return self._of_product(tree, domain)

  def _of_product(self, tree, domain) -> Element:
    ring = self._ring
    total, before = ring.constant(0, domain), ring.constant(1, domain)
    for t, e in tree.factors:
      base = factoring.element(ring, t, domain)
      derived = self._of_tree(t, domain, True)
      power, of_power = self._of_power(base, derived, e)
      total = ring.add(ring.mul(total, power), ring.mul(before, of_power))
      before = ring.mul(before, power)
    return total

  def _of_quotient(self, quotient, of_dividend, reciprocal) -> Element:
    ring = self._ring
    divisor = ring.cores[reciprocal].parts[0].core
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
