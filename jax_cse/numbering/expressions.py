"""Hash-consing: an expression that was seen before has the number it had.

An expression is a key and the numbers in it:

    (operation, context, number, number, ..., params)

and has a number for each of its results, so an expression over expressions is
flat, and two are equal if and only if their numbers are. Nothing has to be
computed to have a number: the body of a call is numbered without running it.

    e = Expressions(itertools.count().__next__)
    x, y = e.leaf(), e.leaf()
    e.of("add", (x, y)) == e.of("add", (x, y))
    e.substitute([e.of("sin", (x,))], {x: y}) == [e.of("sin", (y,))]

Numbers of parts are smaller than the number of the whole, which is the order in
which `substitute` goes, without recursion.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
import operator
from typing import Any


# The params of an expression, the numbers of its results, its key, and the
# number of parts in the key, from the third place on. One tuple, and no class:
# there is one for each equation, which the garbage collector walks.
Entry = tuple[Any, tuple[int, ...], tuple, int]


class Expressions:
  """Keys to numbers, and back.

  Attributes:
    known: key to params, numbers of the results and more. Whoever makes keys
      of params decides whether more than the key must agree.
  """

  def __init__(self, fresh: Callable[[], int],
               agree: Callable[[Any, Any], bool] = operator.is_):
    """`agree` tells whether params under one key are the same."""
    self.leaf = fresh
    self._agree = agree
    self.known: dict[tuple, Entry] = {}
    # By the number of a result.
    self._entries: dict[int, Entry] = {}

  def clear(self) -> None:
    self.known.clear()
    self._entries.clear()

  def of(self, operation: Any, parts: Sequence[int]) -> int:
    """The number of an expression with one result."""
    key = (operation, None, *parts)
    found = self.known.get(key)
    return (self.enter(key, len(parts), 1) if found is None else found[1])[0]

  def enter(self, key: tuple, arity: int, count: int, params: Any = None
            ) -> tuple[int, ...]:
    """Numbers the results of an expression that is not known."""
    if count == 1:  # nearly always, and for every equation that is traced
      number = self.leaf()
      entry: Entry = params, (number,), key, arity
      self._entries[number] = entry
    else:
      numbers = tuple([self.leaf() for _ in range(count)])
      entry = params, numbers, key, arity
      for n in numbers:
        self._entries[n] = entry
    self.known[key] = entry
    return entry[1]

  def parts(self, number: int) -> tuple[int, ...]:
    """The numbers that an expression is made of; none for a leaf."""
    entry = self._entries.get(number)
    return () if entry is None else entry[2][2:2 + entry[3]]

  def operation(self, number: int) -> tuple[tuple, tuple[int, ...], Any] | None:
    """The operation and context of an expression, its parts, its params."""
    entry = self._entries.get(number)
    if entry is None:
      return None
    params, _, key, arity = entry
    return key[:2], key[2:2 + arity], params

  def reach(self, numbers: Iterable[int], after: int) -> list[int]:
    """`numbers` and all that they are made of, in order of first use.

    Only numbers from `after` on are looked at: an older number is never made of
    a newer one.
    """
    todo = list(reversed(list(numbers)))
    found: dict[int, None] = {}
    while todo:
      n = todo.pop()
      if n >= after and n not in found:
        found[n] = None
        todo.extend(reversed(self.parts(n)))
    return list(found)

  def substitute(self, numbers: Sequence[int], by: Mapping[int, int]
                 ) -> list[int]:
    """The numbers of the same expressions with other leaves."""
    if not by:
      return list(numbers)
    new = dict(by)
    for n in sorted(self.reach(numbers, min(by))):
      if n in new or n not in self._entries:
        continue
      params, results, key, arity = self._entries[n]
      parts = key[2:2 + arity]
      changed = tuple([new.get(p, p) for p in parts])
      if changed != parts:
        index = results.index(n)
        key = key[:2] + changed + key[2 + arity:]
        found = self.known.get(key)
        if found is None:
          new[n] = self.enter(key, arity, len(results), params)[index]
        elif found[0] is params or self._agree(params, found[0]):
          new[n] = found[1][index]
        else:
          new[n] = self.leaf()
    return [new.get(n, n) for n in numbers]
