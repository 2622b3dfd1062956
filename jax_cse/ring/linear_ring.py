"""A ring with linear maps: the image of elements is an element.

    r.image(L, [r.add(x, y)]) == r.add(r.image(L, [x]), r.image(L, [y]))

Like sums and products, images are equal if and only if their values at a random
point are (see `points`). So any sum of images is the image of the sum, and an
index map of a product is the product of its images of the factors.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, TypeGuard

from jax_cse.ring.coefficients import Coefficient, over, simple
from jax_cse.ring.cores import Core, Element, Image, LinearMap, One, Sum
from jax_cse.ring.points import Points
from jax_cse.ring.ring import Ring, random_point


def views(core: Image) -> Iterator[tuple]:
  """Which operands an image is linear in, the others being fixed. Images that
  have one in common can be one of a sum."""
  start = 0
  for count in core.map.groups:
    yield ((start, start + count), core.map.number,
           core.parts[:start], core.parts[start + count:])
    start += count


class LinearRing(Ring):
  """Elements over atoms and over images of elements.

  Attributes:
    may_collapse: whether an image may be saved: if two are of one linear map.
    sums_axes: whether there is a sum over an axis.
  """

  def __init__(self, of: Callable[[Any, tuple[int, ...]], int],
               is_exact: Callable[[Any], bool] = lambda domain: False,
               is_complex: Callable[[Any], bool] = lambda domain: False):
    """`is_complex` says which domains are of complex numbers."""
    super().__init__(of, True, is_exact)
    self.may_collapse = False
    self.sums_axes = False
    self._views: set[tuple] = set()
    # No method of this, which would make a cycle.
    self._points = Points(self.cores, partial(random_point, self._random),
                          is_complex)

  def image(self, map_: LinearMap, parts: Sequence[Element]) -> Element:
    """The image of elements, one for each operand of the map."""
    c, parts = self._without_coefficients(map_, parts)
    if not c:
      return self.constant(0, map_.domain)
    map_ = self._smaller(map_, parts)
    n = parts[0].core
    if map_.is_index_map and not self.cores[n].shape:
      return Element(c, n)   # the same, wherever it is
    core = self.cores[n]
    if map_.is_index_map and self._is_short_sum(core):
      total = self.constant(0, map_.domain)
      for m, b in core.terms.items():
        moved = (Element(1, m) if type(self.cores[m]) is One
                 else self.image(map_, [Element(1, m)]))
        total = self.add(total, self.scale(moved, b))
      return self.scale(total, c)
    if map_.is_index_map and type(core) is Image and (
        read := core.map.read_by(map_)):
      b, m = core.parts[read[0]]
      if not self.cores[m].shape:
        return Element(simple(c * b), m)   # an operand, wherever it is
    at_point = self._points.of_image(map_, parts)
    found = self._find(map_.domain, at_point)
    if found is None:
      found = self._new_image(map_, parts, at_point)
    return Element(simple(c * found.coefficient), found.core)

  def _is_short_sum(self, core: Core) -> TypeGuard[Sum]:
    """Whether a core is like 1 - y, so that its image is 1 minus that of y."""
    return type(core) is Sum and len(core.terms) == 2 and any(
        type(self.cores[m]) is One for m in core.terms)

  def _smaller(self, map_, parts):
    """The map for operands, if some are the same all along an axis."""
    shapes = [self.cores[n].shape for _, n in parts]
    if all(have == wanted or not have
           for have, wanted in zip(shapes, map_.operand_shapes)):
      return map_
    for axis, length in enumerate(map_.shape):
      inner = map_.through(axis) if length != 1 else None
      if inner is not None and all(
          k is None or not shapes[i] or shapes[i][k] == 1
          for i, k in inner[1].items()):
        map_, _ = inner
    return map_

  def _without_coefficients(self, map_, parts):
    """The coefficient of an image (0 for zeros), and operands without it."""
    factor: Coefficient = 1
    rest: list[Element] = []
    parts = iter(parts)
    for count in map_.groups:
      group = [next(parts) for _ in range(count)]
      c = next((x.coefficient for x in group if x.coefficient), 0)
      if len(group) > 1 and c:
        c = 1 if c > 0 else -1
      factor *= c
      rest += group if abs(c) == c == 1 or not c else [
          Element(over(x.coefficient, c), x.core) for x in group]
    return factor, rest

  def _new_image(self, map_, parts, at_point) -> Element:
    """An image that is known by its value, or by none."""
    number = self._of(
        ("image", map_.number, *(x.coefficient for x in parts)),
        tuple(x.core for x in parts))
    if number not in self.cores:
      core = Image(map_.domain, map_.shape,
                   self._point() if at_point is None else at_point, 1,
                   tuple(parts))
      core.map = map_
      self._note_views(core)
      self.cores[number] = core
    if at_point is not None:
      self._enter(number, self.cores[number])
    return Element(1, number)

  def _note_views(self, core: Image) -> None:
    self.sums_axes = self.sums_axes or bool(core.map.sums)
    if not self.may_collapse:
      new = set(views(core))
      self.may_collapse = not new.isdisjoint(self._views)
      self._views |= new

  def image_apart(self, map_: LinearMap, parts: Sequence[Element]) -> Element:
    """The image of just these elements, even if it is known as another core:
    another way to compute that."""
    c, parts = self._without_coefficients(map_, parts)
    if not c:
      return self.constant(0, map_.domain)
    number = self._new_image(self._smaller(map_, parts), parts, None).core
    return Element(c, number)
