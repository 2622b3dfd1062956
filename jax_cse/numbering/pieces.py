"""Elements of arrays that are known: whole numbers, mostly zeros and ones.

The tangent of a `stack` along one of its operands is a stack of zeros beside a
one. JAX multiplies by it, so a mixed derivative by n numbers has 2**n products
of which all but few are zeros. They are found by what is known of each array,
element by element:

    stack(0, 1, 0) * x                   [0, ?, 0]
    slice([0, ?, 0], 0:1) * y            [0]: zeros

An array of which all elements are one known number is a constant of the ring.
0 times a number is 0 here, as everywhere in a ring.

Limits: arrays of real numbers of at least 32 bits, with up to `_MAX_SIZE`
elements; whole numbers up to `_MAX_NUMBER`.
"""

import math
import weakref

import numpy as np

from jax_cse import compat
from jax_cse.primitives import known_elements
from jax_cse.ring.cores import (
    Element, Factor, One, Power, Product, Sum, bottom_up)

_MAX_SIZE = 1 << 12
_MAX_NUMBER = 1 << 20
_MIN_BYTES = 4


class Pieces:
  """What is known of the elements of the cores of a ring."""

  def __init__(self, algebra):
    self._algebra = weakref.proxy(algebra)   # see `Algebra`
    # None where nothing is known, as nearly everywhere.
    self._known: dict[int, np.ndarray | None] = {}

  def constant(self, element: Element) -> int | None:
    """The number that all elements of an array are, if there is one."""
    known = self.of(element)
    if known is None or not known.size:
      return None
    first = known.flat[0]
    return int(first) if (known == first).all() else None

  def knows_part(self, number: int) -> bool:
    """Whether some elements of the value that has a number are known."""
    element = self._algebra.find(number)
    return (element.core in self._algebra.ring.cores
            and self.of(element) is not None)

  def of(self, element: Element) -> np.ndarray | None:
    """The elements of an element, NaN for those that are not known."""
    c, number = element
    for n in bottom_up(number, self._known, self._below):
      self._known[n] = _usable(self._compute(n))
    known = self._known[number]
    if known is None or c == 1:
      return known
    return _usable(known * float(c))

  def _below(self, number):
    return [n for _, n in self._parts(number)]

  def _parts(self, number):
    core = self._algebra.ring.cores[number]
    if core.parts:
      return core.parts
    applied = self._algebra.application(number)
    return () if applied is None else applied[1]

  def _compute(self, number):
    core = self._algebra.ring.cores[number]
    if type(core) is One:
      return np.ones(())
    if core.size > _MAX_SIZE or compat.is_complex(core.domain) or (
        core.domain.itemsize < _MIN_BYTES):
      return None
    found = list(map(self.of, self._parts(number)))
    if all(x is None for x in found):
      return None
    known = [np.asarray(math.nan) if x is None else x for x in found]
    if type(core) is Sum:
      return sum(known)
    if type(core) is Product:
      return known_elements.product(*known)
    if type(core) is Power:
      return known[0]**core.exponent
    if type(core) is Factor:
      return known[0]
    applied = self._algebra.application(number)
    return None if applied is None else self._of_map(applied[0], known)

  def _of_map(self, map_, known):
    shapes = map_.operand_shapes
    if max(map(math.prod, shapes)) > _MAX_SIZE:
      return None
    known = [np.broadcast_to(x, shape) for x, shape in zip(known, shapes)]
    rule = known_elements.RULES.get(map_.primitive)
    if rule is not None:
      return rule(map_.params, *known)
    at_indices = known_elements.AT_INDICES.get(map_.primitive)
    start = None if at_indices is None else self._indices(map_)
    return (None if at_indices is None or start is None
            else at_indices(start, map_.params, *known))

  def _indices(self, map_) -> list[int] | None:
    """The fixed operands of a map, which are indices, one after the other;
    None if they are not known."""
    indices: list[int] = []
    for i, n in map_.fixed.items():
      aval = map_.avals[i]
      if not aval.shape:
        known = [self._algebra.maps.integer(n)]
      else:
        found = (self.of(self._algebra.element(n, aval))
                 if len(aval.shape) == 1 else None)
        known = [None] if found is None else [
            None if math.isnan(x) else int(x)
            for x in np.broadcast_to(found, aval.shape)]
      if None in known:
        return None
      indices += known
    return indices


def _usable(known):
  """What is known in small whole numbers; None if nothing is."""
  if known is None:
    return None
  known = np.where((np.abs(known) <= _MAX_NUMBER) & (known == np.rint(known)),
                   known, math.nan)
  return None if np.isnan(known).all() else known
