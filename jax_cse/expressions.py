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


class Expressions:
  """Keys to numbers, and back.

  Attributes:
    known: key to params and numbers of the results. Whoever makes keys of
      params decides what else must agree for a key to be the same.
  """

  def __init__(self, fresh: Callable[[], int],
               agree: Callable[[Any, Any], bool] = operator.is_):
    """`agree` tells whether params under one key are the same."""
    self.leaf = fresh
    self._agree = agree
    self.known: dict[tuple, tuple[Any, tuple[int, ...]]] = {}
    # The key of what a number is a result of, which result, and how many parts
    # stand in the key, from the third place on.
    self._nodes: dict[int, tuple[tuple, int, int]] = {}

  def clear(self) -> None:
    self.known.clear()
    self._nodes.clear()

  def of(self, operation: Any, parts: Sequence[int]) -> int:
    """The number of an expression with one result."""
    key = (operation, None, *parts)
    found = self.known.get(key)
    return (found or self.enter(key, len(parts), 1))[1][0]

  def enter(self, key: tuple, arity: int, count: int, params: Any = None
            ) -> tuple[Any, tuple[int, ...]]:
    """Numbers an expression with `count` results that is not known."""
    if count == 1:  # nearly always, and for every equation that is traced
      number = self.leaf()
      numbers = (number,)
      self._nodes[number] = key, 0, arity
    else:
      numbers = tuple([self.leaf() for _ in range(count)])
      for i, n in enumerate(numbers):
        self._nodes[n] = key, i, arity
    entry = self.known[key] = (params, numbers)
    return entry

  def parts(self, number: int) -> tuple[int, ...]:
    """The numbers that an expression is made of; none for a leaf."""
    node = self._nodes.get(number)
    return () if node is None else node[0][2:2 + node[2]]

  def operation(self, number: int) -> tuple[tuple, tuple[int, ...], Any] | None:
    """What goes before the parts of an expression, its parts, its params."""
    node = self._nodes.get(number)
    if node is None:
      return None
    key, _, arity = node
    return key[:2], key[2:2 + arity], self.known[key][0]

  def reach(self, numbers: Iterable[int], after: int) -> list[int]:
    """What `numbers` are made of, themselves included, in order of first use.

    Only numbers from `after` on are looked at; what is older cannot be made of
    what is newer.
    """
    todo, found = list(reversed(list(numbers))), {}
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
      if n in new or n not in self._nodes:
        continue
      key, index, arity = self._nodes[n]
      parts = key[2:2 + arity]
      changed = tuple(new.get(p, p) for p in parts)
      if changed != parts:
        params, results = self.known[key]
        key = key[:2] + changed + key[2 + arity:]
        found = self.known.get(key) or self.enter(
            key, arity, len(results), params)
        if found[0] is params or self._agree(params, found[0]):
          new[n] = found[1][index]
        else:
          new[n] = self.leaf()
    return [new.get(n, n) for n in numbers]
