"""Sums over an axis, taken as early as they can be.

    sum(a*L(x) + b*y*z, axis)     ==  a*L(sum(x, axis)) + b*sum(y*z, axis)

where `a`, `b` and L are the same all along the axis. The normal form splits a
summand into monomials that vary along the axis and their multipliers, which do
not. A sum enters a linear map as `primitives.linear` says. It stops at products
of several varying factors, and at operations that are not linear.

Meanwhile the axis stays, with length 1, so nothing else about a map or a
product changes.
"""

from typing import NamedTuple, Protocol

from jax_cse.ring.cores import (
    EQUATION, Core, Element, Image, LinearMap, Product, Saved, Sum, Way,
    beneath, bottom_up, factors)
from jax_cse.ring.linear_ring import LinearRing
from jax_cse.ring.normal_form import Base, NormalForms, Polynomial, expand
from jax_cse.ring.polynomials import Monomial

# The extra cost of a sum over an axis that is split and put back together.
_SPENT = 4 * EQUATION
_MAX_TERMS = 200


class _Split(NamedTuple):
  """A core as a sum of products, along an axis.

  Attributes:
    same: the factor of all products that is the same all along the axis.
    parts: by the monomial that varies along it, its multiplier.
  """
  same: Element
  parts: dict[Monomial, Element]


class Maps(Protocol):
  """The linear maps that sums over an axis add to a program."""

  def sum_over(self, domain, shape: tuple[int, ...], axis: int
               ) -> tuple[LinearMap, LinearMap]:
    """The sum over an axis of arrays of a shape, and the index map that puts
    the axis back, with length 1."""

  def drop(self, domain, shape: tuple[int, ...], axes: tuple[int, ...]
           ) -> LinearMap:
    """The index map that drops axes of length 1."""


