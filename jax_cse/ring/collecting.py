"""Collecting: a sum as a polynomial in some of its factors.

    p*x + q*(x + 2*y) + 2*p*y     ==  (p + q)*x + 2*(p + q)*y
    p*x + q*(x - r*x)             ==  (p + q - q*r)*x

Factors that stand in few of the terms are variables, as `x` and `y` in the
first. The rest makes coefficients, which are elements of the ring. Equal ones
are one core, whatever they were made of, so a coefficient that many directions
share is found, however long it is. A normal form in all atoms would be as long
as all of them together.

Limits: variables stand in half of the terms at most, or in a quarter, an eighth
and so on, whichever leaves the fewest terms; or one is a factor of all terms.
There are never more terms than before.
"""

from collections import Counter
from collections.abc import Callable
import itertools
from typing import Any

from jax_cse.ring.cores import Element, One, bottom_up, factors
from jax_cse.ring.cores import terms as terms_of
from jax_cse.ring.polynomials import (
    Monomial, Terms, collected, product, times)
from jax_cse.ring.ring import Ring

# In variables, with elements of the ring for coefficients.
_Polynomial = dict[Monomial, Element]
_MAX_TERMS = 1024


class Collecting:
  """Collects the terms of sums."""

  def __init__(self, ring: Ring):
    self._ring = ring
    self._leaves: dict[int, frozenset[int]] = {}

  def collected(self, domain: Any, terms: Terms) -> Terms | None:
    """The same sum with like terms in the variables collected; None if that is
    longer."""
    counts = Counter(itertools.chain(*map(self.leaves, terms)))
    found, most, before = [], len(terms) // 2, None
    while most:
      variables = {n for n, count in counts.items() if count <= most}
      if variables and variables != before:
        found.append(self._in(variables, domain, terms))
      before, most = variables, most // 2
    return min(filter(None, found), key=len, default=None)

  def multiple(self, domain: Any, terms: Terms,
               is_factor: Callable[[int], bool]) -> Terms | None:
    """The same sum as a factor times the rest; None if there is none."""
    common = frozenset.intersection(*map(self.leaves, terms))
    for n in sorted(filter(is_factor, common)):
      multiple = self._in({n}, domain, terms)
      if multiple and len(multiple) == 1 and (n, 1) in multiple[0][1]:
        return multiple
    return None

  def leaves(self, term) -> frozenset[int]:
    """The variables that a term may be a polynomial in."""
    _, monomial = term
    for number, _ in monomial:
      for n in bottom_up(number, self._leaves, self._below):
        below = self._below(n)
        is_leaf = not below and type(self._ring.cores[n]) is not One
        self._leaves[n] = frozenset({n} if is_leaf else ()).union(
            *(self._leaves[m] for m in below))
    return frozenset().union(*(self._leaves[n] for n, _ in monomial))

  def _below(self, n):
    return self._ring.cores[n].children

  def _in(self, variables, domain, terms):
    has_variable = lambda n: not variables.isdisjoint(self._leaves[n])
    polynomial = _Polynomials(self._ring, domain, has_variable).of_sum(terms)
    return polynomial and [
        (c, times(factors(self._ring.cores, n), monomial))
        for monomial, (c, n) in polynomial.items()]


class _Polynomials:
  """Polynomials in variables; None where there are too many terms."""

  def __init__(self, ring: Ring, domain: Any,
               has_variable: Callable[[int], bool]):
    self._ring = ring
    self._domain = domain
    self._has_variable = has_variable
    self._max_terms = 0
    self._lengths: dict[int, int] = {}
    self._known: dict[int, _Polynomial | None] = {}

  def of_sum(self, terms: Terms) -> _Polynomial | None:
    """A sum, if it has no more terms than it is written with, and fewer terms
    or coefficients."""
    length = sum(self._length_of(monomial) for _, monomial in terms)
    self._max_terms = min(length, _MAX_TERMS)
    total = self._of_terms(terms)
    if total is None:
      return None
    coefficients = [n for _, n in total.values()
                    if type(self._ring.cores[n]) is not One]
    is_less = len(total) < length or (
        len(set(coefficients)) < len(coefficients))
    return total if is_less else None

  def _as_terms(self, n) -> Terms:
    return terms_of(self._ring.cores, n, lambda m: ((m, 1),))

  def _below(self, n):
    return self._ring.cores[n].children if self._has_variable(n) else []

  def _length_of(self, monomial) -> int:
    """How many terms there are in the sums that it is written with; a product
    of two is not expanded there."""
    for number, _ in monomial:
      for n in bottom_up(number, self._lengths, self._below):
        self._lengths[n] = 1 if not self._below(n) else sum(
            self._length_of(inner) for _, inner in self._as_terms(n))
    return sum(length for n, _ in monomial
               if (length := self._lengths[n]) > 1) or 1

  def _of_terms(self, terms) -> _Polynomial | None:
    found: list[tuple[Element, Monomial]] = []
    for c, monomial in terms:
      polynomial = self._of_monomial(monomial)
      if polynomial is None:
        return None
      found += [(self._ring.scale(x, c), m) for m, x in polynomial.items()]
    return self._if_short(collected(found, self._ring.add, _is_zero))

  def _of_monomial(self, monomial):
    polynomial = {(): self._ring.constant(1, self._domain)}
    for number, e in monomial:
      for n in bottom_up(number, self._known, self._below):
        self._known[n] = self._new(n)
      for _ in range(e):
        polynomial = self._product(polynomial, self._known[number])
    return polynomial

  def _new(self, n):
    if not self._has_variable(n):
      return {(): Element(1, n)}
    if not self._below(n):
      return {((n, 1),): self._ring.constant(1, self._domain)}
    return self._of_terms(self._as_terms(n))

  def _product(self, x, y):
    if x is None or y is None or len(x) * len(y) > self._max_terms:
      return None
    return self._if_short(
        product(x, y, self._ring.mul, self._ring.add, _is_zero))

  def _if_short(self, polynomial):
    return polynomial if len(polynomial) <= self._max_terms else None


def _is_zero(x: Element) -> bool:
  return not x.coefficient
