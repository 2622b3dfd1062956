"""The values of cores at random positions.

An array stands for a vector of `_POSITIONS` elements of a field, all of them
random, and a scalar for one that is the same everywhere. (A complex scalar is a
vector to a map that is linear over the real numbers only: conj(x)*y is not
x*conj(y).) Sums and products are
taken position by position; a linear map is a random matrix, a bilinear one a
random tensor, so L(x + y) and L(x) + L(y) have the same value, whatever L, x
and y are made of. An index map reads its operand at positions of its own, so
products go through it as well. A slice of a stack reads the one operand that it
is of, and an index map that undoes another reads what is under that.

An element is known by its value at position 0; the others are computed when a
map asks for them.

Limits: an identity that holds only for vectors of a certain length would be
believed, as that a determinant of more than `_POSITIONS` inner products is 0;
written out, it has more than 5,000 terms.
"""

from collections.abc import (
    Callable, Hashable, Mapping, Sequence)
import math
from typing import Any

from jax_cse.ring.coefficients import P, in_field
from jax_cse.ring.cores import (
    Core, Element, Image, LinearMap, One, Power, Product, Sum, bottom_up)

_POSITIONS = 6

Position = Hashable


class Points:
  """Values at positions, each computed once."""

  def __init__(self, cores: Mapping[int, Core], random: Callable[[], int],
               is_complex: Callable[[Any], bool] = lambda domain: False):
    """`random()` gives an element of the field; `is_complex` says which domains
    are of complex numbers."""
    self._cores = cores
    self._is_complex = is_complex
    self._random = random
    self._values: dict[tuple[int, Position], int] = {}
    self._rows: dict[tuple[int, Position], list[int]] = {}
    self._maps: dict[int, LinearMap] = {}   # index maps, in positions

  def of_image(self, map_: LinearMap, parts: Sequence[Element],
               position: Position = 0) -> int:
    """The value of the image of elements."""
    for pair in self._under(map_, parts, position):
      for n, p in bottom_up(pair, self._values, self._below):
        self._values[n, p] = self._compute(n, p)
    return self._of_image(map_, parts, position)

  def _position(self, number, position) -> Position:
    """Where a value is looked at; 0 where it is the same everywhere."""
    core = self._cores[number]
    if core.shape and type(core) is not One:
      return position
    if type(core) is One or not self._is_complex(core.domain):
      return 0
    while type(position) is tuple:   # the same, wherever it is
      position = position[1]
    return position

  def _known(self, number, position) -> int:
    position = self._position(number, position)
    return (self._values[number, position] if position
            else self._cores[number].at_point)

  def _unknown(self, numbers, positions) -> list[tuple[int, Position]]:
    return [(n, at) for n in numbers for p in positions
            if (at := self._position(n, p))]

  def _below(self, pair) -> list[tuple[int, Position]]:
    number, position = pair
    core = self._cores[number]
    if type(core) is Image:
      return self._under(core.map, core.parts, position)
    return self._unknown(core.children, [position])

  def _under(self, map_, parts, position) -> list[tuple[int, Position]]:
    read = self._read(map_, position)
    if read is not None:
      i, position = read
      parts = [parts[i]]
    positions: Sequence[Position] = (
        range(1, _POSITIONS) if read is None else [position])
    return self._unknown((n for _, n in parts), positions)

  def _read(self, map_, position) -> tuple[int, Position] | None:
    """The operand that is read at a position of an image, and where; None if it
    is more than one element of one operand."""
    outer, rest = position if type(position) is tuple else (None, position)
    found = map_.read_by(self._maps[outer]) if outer in self._maps else None
    if found is None:
      return (0, self._through(map_, position)) if map_.is_index_map else None
    i, inner = found
    return i, rest if inner is None else self._through(inner, rest)

  def _through(self, map_, position) -> Position:
    """Where the operand of an index map is read for a position of the result.

    Of maps that keep the order one after the other only the first and the last
    shape count, unless an operand is repeated in between: it has length 1 along
    an axis all along which it is the same.
    """
    if not map_.keeps_order:
      self._maps[map_.number] = map_
      return map_.number, position
    before, after = map_.operand_shapes[0], map_.shape
    if type(position) is tuple and type(position[0]) is tuple and (
        position[0][0] == after):
      (_, after), position = position
    return position if before == after else ((before, after), position)

  def _compute(self, number, position):
    core, at = self._cores[number], self._known
    if type(core) is Sum:
      return sum(in_field(c) * at(n, position)
                 for n, c in core.terms.items()) % P
    if type(core) is Product:
      return math.prod(at(n, position) for _, n in core.parts) % P
    if type(core) is Power:
      return pow(at(core.parts[0].core, position), core.exponent, P)
    if type(core) is Image:
      return self._of_image(core.map, core.parts, position)
    return self._random()

  def _of_image(self, map_, parts, position):
    read = self._read(map_, position)
    if read is not None:
      i, position = read
      c, n = parts[i]
      return in_field(c) * self._known(n, position) % P
    parts, vector = iter(parts), [1]
    for count in map_.groups:
      group = [in_field(c) * self._known(n, k) % P
               for c, n in (next(parts) for _ in range(count))
               for k in range(_POSITIONS)]
      vector = [x * y % P for x in vector for y in group]
    row = self._rows.get((map_.number, position))
    if row is None:
      row = self._rows[map_.number, position] = [
          self._random() for _ in vector]
    return sum(x * y for x, y in zip(row, vector)) % P