class AxisSums:
  """Finds ways to compute sums over axes.

  Attributes:
    ways: by core, those of sums that were met.
  """

  def __init__(self, ring: LinearRing, maps: Maps):
    self._ring = ring
    self._maps = maps
    self._cores = ring.cores
    self._forms = NormalForms(ring, _MAX_TERMS)
    self.ways: dict[int, Way] = {}
    # By a core and an axis.
    self._summed: dict[tuple[int, int], Element] = {}
    self._savings: dict[tuple[int, int], tuple[Saved, ...]] = {}
    self._splits: dict[tuple[int, int], _Split | None] = {}

  def way(self, map_: LinearMap, part: Element) -> Way | None:
    """Another way to sum an array over axes."""
    element = Element(1, part.core)
    saved: tuple[Saved, ...] = ()
    for axis in map_.sums:
      size = map_.operand_shapes[0][axis]
      core = self._cores[element.core]
      if not core.shape or core.shape[axis] == 1:
        element = Element(size * element.coefficient, element.core)
        continue
      more = self._saved(element.core, axis)
      saved += more
      c, n = (self._sum_inside(core, axis) if type(core) is Image and more
              else self._sum_over(element.core, axis))
      element = Element(c * element.coefficient, n)
    if not saved:
      return None
    shape = self._cores[element.core].shape
    if shape:
      drop = self._maps.drop(map_.domain, shape, map_.sums)
      c, n = self._ring.image(drop, [Element(1, element.core)])
      element = Element(c * element.coefficient, n)
    # (x - 1)**2 is summed as x**2 - 2*x + 1: what sums of x would save, x**2
    # needs all the same.
    return Way(((element.coefficient, ((element.core, 1),)),), saved,
               needed=beneath(self._cores, element.core))

  def _sum_over(self, n: int, axis: int) -> Element:
    """The sum over an axis of a core, with an axis of length 1 left."""
    for m, k in bottom_up((n, axis), self._summed, self._inside):
      self._summed[m, k] = self._new_sum_over(self._cores[m], m, k)
    return self._summed[n, axis]

  def _inside(self, pair) -> list[tuple[int, int]]:
    """The cores, with their axes, whose sums a sum over an axis of a core is
    made of, except those that are the same all along."""
    n, axis = pair
    return [] if self._is_the_same(n, axis) else [
        (m, k) for m, k in self._parts_inside(self._cores[n], n, axis)
        if not self._is_the_same(m, k)]

  def _parts_inside(self, core, n, axis):
    split = self._split(n, axis)
    if split is not None:
      return [(m, axis) for monomial in split.parts
              for m, e in monomial if len(monomial) == e == 1]
    if type(core) is Sum:
      return [(m, axis) for m in core.terms]
    if type(core) is Product:
      vary = [(m, e) for m, e in factors(self._cores, n)
              if not self._is_the_same(m, axis)]
      if len(vary) == 1 and vary[0][1] == 1 and vary[0][0] != n:
        return [(vary[0][0], axis)]
    if type(core) is Image and core.map.joins(axis):
      return [(part.core, axis) for part in core.parts
              if len(self._cores[part.core].shape) == len(core.shape)]
    if type(core) is Image and (inner := core.map.through(axis)):
      return [(core.parts[i].core, k) for i, k in inner[1].items()
              if k is not None]
    return []

  def _new_sum_over(self, core: Core, n, axis) -> Element:
    split = self._split(n, axis)
    if split is not None:
      return self._sum_of_split(core, split, axis)
    if type(core) is Product:
      return self._sum_of_product(core, n, axis)
    if not self._saved(n, axis):
      return self._beside(core, n, axis)
    if type(core) is Sum:
      return self._sum_of_sums(core, axis)
    assert isinstance(core, Image)
    if core.map.joins(axis):
      return self._sum_inside(core, axis)
    c, inner = self._sum_inside(core, axis)
    if len(core.shape) == 1 and self._cores[inner].shape:
      drop = self._maps.drop(core.domain, (1,), (0,))
      k, inner = self._ring.image(drop, [Element(1, inner)])
      c *= k
    result = self._beside(core, n, axis)
    self.ways[result.core] = Way(((c, ((inner, 1),)),), self._saved(n, axis))
    return result

  def _split(self, n, axis) -> _Split | None:
    """The normal form of a sum or product, split; None if there is none."""
    key = n, axis
    if key not in self._splits:
      self._splits[key] = self._new_split(self._cores[n], n, axis)
    return self._splits[key]

  def _new_split(self, core, n, axis):
    form = self._forms.of(n)
    if n in form.factors:
      return None
    ring, domain = self._ring, core.domain
    is_the_same = lambda m: self._is_the_same(m, axis)
    same = ring.constant(form.coefficient, domain)
    vary: dict[Base, int] = {}
    for base, e in form.factors.items():
      inside = (base if isinstance(base, Polynomial)
                else [(1, ((base, 1),))])
      if all(is_the_same(m) for _, monomial in inside for m, _ in monomial):
        c, n = self._element(inside, domain)
        same = ring.scale(ring.mul(same, ring.power(Element(1, n), e)), c ** e)
      else:
        vary[base] = e
    terms = expand(vary, _MAX_TERMS)
    if terms is None:
      return None
    parts: dict[Monomial, list] = {}
    for monomial, c in terms.items():
      kinds: tuple[list, list] = [], []
      for m, e in monomial:
        kinds[is_the_same(m)].append((m, e))
      parts.setdefault(tuple(kinds[0]), []).append((c, tuple(kinds[1])))
    return _Split(same, {monomial: self._element(multiples, domain)
                         for monomial, multiples in parts.items()})

  def _element(self, terms, domain) -> Element:
    """A sum of multiples of monomials."""
    ring = self._ring
    total = ring.constant(0, domain)
    for c, monomial in terms:
      product = ring.constant(c, domain)
      for m, e in monomial:
        product = ring.mul(product, ring.power(Element(1, m), e))
      total = ring.add(total, product)
    return total

  def _sum_of_split(self, core, split, axis) -> Element:
    ring, domain = self._ring, core.domain
    total = ring.constant(0, domain)
    beside: dict[int, Element] = {}   # by multiplier
    for monomial, multiple in split.parts.items():
      if not monomial:
        total = ring.add(total, ring.scale(multiple, core.shape[axis]))
      elif len(monomial) == monomial[0][1] == 1 and (
          self._saved(monomial[0][0], axis)):
        total = ring.add(total, ring.mul(
            multiple, self._sum_over(monomial[0][0], axis)))
      else:
        part = self._element([(multiple.coefficient, monomial)], domain)
        before = beside.get(multiple.core)
        beside[multiple.core] = ring.add(before, part) if before else part
    for n, part in beside.items():
      summed = self._beside(self._cores[part.core], part.core, axis)
      total = ring.add(total, ring.mul(
          Element(part.coefficient, n), summed))
    return ring.mul(split.same, total)

  def _sum_of_product(self, core, n, axis) -> Element:
    """The factors that are the same all along, times the sum of the rest."""
    ring = self._ring
    same = rest = ring.constant(1, core.domain)
    for m, e in factors(self._cores, n):
      power = ring.power(Element(1, m), e)
      if self._is_the_same(m, axis):
        same = ring.mul(same, power)
      else:
        rest = ring.mul(rest, power)
    if rest.core != n and self._saved(rest.core, axis):
      total = self._sum_over(rest.core, axis)
    else:
      total = self._beside(self._cores[rest.core], rest.core, axis)
    return ring.scale(ring.mul(same, total), rest.coefficient)

  def _sum_of_sums(self, core, axis) -> Element:
    ring, size = self._ring, core.shape[axis]
    total = rest = ring.constant(0, core.domain)
    for m, c in core.terms.items():
      if self._is_the_same(m, axis):
        total = ring.add(total, ring.scale(Element(size, m), c))
      elif self._saved(m, axis) or type(self._cores[m]) is Product:
        total = ring.add(total, ring.scale(self._sum_over(m, axis), c))
      else:
        rest = ring.add(rest, Element(c, m))
    if rest.coefficient:
      core = self._cores[rest.core]
      total = ring.add(total, ring.scale(
          self._beside(core, rest.core, axis), rest.coefficient))
    return total

  def _sum_inside(self, core, axis) -> Element:
    """The image of summed parts."""
    if core.map.joins(axis):
      return self._sum_of_joined(core, axis)
    inner, axes = core.map.through(axis)
    parts = []
    for i, part in enumerate(core.parts):
      if i in axes:
        if self._is_the_same(part.core, axes[i]):
          summed = Element(core.shape[axis], part.core)
        else:
          summed = self._sum_over(part.core, axes[i])
        part = self._ring.scale(summed, part.coefficient)
      parts.append(part)
    return self._ring.image(inner, parts)

  def _sum_of_joined(self, core, axis) -> Element:
    total = self._ring.constant(0, core.domain)
    shapes = core.map.operand_shapes
    if len(shapes[0]) < len(core.shape):
      for part in core.parts:
        total = self._ring.add(total, part)
      _, back = self._maps.sum_over(core.domain, core.shape, axis)
      return self._ring.image(back, [total])
    for (c, n), shape in zip(core.parts, shapes):
      summed = (Element(shape[axis], n) if self._is_the_same(n, axis)
                else self._sum_over(n, axis))
      total = self._ring.add(total, self._ring.scale(summed, c))
    return total

  def _beside(self, core, n, axis) -> Element:
    over, back = self._maps.sum_over(core.domain, core.shape, axis)
    return self._ring.image(back, [self._ring.image(over, [Element(1, n)])])

  def _is_the_same(self, n, axis):
    shape = self._cores[n].shape
    return not shape or shape[axis] == 1

  def _saved(self, n: int, axis: int) -> tuple[Saved, ...]:
    """The linear maps that a sum over an axis of a core goes into."""
    for m, k in bottom_up((n, axis), self._savings, self._inside):
      self._savings[m, k] = self._new_saved(self._cores[m], m, k)
    return self._savings[n, axis]

  def _new_saved(self, core, n, axis):
    below = tuple(x for pair in self._inside((n, axis))
                  for x in self._savings[pair])
    if type(core) is Image and core.map.joins(axis):
      return Saved(n, core.map.cost, below),
    if type(core) is not Image or (inner := core.map.through(axis)) is None:
      return below
    cost = core.map.cost - inner[0].cost
    if core.map.is_index_map:
      return (Saved(n, cost, below),) if below else ()
    return Saved(n, cost - _SPENT, below),
