"""The normal form of an element: a product of atoms and of polynomials in them.

    t**3 + 2*t*t + t           ==  t * (1 + t)**2
    (g + g*y) * (1 - y)        ==  g * (1 - y**2)

Short polynomials are expanded, and factors common to all terms are taken out.
So like terms meet while a factor stays a factor: 1 - y**2 is accurate where y
is near 1, and its expanded products are not. Two polynomials are multiplied out
where that makes them no longer.

Limits: a polynomial of more than `MAX_TERMS` terms, or of more than the caller
allows, stays a product or a sum of its parts, by name.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from jax_cse.ring.coefficients import Coefficient, content, over
from jax_cse.ring.cores import (
    Atom, Factor, One, Power, Product, Sum, bottom_up)
from jax_cse.ring.polynomials import Monomial, collected, product
from jax_cse.ring.ring import Ring

MAX_TERMS = 24
_MAX_MERGED = 4
_MAX_DEGREE = 64


class Polynomial(tuple[tuple[Coefficient, Monomial], ...]):
  """Terms in the order of their monomials; no common factor.

  The coefficients are integers without a common divisor, the first of them
  positive.
  """
  __slots__ = ()


Base = int | Polynomial


class Form(NamedTuple):
  """A coefficient times powers of atoms and of polynomials."""
  coefficient: Coefficient
  factors: Mapping[Base, int]


_Terms = dict[Monomial, Coefficient]


class NormalForms:
  """The normal forms of the cores of a ring, each computed once."""

  def __init__(self, ring: Ring, max_terms: int = MAX_TERMS,
               max_ratio: int | None = None):
    """`max_ratio`: see `keeps_digits`; None for no limit."""
    self._ring = ring
    self._max_terms = max_terms
    self._max_ratio = max_ratio
    self._forms: dict[int, Form] = {}

  def name(self, number: int) -> None:
    """Makes a core an atom, in which other cores are polynomials."""
    self._forms[number] = Form(1, {number: 1})

  def of(self, number: int) -> Form:
    for n in bottom_up(number, self._forms, self._below):
      form = self._compute(self._ring.cores[n])
      self._forms[n] = Form(1, {n: 1}) if form is None else form
    return self._forms[number]

  def keeps_digits(self, form: Form) -> bool:
    """Whether terms with large coefficients of both signs, which may cancel
    down to the small ones, are no larger than these by the limit."""
    if self._max_ratio is None:
      return True
    for base in form.factors:
      if isinstance(base, Polynomial):
        terms: Any = base
        sizes = [abs(c) for c, _ in terms]
        if (any(c < 0 for c, _ in terms)
            and max(sizes) > self._max_ratio * min(sizes)):
          return False
    return True

  def _below(self, number):
    return self._ring.cores[number].children

  def _compute(self, core) -> Form | None:
    forms = self._forms
    if type(core) is One:
      return Form(1, {})
    if type(core) is Product:
      a, b = core.parts
      return _product(forms[a.core], forms[b.core], self._max_terms)
    if type(core) is Power:
      form, k = forms[core.parts[0].core], core.exponent
      return Form(form.coefficient ** k,
                  {base: e * k for base, e in form.factors.items()})
    if type(core) is Sum:
      return _sum([(c, forms[n]) for n, c in core.terms.items()],
                  self._max_terms)
    assert isinstance(core, Atom | Factor)
    return None


def _product(x: Form, y: Form, max_terms: int) -> Form | None:
  factors = dict(x.factors)
  for base, e in y.factors.items():
    factors[base] = factors.get(base, 0) + e
  c = x.coefficient * y.coefficient
  while True:
    found = _shorter(factors)
    if found is None:
      break
    a, b, shorter = found
    e = min(factors[a], factors[b])
    for base in (a, b):
      factors[base] -= e
      if not factors[base]:
        del factors[base]
    form = _of_terms(shorter)
    c *= form.coefficient ** e
    for base, k in form.factors.items():
      factors[base] = factors.get(base, 0) + k * e
  if len(factors) > max_terms or c.numerator.bit_length() > 256:
    return None
  return Form(c, factors)


def _shorter(factors):
  """Two polynomials whose product has no more terms than the longer one."""
  short = [base for base in factors
           if type(base) is Polynomial and len(base) <= _MAX_MERGED]
  for i, a in enumerate(short):
    for b in short[i + 1:]:
      shorter = product(collected(a), collected(b))
      if len(shorter) <= max(len(a), len(b)):
        return a, b, shorter
  return None


def _sum(terms: list[tuple[Coefficient, Form]], max_terms: int
         ) -> Form | None:
  common = dict(terms[0][1].factors)
  for _, form in terms[1:]:
    common = {base: min(e, form.factors[base])
              for base, e in common.items() if base in form.factors}
  found: list[tuple[Coefficient, Monomial]] = []
  for c, form in terms:
    rest = {base: e - common.get(base, 0) for base, e in form.factors.items()}
    expanded = expand({b: e for b, e in rest.items() if e}, max_terms)
    if expanded is None:
      return None
    found += [(k * c * form.coefficient, monomial)
              for monomial, k in expanded.items()]
  total = collected(found)
  if not total or len(total) > max_terms:
    return None
  return _product(Form(1, common), _of_terms(total), max_terms)


def expand(factors: Mapping[Base, int], max_terms: int) -> _Terms | None:
  """A product of powers as a sum of multiples of monomials; None if it is too
  long."""
  if sum(factors.values()) > _MAX_DEGREE:
    return None
  monomial = tuple(sorted((b, e) for b, e in factors.items()
                          if not isinstance(b, Polynomial)))
  terms: _Terms = {monomial: 1}
  for base, e in factors.items():
    if type(base) is Polynomial:
      for _ in range(e):
        if len(terms) * len(base) > 4 * max_terms:
          return None
        terms = product(terms, collected(base))
        if len(terms) > max_terms:
          return None
  return terms


def _of_terms(terms: _Terms) -> Form:
  """The common factor of one or more terms, times the rest."""
  monomials = list(terms)
  shared = dict(monomials[0])
  for monomial in monomials[1:]:
    exponents = dict(monomial)
    shared = {n: min(e, exponents[n])
              for n, e in shared.items() if n in exponents}
  divisor = content(terms.values())
  rest = sorted(
      (tuple((n, e - shared.get(n, 0)) for n, e in monomial
             if e > shared.get(n, 0)), c) for monomial, c in terms.items())
  if rest[0][1] < 0:
    divisor = -divisor
  factors: dict[Base, int] = dict(shared.items())
  if len(rest) > 1:
    factors[Polynomial((over(c, divisor), m) for m, c in rest)] = 1
  return Form(divisor, factors)

