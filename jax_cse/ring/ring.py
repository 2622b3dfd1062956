"""Sums and products that are equal as elements of a ring have one number.

An element is a coefficient times a *core*, which has a number (see `cores`).
Two elements are equal if and only if they are the same polynomial in the atoms.
Expanding them to see that explodes, so each is known by its value at one random
point of a field of some 2**127 elements: equal polynomials have equal values,
and two different ones of degree d agree with a probability of d / 2**126.

    r = Ring(Expressions(itertools.count(2).__next__).of)
    x, y = r.atom(0, "float32"), r.atom(1, "float32")
    r.mul(r.add(x, y), r.sub(x, y)) == r.sub(r.mul(x, x), r.mul(y, y))

With `distributes=False` a sum inside of a product is an atom, so equal elements
differ in the grouping and order of sums and of products only.

Nothing is divided: the reciprocal of an element is an atom of its own, and x/x
is not 1, which it is not at 0 either. Constants have exact rational values, so
a coefficient is rounded once, when it is used.

Source: Schwartz 1980 and Zippel 1979 for equality at a random point.

Limits: a sum of more than `_MAX_TERMS` terms, a coefficient of more than
`_MAX_BITS` bits and a degree of more than `_MAX_DEGREE` begin a new atom.
"""

from collections.abc import Callable
import random
from typing import Any

from jax_cse.ring.coefficients import (
    Coefficient, P, content, in_field, over, simple, unit)
from jax_cse.ring.cores import (
    Atom, Core, Element, Factor, One, Power, Product, Reciprocal, Sum, join)

_MAX_TERMS = 32
_MAX_BITS = 256
_MAX_BITS_OF_POWER = 32
_MAX_DEGREE = 2**20


def random_point(source: random.Random) -> int:
  """An element of the field."""
  return source.randrange(P)


