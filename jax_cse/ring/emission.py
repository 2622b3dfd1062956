"""Emission: choices, as additions and multiplications of values.

    1 - y**2         integer_pow y; sub 1 _
    3*a*x - 3*b      mul a x; sub _ b; mul 3 _
    x/3              div x 3, since 1/3 is no floating-point number

Scalars are multiplied before arrays, equal multiples are added before they are
multiplied by their coefficient, and nothing is computed twice.
"""

from collections import Counter
from collections.abc import Callable, Mapping
from fractions import Fraction
import math
from typing import Any, Protocol

from jax_cse.ring import factoring
from jax_cse.ring.coefficients import Coefficient, over, simple, unit
from jax_cse.ring.cores import (
    EQUATION, Element, Image, One, Reciprocal, join)
from jax_cse.ring.extraction import Choice
from jax_cse.ring.factoring import ONE, Plus, Tree
from jax_cse.ring.ring import Ring


class Arithmetic(Protocol):
  """Operations on values, of which two may be a scalar and an array."""

  def add(self, x, y) -> Any: ...
  def sub(self, x, y) -> Any: ...
  def mul(self, x, y) -> Any: ...
  def div(self, x, y) -> Any: ...
  def neg(self, x) -> Any: ...
  def power(self, x, exponent: int) -> Any: ...
  def constant(self, c: Coefficient, domain) -> Any: ...
  def size(self, x) -> int: ...
  def fits(self, c: Coefficient, domain) -> bool:
    """Whether the constant is neither too large nor too small."""


