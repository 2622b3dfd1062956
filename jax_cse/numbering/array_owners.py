"""Concrete arrays: their numbers, who holds them, and who else may.

A concrete array is known by its id, for as long as it lives:

- one that the eager table holds cannot go, so its id is its own: the entry is
  `(number, array)`;
- any other may go at any time, and its id be used again: the entry is a weak
  reference with the number, which takes itself out.

An eager operation sees a new array every few microseconds, so an entry is one
object and no class stands around it.

An owner of an array may donate or delete it. `shared` are the arrays that were
handed out again where nobody could tell, deep inside nested transformations. A
copy has the number of its original and a buffer of its own.
"""

from collections.abc import Callable
from typing import Any
import weakref

from jax_cse import compat


class _Seen(weakref.ref):
  """A weak reference to an array, with its number."""
  __slots__ = ("id", "number")
  id: int
  number: int


class Arrays:
  """Numbers of concrete arrays by id.

  Attributes:
    known: id to `(number, array)` of a held array, or to a weak reference.
    shared: ids of known arrays that may have several owners.
  """

  def __init__(self, fresh: Callable[[], int]):
    self._fresh = fresh
    self.known: dict[int, Any] = {}
    self.shared: set[int] = set()
    known, shared = self.known, self.shared

    def forget(seen: _Seen):
      if known.get(seen.id) is seen:
        del known[seen.id]
        shared.discard(seen.id)

    self._forget = forget

  def clear(self) -> None:
    self.known.clear()
    self.shared.clear()

  def number(self, x) -> int | None:
    """The number of an array that is known, or None."""
    entry = self.known.get(id(x))
    if type(entry) is tuple:
      return entry[0]
    return entry.number if entry is not None and entry() is x else None

  def see(self, x, number: int) -> int:
    """Gives an array that somebody else holds its number."""
    seen = _Seen(x, self._forget)
    seen.id = id(x)
    seen.number = number
    self.known[seen.id] = seen   # last, lest an interrupt leave half of it
    return number

  def hold(self, x) -> None:
    """Gives an array that was just computed a number, and holds it."""
    self.known[id(x)] = (self._fresh(), x)

  def release(self, x) -> None:
    """Holds `x` no longer; it stays known if somebody else holds it."""
    entry = self.known.get(id(x))
    if type(entry) is tuple:
      self.see(x, entry[0])

  def copy(self, x):
    """A copy of a known array: the same number, an owner of its own."""
    duplicate, number = compat.copy_array(x), self.number(x)
    assert number is not None   # which an array that is known has
    self.see(duplicate, number)
    return duplicate

  def is_known(self, x: Any) -> bool:
    """Whether `x` is an array with a number, and not deleted."""
    return (type(x) is compat.ArrayImpl and self.number(x) is not None
            and not x.is_deleted())

  def own(self, values) -> list:
    """`values`, with copies of the arrays that are known."""
    return [self.copy(x) if self.is_known(x) else x for x in values]

  def own_shared(self, values) -> list:
    """`values`, with copies of the arrays that may have several owners."""
    return [self.copy(x) if id(x) in self.shared and self.is_known(x) else x
            for x in values]

  def find(self, key: int, number: int):
    """The array with this id and number, or None if it is gone."""
    entry = self.known.get(key)
    if type(entry) is tuple:
      x = entry[1] if entry[0] == number else None
    else:
      x = entry() if entry is not None and entry.number == number else None
    return None if x is None or x.is_deleted() else x
