"""Polynomials in numbers: sums of multiples of monomials.

A monomial is a product of powers, as numbers and exponents in the order of the
numbers; a polynomial maps each to its coefficient, which is never zero:

    3 + 2*x*y**2        {(): 3, ((x, 1), (y, 2)): 2}

Coefficients are rational numbers here, or elements of a ring: the caller says
how they are multiplied.
"""

from collections.abc import Callable, Iterable, Sequence
import operator
from typing import Any, TypeVar

from jax_cse.ring.coefficients import Coefficient

Monomial = tuple[tuple[int, int], ...]
# A sum as it is written, like terms and all.
Terms = Sequence[tuple[Coefficient, Monomial]]

_Multiple = TypeVar("_Multiple")


def times(m: Monomial, n: Monomial) -> Monomial:
  """The product of two monomials."""
  exponents = dict(m)
  for number, e in n:
    exponents[number] = exponents.get(number, 0) + e
  return tuple(sorted(exponents.items()))


def collected(terms: Iterable[tuple[_Multiple, Monomial]],
              add: Callable[[Any, Any], _Multiple] = operator.add,
              is_zero: Callable[[_Multiple], bool] = operator.not_
              ) -> dict[Monomial, _Multiple]:
  """The polynomial that is a sum of terms: like terms are one."""
  total: dict[Monomial, _Multiple] = {}
  for c, monomial in terms:
    total[monomial] = add(total[monomial], c) if monomial in total else c
  return {m: c for m, c in total.items() if not is_zero(c)}


def product(x: dict[Monomial, _Multiple], y: dict[Monomial, _Multiple],
            mul: Callable[[Any, Any], _Multiple] = operator.mul,
            add: Callable[[Any, Any], _Multiple] = operator.add,
            is_zero: Callable[[_Multiple], bool] = operator.not_
            ) -> dict[Monomial, _Multiple]:
  """The product of two polynomials."""
  return collected(((mul(a, b), times(m, n)) for m, a in x.items()
                    for n, b in y.items()), add, is_zero)
