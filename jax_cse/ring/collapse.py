"""Collapse: a sum of images of one linear map is the image of the sum.

    L(x) + a*L(y) + L(z)      ==  L(x + z) + a*L(y)
    a*L(x) + a*(L(y) + z)     ==  a*(L(x + y) + z)

So the second derivatives of a network along many directions, of which only the
sum is wanted, go through its layers as one, as in a forward Laplacian, which
writes that by hand. The sums inside are elements, and collapse in turn. Sums
over an axis of directions are for `directions.early_sums`.

The result is a `Way` to compute a core, with the images that it may save.
Whether it does depends on what is needed anyway, which `extraction` knows.

Source: Li et al. 2023, Forward Laplacian; Dangel et al. 2025, Collapsing Taylor
mode automatic differentiation.
"""

from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from jax_cse.ring.coefficients import Coefficient
from jax_cse.ring.collecting import Collecting
from jax_cse.ring.cores import (
    Element, Image, Product, Saved, Sum, Way, bottom_up, factors, monomial)
from jax_cse.ring.linear_ring import LinearRing, views
from jax_cse.ring.polynomials import Monomial, Terms, times

_MAX_TERMS = 1024
# What a way saves that is better whatever else is needed.
_ALWAYS = Saved(-1, 1)


class _Member(NamedTuple):
  """A term of a sum: a multiple of a factor, the cofactor shared by others."""
  coefficient: Coefficient
  term: int     # its place
  factor: int