class Emission:
  """Values of elements, computed on demand.

  Attributes:
    there: the multiples of each core that have been computed.
  """

  def __init__(self, ring: Ring, arithmetic: Arithmetic):
    self._ring = ring
    self._arithmetic = arithmetic
    self._values: list[Any] = []
    self._memo: dict[tuple, int] = {}
    self._uses: Counter = Counter()
    self.there: dict[int, dict[Coefficient, int]] = {}

  def enter(self, element: Element, value: Any) -> None:
    """Notes a value that was computed elsewhere."""
    self._values.append(value)
    self.there.setdefault(element.core, {})[element.coefficient] = (
        len(self._values) - 1)

  def value(self, element: Element) -> Any:
    """The value of an element whose core has been computed."""
    return self._values[self._multiple(element.coefficient, element.core)]

  def run(self, choices: list[Choice], compute: Callable[[int], None]) -> None:
    """Computes the choices. `compute` computes an atom, and enters it."""
    self._uses = Counter(leaf for choice in choices if choice.multiple
                         for leaf in factoring.leaves(choice.multiple[1]))
    for choice in choices:
      n = choice.number
      if n in self.there:
        continue
      core = self._ring.cores.get(n)
      if core is not None and choice.multiple is not None:
        c, tree = choice.multiple
        scale = self._best_scale(choice, c, tree, core.domain)
        self.there[n] = {scale: self._scaled(tree, c * scale, core.domain)}
      elif type(core) is not Reciprocal:   # that is computed where it is used
        compute(n)

  def _best_scale(self, choice, c, tree, domain):
    """Which multiple to compute; the others are multiples of that."""
    wanted = choice.wanted
    if self._ring.is_exact(domain):
      return 1   # every other multiple is a multiple of it
    if type(tree) is not Plus:
      return wanted[0] if len(wanted) == 1 else 1
    terms = [c * k for k, t in tree.terms]
    usual = over(1, unit(terms, exact=False))
    def price(s):
      return len({abs(s * k) for k, (_, t) in zip(terms, tree.terms)
                  if t != ONE} - {1}) + sum(w != s for w in wanted)
    return min((usual, *wanted), key=price)

  # The operations, each once for the same operands.

  def _do(self, operation: str, *refs: int, extra: tuple = ()) -> int:
    key = (operation, *refs, *extra)
    ref = self._memo.get(key)
    if ref is None:
      values = [self._values[r] for r in refs]
      ref = self._memo[key] = len(self._values)
      self._values.append(
          getattr(self._arithmetic, operation)(*values, *extra))
    return ref

  def _constant(self, c, domain):
    return self._do("constant", extra=(c, domain))

  def _size(self, ref):
    return self._arithmetic.size(self._values[ref])

  def _multiple(self, c, n) -> int:
    """A multiple of a core that has been computed."""
    core = self._ring.cores.get(n)
    if type(core) is One:
      return self._constant(c, core.domain)
    if n not in self.there:
      assert type(core) is Reciprocal
      one = self._constant(1, core.domain)
      below = self._multiple(*core.parts[0])
      self.there[n] = {1: self._do("div", one, below)}
    there = self.there[n]
    if c not in there:
      if -c in there:
        there[c] = self._do("neg", there[-c])
      else:
        base = 1 if 1 in there else next(iter(there))
        there[c] = self._scale(there[base], over(c, base),
                               self._ring.cores[n].domain)
    return there[c]

  def _scale(self, ref, c, domain) -> int:
    ops = self._arithmetic
    if c == 1:
      return ref
    if c == -1:
      return self._do("neg", ref)
    if abs(c.numerator) == 1 and c.denominator & (c.denominator - 1):
      divisor = c.denominator * c.numerator
      if ops.fits(divisor, domain):
        return self._do("div", ref, self._constant(divisor, domain))
    if not ops.fits(c, domain):
      # In two steps, as it must have been written.
      exponent = c.numerator.bit_length() - c.denominator.bit_length()
      assert abs(exponent) > 1, (c, domain)
      half = simple(Fraction(2) ** (exponent // 2))
      return self._scale(self._scale(ref, over(c, half), domain), half, domain)
    return self._do("mul", self._constant(c, domain), ref)

  def _scaled(self, tree: Tree, c, domain) -> int:
    """A multiple of a tree."""
    if tree == ONE:
      return self._constant(c, domain)
    if type(tree) is int:
      return self._multiple(c, tree)
    if type(tree) is Plus:
      return self._sum([(c * k, t) for k, t in tree.terms], domain)
    return self._product(tree, c, domain)

  def _sum(self, terms, domain) -> int:
    """Equal multiples first, positive terms before negative ones."""
    groups: dict[Coefficient, list[tuple[bool, int]]] = {}
    constant = 0
    for c, t in terms:
      if t == ONE:
        constant = c
        continue
      if type(t) is int and (c in self.there.get(t, ())
                             or -c in self.there.get(t, ())):
        has = c if c in self.there[t] else -c
        groups.setdefault(1, []).append((has == c, self.there[t][has]))
      elif abs(c) != 1 and sum(abs(k) == abs(c) for k, _ in terms) == 1:
        groups.setdefault(1, []).append(
            (c > 0, self._scaled(t, abs(c), domain)))
      else:
        groups.setdefault(abs(c), []).append(
            (c > 0, self._scaled(t, 1, domain)))
    units = groups.pop(1, [])
    for c, members in groups.items():
      sign, ref = self._signed_sum(members)
      units.append((sign, self._scale(ref, c, domain)))
    if constant and not any(sign for sign, _ in units):
      return self._subtract(self._constant(constant, domain), units)
    if not units:
      return self._constant(constant, domain)
    sign, ref = self._signed_sum(units)
    if constant:
      other = self._constant(abs(constant), domain)
      if not sign:
        return self._do("sub", self._constant(constant, domain), ref)
      return self._do("add" if constant > 0 else "sub", ref, other)
    return ref if sign else self._do("neg", ref)

  def _signed_sum(self, members) -> tuple[bool, int]:
    """The sum of values with signs, or its negative."""
    positive = [ref for sign, ref in members if sign]
    negative = [ref for sign, ref in members if not sign]
    if not positive:
      positive, negative = negative, positive
    total, *rest = sorted(positive, key=self._size)
    for ref in rest:
      total = self._do("add", total, ref)
    total = self._subtract(total, [(False, ref) for ref in negative])
    return any(sign for sign, _ in members), total

  def _subtract(self, total, units):
    for _, ref in sorted(units, key=lambda unit: self._size(unit[1])):
      total = self._do("sub", total, ref)
    return total

  def _product(self, tree, c, domain) -> int:
    """Of small factors first, the coefficient among them."""
    refs, divisors = [], []
    for t, e in tree.factors:
      if self._is_new_reciprocal(t) and e == 1 and len(tree.factors) > 1:
        divisors.append(self._multiple(*self._ring.cores[t].parts[0]))
        continue
      ref = self._scaled(t, 1, domain)
      refs.append(ref if e == 1 else self._do("power", ref, extra=(e,)))
    if not refs:
      one = self._constant(c, domain)
      return self._do("div", one, self._multiplied(divisors))
    refs.sort(key=self._size)
    if abs(c) != 1:
      scalars = [r for r in refs if self._size(r) == 1]
      if scalars and self._size(refs[-1]) > 1:
        first = self._scale(self._multiplied(scalars), c, domain)
        refs = [first, *refs[len(scalars):]]
        c = 1
    total = self._multiplied(refs)
    for ref in divisors:
      total = self._do("div", total, ref)
    return self._scale(total, c, domain)

  def _multiplied(self, refs):
    total, *rest = refs
    for ref in rest:
      total = self._do("mul", total, ref)
    return total

  def _is_new_reciprocal(self, t):
    return (type(t) is int and t not in self.there
            and type(self._ring.cores[t]) is Reciprocal
            and self._uses[t] == 1)


class _Count:
  """Arithmetic on shapes that adds up costs."""

  def __init__(self):
    self.cost = 0

  def _operate(self, *shapes):
    shape = join(*shapes)
    self.cost += EQUATION + self.size(shape)
    return shape

  add = sub = mul = div = neg = _operate

  def power(self, x, exponent):
    return self._operate(x)

  def constant(self, c, domain):
    return ()

  def size(self, x):
    return math.prod(x)

  def fits(self, c, domain):
    return True


def price(ring: Ring, choices: list[Choice],
          there: Mapping[int, Mapping[Coefficient, Any]]) -> int:
  """The cost of `choices`: equations, and the elements that they compute.

  `there`: the multiples of cores that have been computed before.
  """
  count = _Count()
  emission = Emission(ring, count)

  def enter(n, c=1):
    core = ring.cores.get(n)
    emission.enter(Element(c, n), () if core is None else core.shape)

  def compute(n):
    core = ring.cores.get(n)
    if type(core) is Image:
      count.cost += core.map.cost
    enter(n)

  for choice in choices:   # others are not looked at
    for c in there.get(choice.number, ()):
      enter(choice.number, c)
  emission.run(choices, compute)
  for choice in choices:
    if choice.multiple is not None:
      for c in choice.wanted:
        if c != 1:
          emission.value(Element(c, choice.number))
  return count.cost
