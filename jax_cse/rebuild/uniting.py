"""Uniting: of two calls, one of which gives all results of the other, the one.

    y, = scan(f); y, dy = scan(df)       becomes      y, dy = scan(df)

The derivative of a loop has the loop in it, so of the loops of all orders that
of the highest is enough, if it is needed. Its operands were numbered after the
results of the others, and must not be made of them.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any


class Uniting:
  """Calls that others contain.

  Attributes:
    calls: by number, the call that gives it.
  """

  def __init__(self, calls: dict[int, Any]):
    self.calls = calls
    self._pairs: list[tuple[Any, Any]] = []
    self._before: list[tuple[int, Any]] = []

  def note(self, call) -> None:
    """Looks at a new call, whose results may be those of others as well."""
    results = set(call.results)
    others = {id(c): c for n in call.results
              if (c := self.calls.get(n)) is not None and c is not call}
    self._pairs += [(c, call) for c in others.values()
                    if c.primitive is call.primitive
                    and results.issuperset(c.results)]

  def unite(self, beneath: Callable[[Iterable[int]], set[int]],
            wanted: Sequence[int]) -> None:
    """Has calls that are contained in others, which are needed, go by those.

    Args:
      beneath: all that numbers are computed from, as it is now.
      wanted: the numbers that are wanted.
    """
    self._before = []
    if not self._pairs:
      return
    needed = beneath(wanted)
    gone: set[int] = set()
    for call, other in reversed(self._pairs):   # the largest first
      extra = set(other.results).difference(call.results)
      if id(call) in gone or needed.isdisjoint(call.results) or (
          needed.isdisjoint(extra)):
        continue
      if beneath(x.number for x in other.operands).isdisjoint(call.results):
        gone.add(id(call))
        self._before += [(n, self.calls[n]) for n in call.results
                         if n in self.calls]
        self.calls.update((n, other) for n in call.results)

  def undo(self) -> None:
    """Has each call computed by itself again, now and later."""
    self.calls.update(reversed(self._before))
    self._before, self._pairs = [], []
