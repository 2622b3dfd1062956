"""Hash-consing: an expression that was seen before has the number it had.

An expression is a key and the numbers in it:

    (operation, context, number, number, ..., params)

and has a number for each of its results, so an expression over expressions is
flat, and two are equal if and only if their numbers are. Nothing has to be
computed to have a number: the body of a call is numbered without running it.

    e = Expressions(itertools.count().__next__)
    x, y = e.leaf(), e.leaf()
    e.of("add", (x, y)) == e.of("add", (x, y))
    e.imported(e, [e.of("sin", (x,))], {x: y}) == [e.of("sin", (y,))]

Numbers of parts are smaller than the number of the whole, which is the order in
which `imported` goes, without recursion.
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
    commuting: expressions whose two parts may be swapped, and stand in order.
    leaves: the numbers of leaves.
  """

  def __init__(self, fresh: Callable[[], int],
               agree: Callable[[Any, Any], bool] = operator.is_):
    """`agree` tells whether params under one key are the same."""
    self._fresh = fresh
    self._agree = agree
    self.known: dict[tuple, Entry] = {}
    self.commuting: set[int] = set()
    self.leaves: set[int] = set()
    # By the number of a result.
    self._entries: dict[int, Entry] = {}

  def leaf(self) -> int:
    """The number of a new value, of which nothing is known."""
    number = self._fresh()
    self.leaves.add(number)
    return number

  def of(self, operation: Any, parts: Sequence[int], *params: Any) -> int:
    """The number of an expression with one result."""
    key = (operation, None, *parts, *params)
    found = self.known.get(key)
    return (self.enter(key, len(parts), 1) if found is None else found[1])[0]

  def enter(self, key: tuple, arity: int, count: int, params: Any = None
            ) -> tuple[int, ...]:
    """Numbers the results of an expression that is not known."""
    if count == 1:  # nearly always, and for every equation that is traced
      number = self._fresh()
      entry: Entry = params, (number,), key, arity
      self._entries[number] = entry
    else:
      numbers = tuple([self._fresh() for _ in range(count)])
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

  def kind(self, number: int) -> tuple:
    """All of an expression except its parts; of a leaf, the leaf."""
    entry = self._entries.get(number)
    if entry is None:
      return (number,)
    _, results, key, arity = entry
    return results.index(number), key[:2], key[2 + arity:]

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

  def imported(self, source: "Expressions", numbers: Sequence[int],
               by: Mapping[int, int]) -> list[int]:
    """The numbers here of expressions of `source` on other leaves.

    Args:
      source: where the expressions are known; may be this.
      numbers: of the expressions.
      by: what stands for which leaf; a new leaf for each of the others.
    """
    values = dict(by)
    for n in source.below(numbers, values.__contains__):
      entry = source._entries.get(n)
      if entry is not None:
        values[n] = self._with_parts(
            entry, entry[1].index(n), n in source.commuting,
            [values[p] for p in source.parts(n)])
      else:   # a constant is the same everywhere
        values[n] = self.leaf() if n in source.leaves else n
    return [values[n] for n in numbers]

  def below(self, numbers: Iterable[int], is_known: Callable[[int], bool]
            ) -> list[int]:
    """`numbers` and all that they are made of, as far as it is not known; parts
    first."""
    todo, found = list(numbers), set()
    while todo:
      n = todo.pop()
      if n not in found and not is_known(n):
        found.add(n)
        todo.extend(self.parts(n))
    return sorted(found)

  def closed(self, number: int, cores: tuple) -> int:
    """A number for the operation of an expression on cores (see `closing`)."""
    params, results, key, arity = self._entries[number]
    return self._found((("closed", results.index(number), key[:2], cores), None,
                        *key[2 + arity:]), 0, 1, params)[0]

  def _with_parts(self, entry, index, commutes, parts) -> int:
    params, results, key, arity = entry
    if commutes:
      parts = sorted(parts)
    key = (*key[:2], *parts, *key[2 + arity:])
    commutes = commutes and key not in self.known
    number = self._found(key, arity, len(results), params)[index]
    if commutes:
      self.commuting.add(number)
    return number

  def _found(self, key, arity, count, params) -> Sequence[int]:
    """The numbers of the results under a key, entered if it is not known; new
    leaves if what is known under it has other params."""
    found = self.known.get(key)
    if found is None:
      return self.enter(key, arity, count, params)
    if found[0] is params or self._agree(params, found[0]):
      return found[1]
    return [self.leaf() for _ in range(count)]
