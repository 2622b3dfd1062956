"""Ways to compute a polynomial, and their costs.

A way is a tree: the number of something that is there already, a sum of
multiples of trees, or a product of powers of trees.

    factored(2*a*x + 2*a*y + 3*b)     ==  2 * a*(x + y) + 3*b
    factored(1 + 2*y**2 + y**4)       ==  1 + y**2 * (2 + y**2)

The factor that most terms share is taken out first, so a polynomial in one
variable comes out as by Horner's rule.

Source: Horner's rule for several variables, Ceberio and Kreinovich 2004.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
import math
from typing import NamedTuple, cast

from jax_cse.ring.coefficients import Coefficient, over, unit
from jax_cse.ring.cores import Element, One, join
from jax_cse.ring.normal_form import Form, Polynomial
from jax_cse.ring.polynomials import Monomial, Terms, collected
from jax_cse.ring.ring import Ring


class Plus(NamedTuple):
  """A sum of multiples."""
  terms: tuple[tuple[Coefficient, "Tree"], ...]


class Times(NamedTuple):
  """A product of powers; of nothing, the constant one."""
  factors: tuple[tuple["Tree", int], ...]


Tree = int | Plus | Times
ONE = Times(())


def product(factors: Iterable[tuple[Tree, int]]) -> Tree:
  factors = tuple(factors)
  if len(factors) == 1 and factors[0][1] == 1:
    return factors[0][0]
  return Times(factors)


def leaf(ring: Ring, number: int) -> Tree:
  """The tree of a core by itself."""
  return ONE if type(ring.cores[number]) is One else number


def element(ring: Ring, tree: Tree, domain) -> Element:
  """The element of a ring that a tree is."""
  if type(tree) is int:
    return Element(1, tree)
  if type(tree) is Plus:
    total = ring.constant(0, domain)
    for c, t in tree.terms:
      total = ring.add(total, ring.scale(element(ring, t, domain), c))
    return total
  result = ring.constant(1, domain)
  for t, e in cast(Times, tree).factors:
    result = ring.mul(result, ring.power(element(ring, t, domain), e))
  return result


def factored(terms: Terms, exact: bool,
             expand: Callable[[int], Terms] | None = None
             ) -> list[tuple[Coefficient, Tree]]:
  """A sum of multiples of monomials, as multiples of trees.

  Args:
    terms: the multiples.
    exact: coefficients may be divided only by a divisor of all of them.
    expand: the terms of a number that stands as a term by itself.
  """
  if expand is not None:
    terms = _expanded(terms, expand)
  uses = Counter(n for _, monomial in terms for n, _ in monomial)
  best = max(uses, key=lambda n: (uses[n], -n), default=None)
  if best is None or uses[best] < 2:
    return [(c, product(monomial)) for c, monomial in terms]
  inside: list[tuple[Coefficient, Monomial]] = []
  outside: list[tuple[Coefficient, Monomial]] = []
  for c, monomial in terms:
    (inside if any(n == best for n, _ in monomial) else outside).append(
        (c, monomial))
  e = min(k for _, monomial in inside for n, k in monomial if n == best)
  c, inner = total(factored(
      [(c, _without(monomial, best, e)) for c, monomial in inside], exact,
      expand), exact)
  power = best, e
  factors = inner.factors if type(inner) is Times else ((inner, 1),)
  return [(c, product((power, *factors))),
          *(factored(outside, exact, expand) if outside else ())]


def _expanded(terms, expand):
  """Terms with those expanded that are numbers, and like terms collected."""
  alone = lambda monomial: len(monomial) == 1 and monomial[0][1] == 1
  left = collected(
      (c * k, m) for c, monomial in terms
      for k, m in (expand(monomial[0][0]) if alone(monomial)
                   else ((1, monomial),)))
  # They cannot all cancel, except in a sum that nobody knew to be zero.
  return [(c, m) for m, c in left.items()] or terms


def _without(monomial, number, exponent):
  return tuple((n, k - exponent if n == number else k) for n, k in monomial
               if n != number or k > exponent)


def total(terms: Sequence[tuple[Coefficient, Tree]], exact: bool
          ) -> tuple[Coefficient, Tree]:
  """The sum of multiples as one multiple of a tree."""
  if len(terms) == 1:
    return terms[0]
  divisor = unit([c for c, _ in terms], exact)
  return divisor, Plus(tuple((over(c, divisor), tree) for c, tree in terms))


def of_form(form: Form, exact: bool) -> tuple[Coefficient, Tree]:
  """A normal form as a multiple of a tree."""
  c = form.coefficient
  factors: list[tuple[Tree, int]] = []
  for base, e in form.factors.items():
    if isinstance(base, Polynomial):
      k, tree = total(factored(base, exact), exact)
      c *= k ** e
      factors.append((tree, e))
    else:
      factors.append((base, e))
  return c, product(factors)


def leaves(tree: Tree) -> list[int]:
  """The numbers in a tree, in order."""
  found: list[int] = []
  todo = [tree]
  while todo:
    t = todo.pop()
    if isinstance(t, int):
      found.append(t)
    elif isinstance(t, Plus):
      todo += [x for _, x in reversed(t.terms)]
    else:
      todo += [x for x, _ in reversed(t.factors)]
  return found


def operations(multiple: tuple[Coefficient, Tree],
               shape_of: Callable[[int], tuple[int, ...]]
               ) -> list[tuple[int, ...]]:
  """The shapes of the operations for it, each subtree once; small operands of
  a sum or product come first."""
  c, tree = multiple
  found: list[tuple[int, ...]] = []
  shape = _operations(tree, shape_of, {ONE: ()}, found)
  return [*found, shape] if abs(c) != 1 and tree != ONE else found


def _operations(tree, shape_of, known, found):
  if type(tree) is int:
    return shape_of(tree)
  shape = known.get(tree)
  if shape is not None:
    return shape
  shapes = []
  if type(tree) is Plus:
    scaled = {}
    for c, t in tree.terms:
      shape = _operations(t, shape_of, known, found)
      shapes.append(shape)
      if abs(c) != 1 and t != ONE:
        scaled[abs(c)] = shape
    found += scaled.values()
  else:
    for t, e in tree.factors:
      shape = _operations(t, shape_of, known, found)
      shapes.append(shape)
      if e != 1 and (t, e) not in known:
        known[t, e] = shape
        found.append(shape)
  total, *rest = sorted(shapes, key=math.prod)
  for shape in rest:
    total = total if shape == total else join(total, shape)
    found.append(total)
  known[tree] = total
  return total