class Ring:
  """Elements over atoms.

  Attributes:
    cores: by number.
    is_exact: whether the coefficients of a domain are integers.
  """

  def __init__(self, of: Callable[[Any, tuple[int, ...]], int],
               distributes: bool = True,
               is_exact: Callable[[Any], bool] = lambda domain: False):
    """`of` gives the number of an operation on numbers, as `Expressions.of`;
    `is_exact` says of which domains the coefficients are integers."""
    self.is_exact = is_exact
    self._of = of
    self._distributes = distributes
    # Seeded, so that the same program gives the same result.
    self._random = random.Random(0)
    self._known: dict[tuple[Any, int], Element] = {}
    self.cores: dict[int, Core] = {}

  def _point(self) -> int:
    return random_point(self._random)

  def atom(self, number: int, domain: Any, shape: tuple[int, ...] = ()
           ) -> Element:
    """The element that a number is, about which nothing else is known."""
    if number not in self.cores:
      self._enter(number, Atom(domain, shape, self._point(), 1))
    return Element(1, number)

  def constant(self, value: Coefficient, domain: Any) -> Element:
    one = self._of(("one", domain), ())
    if one not in self.cores:
      self._enter(one, One(domain, (), 1, 0))
    return Element(value, one)

  def _enter(self, number, core):
    self.cores[number] = core
    self._known.setdefault((core.domain, core.at_point), Element(1, number))

  def within(self, shape: tuple[int, ...], numbers) -> bool:
    """Whether the shape to which `numbers` broadcast fits into `shape`."""
    return join(shape, *(self.cores[n].shape for n in numbers)) == shape

  def is_constant(self, x: Element) -> bool:
    return type(self.cores[x.core]) is One

  def value(self, x: Element) -> int:
    """Its value at the random point."""
    return in_field(x.coefficient) * self.cores[x.core].at_point % P

  def _find(self, domain, at_point) -> Element | None:
    """The element that has been met with this value, or with its negative."""
    if not at_point:
      return self.constant(0, domain)
    known = self._known.get((domain, at_point))
    if known is None:
      negative = self._known.get((domain, P - at_point))
      if negative is not None:
        known = Element(-negative.coefficient, negative.core)
    return known

  def _canonical(self, x: Element) -> Element:
    """The element as it was met first; it may be a multiple of another core."""
    domain, at_point = self.cores[x.core].domain, self.value(x)
    return self._find(domain, at_point) or self._remember(domain, at_point, x)

  # The ring operations.

  def scale(self, x: Element, c: Coefficient) -> Element:
    core = self.cores[x.core]
    if not c or not x.coefficient:
      return self.constant(0, core.domain)
    if not self._distributes and abs(c) != 1:
      x = self._as_factor(x)
    c = simple(c * x.coefficient)
    if _bits(c) > _MAX_BITS:
      return self._as_atom(Element(c, x.core))
    return self._canonical(Element(c, x.core))

  def _as_atom(self, x):
    """The same value as an atom, its coefficient included."""
    core = self.cores[x.core]
    number = self._of(("factor", x.coefficient), (x.core,))
    if number not in self.cores:
      self._enter(number, Factor(core.domain, core.shape, self._point(), 1,
                                 (x,)))
    return Element(1, number)

  def neg(self, x: Element) -> Element:
    return Element(-x.coefficient, x.core)

  def sub(self, x: Element, y: Element) -> Element:
    return self.add(x, self.neg(y))

  def add(self, x: Element, y: Element) -> Element:
    if not x.coefficient:
      return y
    if not y.coefficient:
      return x
    domain = self.cores[x.core].domain
    at_point = (self.value(x) + self.value(y)) % P
    known = self._find(domain, at_point)
    if known is not None:
      return known
    terms = self._terms(x, y)
    if len(terms) == 1:   # multiples of one core
      (core, c), = terms.items()
      return self._remember(domain, at_point, self.scale(Element(1, core), c))
    divisor = self._divisor(domain, terms)
    numbers = sorted(terms)
    if terms[numbers[0]] < 0:
      divisor = -divisor
    terms = {n: over(terms[n], divisor) for n in numbers}
    at_point_of_core = at_point * in_field(over(1, divisor)) % P
    known = self._find(domain, at_point_of_core)
    if known is None:
      number = self._of(("sum", tuple(terms.values())), tuple(numbers))
      if number not in self.cores:
        cores = [self.cores[n] for n in numbers]
        shape = join(*(c.shape for c in cores))
        parts = [Element(over(z.coefficient, divisor), z.core)
                 for z in (x, y)]
        if not self.within(shape, (n for _, n in parts)):
          parts = [Element(c, n) for n, c in terms.items()]
        core = Sum(domain, shape, at_point_of_core,
                   max(c.degree for c in cores), tuple(parts))
        core.terms = terms
        self._enter(number, core)
      known = Element(1, number)
    return self._remember(domain, at_point, Element(
        simple(known.coefficient * divisor), known.core))

  def _divisor(self, domain, terms):
    """The coefficient of a sum, the same core being left for all multiples."""
    divisor = content(terms.values())
    rest = [over(c, divisor) for c in terms.values()]
    return divisor * unit(rest, self.is_exact(domain))

  def _remember(self, domain, at_point, element):
    self._known[domain, at_point] = element
    return element

  def _terms(self, x, y):
    flat = [self._flat(z) for z in (x, y)]
    if sum(map(len, flat)) > _MAX_TERMS:
      flat = [{z.core: z.coefficient} for z in (x, y)]
    terms, more = flat
    for n, c in more.items():
      c = terms.get(n, 0) + c
      if c:
        terms[n] = c
      else:
        del terms[n]
    return terms

  def _flat(self, x):
    core, c = self.cores[x.core], x.coefficient
    if type(core) is not Sum:
      return {x.core: c}
    return {n: c * k for n, k in core.terms.items()}

  def mul(self, x: Element, y: Element) -> Element:
    if not self._distributes:
      x, y = self._multiplied(x, y), self._multiplied(y, x)
    a, b = self.cores[x.core], self.cores[y.core]
    if type(a) is One:
      return self.scale(y, x.coefficient)
    if type(b) is One:
      return self.scale(x, y.coefficient)
    if a.degree + b.degree > _MAX_DEGREE:
      x, y = self._as_factor(x), self._as_factor(y)
      a, b = self.cores[x.core], self.cores[y.core]
    at_point = a.at_point * b.at_point % P
    known = self._find(a.domain, at_point)
    if known is None:
      base, i = self._as_power(x.core)
      other, j = self._as_power(y.core)
      if base == other:
        number = self._of(("power", i + j), (base,))
        power = Power(a.domain, a.shape, at_point, a.degree + b.degree,
                      (Element(1, base),))
        power.exponent = i + j
        core: Core = power
      else:
        first, second = sorted((x.core, y.core))
        number = self._of("product", (first, second))
        core = Product(a.domain, join(a.shape, b.shape), at_point,
                       a.degree + b.degree,
                       (Element(1, first), Element(1, second)))
      if number not in self.cores:
        self._enter(number, core)
      known = Element(1, number)
    return self.scale(known, x.coefficient * y.coefficient)

  def power(self, x: Element, exponent: int) -> Element:
    """`x` to a positive exponent.

    The power of a multiple is no multiple of the core's power where one of them
    may be infinite: (x/8)**100 is finite for many x whose power is not.
    """
    if exponent * (_bits(x.coefficient) - 1) > _MAX_BITS_OF_POWER:
      x = self._as_atom(x)
    result = x
    for bit in bin(exponent)[3:]:
      result = self.mul(result, result)
      if bit == "1":
        result = self.mul(result, x)
    return result

  def reciprocal(self, x: Element) -> Element:
    """Of any element except the constant zero; not in a ring of integers."""
    core = self.cores[x.core]
    inverse = over(1, x.coefficient)
    if type(core) is One:
      return Element(inverse, x.core)
    number = self._of("reciprocal", (x.core,))
    if number not in self.cores:
      self._enter(number, Reciprocal(core.domain, core.shape, self._point(), 1,
                                     (Element(1, x.core),)))
    return Element(inverse, number)

  def _as_power(self, number):
    core = self.cores[number]
    if type(core) is Power:
      return core.parts[0].core, core.exponent
    return number, 1

  def _multiplied(self, x, other):
    """An operand of a product when sums are atoms in them."""
    if self.is_constant(other) and abs(other.coefficient) == 1:
      return x
    return self._as_factor(x) if type(self.cores[x.core]) is Sum else x

  def _as_factor(self, x):
    core = self.cores[x.core]
    if type(core) in (Atom, One, Factor) or (
        not self._distributes and type(core) is not Sum):
      return x
    return self.factor(x)

  def factor(self, x: Element) -> Element:
    """A multiple of an atom, which no sum or product looks into."""
    atom = self._as_atom(Element(1, x.core))
    return Element(x.coefficient, atom.core)


def _bits(c: Coefficient) -> int:
  return max(abs(c.numerator), c.denominator).bit_length()