class Collapse:
  """Finds ways to compute sums.

  Attributes:
    coefficients: of images that many sums may be multiples of.
  """

  def __init__(self, ring: LinearRing, looks: bool = True):
    """`looks`: whether ways are looked for, or are only those of `replace`."""
    self._ring = ring
    self._looks = looks
    self._cores = ring.cores
    self._collecting = Collecting(ring)
    self._with_image: dict[int, bool] = {}
    self._ways: dict[int, list[Way]] = {}
    self._collected: dict[int, Terms | None] = {}
    self.coefficients: set[int] = set()
    self._places: dict[int, tuple[int, int]] = {}

  def without_looking(self) -> "Collapse":
    """One of the same ring that knows only what is replaced in it."""
    return Collapse(self._ring, looks=False)

  def replace(self, n: int, other: Element) -> None:
    """Has a core computed as another element, which is equal."""
    self._ways[n] = [Way(((other.coefficient, ((other.core, 1),)),),
                         (_ALWAYS,))]

  def ways(self, n: int) -> list[Way]:
    """Ways to compute a core that save images."""
    if not self._looks:
      return self._ways.get(n, [])
    return self._once(self._ways, n, self._new_ways)

  def finds(self, n: int) -> bool:
    """Whether there is another way for a number, in a ring or not."""
    return n in self._cores and bool(self.ways(n) or self.collected(n))

  def collected(self, n: int) -> Terms | None:
    """A sum with images in it, their common factors collected; None if there
    is nothing to collect."""
    if not self._looks:
      return None
    return self._once(self._collected, n, self._new_collected)

  def _once(self, known, n, compute):
    if n not in known:
      count = len(self._cores)
      known[n] = compute(n, self._cores[n])
      self._find_places(len(self._cores) - count)
    return known[n]

  def _new_ways(self, n, core):
    ways: list[Way] = []
    if type(core) is Sum:
      ways = list(self._of_sum(n, core))
      for m in () if ways else self._partial_sums(core):
        self._ways.setdefault(m, [])   # no two of its terms collapse
    return ways

  def _new_collected(self, n, core):
    if type(core) is not Sum or not self._has_image(n):
      return None
    terms = self._as_terms(core)
    if not self._has_kin(terms):
      return None
    is_image = lambda m: type(self._cores[m]) is Image
    multiple = self._collecting.multiple(core.domain, terms, is_image)
    if multiple:
      (_, product), = multiple
      self.coefficients.update(m for m, _ in product if not is_image(m))
      return multiple
    shorter = self._collecting.collected(core.domain, terms)
    for m in () if shorter else self._partial_sums(core):
      self._collected.setdefault(m, None)   # a long sum is looked at once
    return shorter

  def _has_kin(self, terms) -> bool:
    """Whether images that are dearer than moved elements may become one in a
    sum. Elsewhere to collect its terms gains nothing, and took a third of the
    time to rebuild code that was printed by sympy."""
    seen: set[tuple] = set()
    for n in frozenset().union(*map(self._collecting.leaves, terms)):
      core = self._cores[n]
      if isinstance(core, Image) and not core.map.is_index_map:
        own = set(views(core))
        if not seen.isdisjoint(own):
          return True
        seen |= own
    return False

  def _partial_sums(self, core) -> Iterator[int]:
    todo, seen = [core], set()
    while todo:
      for _, m in todo.pop().parts:
        if type(self._cores[m]) is Sum and m not in seen:
          seen.add(m)
          todo.append(self._cores[m])
          yield m

  def place(self, n: int) -> tuple[int, int, bool]:
    """The key that sorts a core into reverse topological order: its number,
    except that cores made here rank just after their parts."""
    number, depth = self._places.get(n, (n, 0))
    return -number, -depth, type(self._cores.get(n)) is not Sum

  def _find_places(self, count):
    """Places for the cores that were made last."""
    for n in reversed(list(islice(reversed(self._cores), count))):
      if n not in self._places:
        core = self._cores[n]
        below = [m for _, m in core.parts]
        if type(core) is Image:
          below += core.map.fixed.values()
        number, depth = max((self._places.get(m, (m, 0)) for m in below),
                            default=(n, 0))
        self._places[n] = number, depth + 1

  # Sums of images.

  def _of_sum(self, n: int, core: Sum) -> Iterator[Way]:
    """As it is, and with the common factors of its terms collected."""
    for terms in (self._as_terms(core), self.collected(n)):
      way = terms and self._of_terms(terms)
      if way:
        yield way

  def _of_terms(self, terms: Terms) -> Way | None:
    groups: dict[tuple, list[_Member]] = {}
    for place, (c, term) in enumerate(terms):
      for cofactor, factor in self._collapsing(term):
        for key in self._views(factor):
          groups.setdefault((key, cofactor), []).append(
              _Member(c, place, factor))
    left, collapsed = dict(enumerate(terms)), []
    saved: list[Saved] = []
    spent: dict[int, int] = {}
    for (key, cofactor), members in sorted(
        groups.items(), key=lambda item: -len(item[1])):
      members = [m for m in members if m.term in left]
      if len({m.factor for m in members}) < 2:
        continue
      if key is None:
        c, n = self._sum_of_factors(members)
        ways = self.ways(n)
        if not ways:
          continue
        saved += ways[0].saved
        spent[n] = ways[0].spent
      else:
        c, n = self._image_of_sum(key[0], members)
        map_ = self._image(members[0].factor).map
        saved += [Saved(m.factor, map_.cost) for m in members]
        spent[n] = map_.cost
      for m in members:
        left.pop(m.term, None)
      if c:
        collapsed.append((c, times(cofactor, monomial(self._cores, n))))
    if not saved:
      return None
    return Way((*collapsed, *left.values()), tuple(saved),
               sum(spent.values()))

  def _as_terms(self, core) -> Terms:
    return [(c, monomial(self._cores, n))
            for n, c in self._flat(core.terms).items()]

  def _flat(self, terms):
    """The terms of a sum, those of sums of many terms among them included."""
    flat: dict[int, Coefficient] = {}
    todo = list(terms.items())
    while todo and len(flat) < _MAX_TERMS:
      n, c = todo.pop()
      core = self._cores[n]
      if type(core) is Sum:
        todo += [(m, c * k) for m, k in core.terms.items()]
      else:
        flat[n] = flat.get(n, 0) + c
    for n, c in todo:
      flat[n] = flat.get(n, 0) + c
    return {n: c for n, c in sorted(flat.items()) if c}

  def _collapsing(self, term: Monomial) -> Iterator[tuple[Monomial, int]]:
    """The factors of a term that are images, or sums with images in them, each
    with its cofactor."""
    alone = len(term) == 1 and term[0][1] == 1
    powers = factors(self._cores, term[0][0]) if alone else term
    for factor, e in powers:
      if e == 1 and self._has_image(factor) and (
          len(powers) > 1 or type(self._cores[factor]) is Image):
        yield tuple((m, k) for m, k in powers if m != factor), factor

  def _has_image(self, n) -> bool:
    def below(n):
      core = self._cores[n]
      return ([m for _, m in core.parts]
              if type(core) in (Sum, Product) else [])
    for m in bottom_up(n, self._with_image, below):
      self._with_image[m] = type(self._cores[m]) is Image or any(
          self._with_image[k] for k in below(m))
    return self._with_image[n]

  def _views(self, factor) -> Iterator[tuple | None]:
    """Which operands an image is linear in, the others being fixed; None for a
    sum."""
    core = self._cores[factor]
    if not isinstance(core, Image):
      yield None
    else:
      yield from views(core)

  def _image(self, n: int) -> Image:
    core = self._cores[n]
    assert isinstance(core, Image)
    return core

  def _sum_of_factors(self, members) -> Element:
    total = self._ring.constant(0, self._cores[members[0].factor].domain)
    for c, _, n in members:
      total = self._ring.add(total, Element(c, n))
    return total

  def _image_of_sum(self, view, members) -> Element:
    ring, (start, stop) = self._ring, view
    first = self._image(members[0].factor)
    parts = list(first.parts)
    for i in range(start, stop):
      total = ring.constant(0, self._cores[parts[i].core].domain)
      for c, _, n in members:
        total = ring.add(total, ring.scale(self._cores[n].parts[i], c))
      parts[i] = total
    return ring.image_apart(first.map, parts)
