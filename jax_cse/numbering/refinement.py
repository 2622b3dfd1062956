"""Refinement: the coarsest classes of carries that a step keeps together.

Each carry starts in the class of those that start equal. In the step it is a
leaf, and its value after the step is an expression over leaves:

    a -> f(b), b -> f(c), c -> c, all start equal:        one class
    a -> f(b), b -> f(c), c -> g(c), all start equal:     three

An expression has the class of its operation on the classes of its parts. Where
leaves leave their class only the expressions that they are in are looked at
again. The largest part of a class keeps its name, so that happens to each at
most as often as the number of carries can be halved.

Source: Hopcroft 1971, An n log n algorithm for minimizing states in a finite
automaton; Alpern, Wegman and Zadeck 1988, for values in programs.

Limits: two expressions that are not built alike are never in one class.
"""

from collections import defaultdict
from collections.abc import Sequence
import heapq
import itertools

from jax_cse.numbering.expressions import Expressions


def coarsest(expressions: Expressions, starts: Sequence[int],
             leaves: Sequence[int], steps: Sequence[int],
             fixed: Sequence[int] = ()) -> list[int]:
  """The classes of carries, and of `fixed` after them.

  Args:
    expressions: what the steps are expressions of.
    starts: the number that each carry starts as.
    leaves: the leaf of each, all different.
    steps: the number of each after a step.
    fixed: numbers of values that stay: carries that start as themselves.
  """
  if not leaves:
    return list(range(len(fixed)))
  refinement = _Refinement(expressions, [*leaves, *fixed], [*steps, *fixed])
  refinement.begin([*starts, *fixed], min(leaves))
  refinement.split()
  return [refinement.classes[leaf] for leaf in refinement.leaves]


class _Refinement:
  """Classes of carries and expressions.

  Attributes:
    leaves: of the carries.
    classes: of the leaves and of expressions over them.
  """

  def __init__(self, expressions, leaves, steps):
    self.leaves = leaves
    self.classes: dict[int, int] = {}
    self._expressions = expressions
    self._steps = steps
    self._fresh = itertools.count().__next__
    self._interned: dict[tuple, int] = {}
    self._members: dict[int, set[int]] = defaultdict(set)
    # What changes when an expression does: expressions, and carries.
    self._users: dict[int, list[int]] = defaultdict(list)
    self._carries: dict[int, list[int]] = defaultdict(list)

  def begin(self, starts, first_leaf) -> None:
    """Classes by the starts alone."""
    for i, (start, leaf, step) in enumerate(zip(
        starts, self.leaves, self._steps)):
      self.classes[leaf] = self._intern(("start", start))
      self._members[self.classes[leaf]].add(i)
      self._carries[step].append(i)
    for n in sorted(self._expressions.reach(self._steps, first_leaf)):
      if n not in self.classes:
        for part in self._expressions.parts(n):
          self._users[part].append(n)
        self.classes[n] = self._class_of(n)

  def split(self) -> None:
    """Splits classes until a step keeps them."""
    todo = dict.fromkeys(self.classes[leaf] for leaf in self.leaves)
    while todo:
      which, _ = todo.popitem()
      parts: dict[int, list[int]] = defaultdict(list)
      for i in sorted(self._members[which]):
        step = self._steps[i]
        parts[self.classes.get(step, ~step)].append(i)
      largest = max(parts.values(), key=len)
      changed = self._leave(
          which, [part for part in parts.values() if part is not largest])
      todo.update(dict.fromkeys(
          self.classes[self.leaves[i]] for i in changed))

  def _leave(self, which, parts) -> set[int]:
    """Makes each part of a class a class. Returns the carries whose steps, or
    own classes, change."""
    changed: set[int] = set()
    todo: list[int] = []
    for part in parts:
      new = self._fresh()
      self._members[which].difference_update(part)
      self._members[new].update(part)
      changed.update(part)
      for i in part:
        self.classes[self.leaves[i]] = new
        changed.update(self._carries[self.leaves[i]])
        todo += self._users[self.leaves[i]]
    heapq.heapify(todo)
    before = None
    while todo:   # parts before what is made of them
      n = heapq.heappop(todo)
      if n == before:
        continue
      before, found = n, self._class_of(n)
      if found != self.classes[n]:
        self.classes[n] = found
        changed.update(self._carries[n])
        for user in self._users[n]:
          heapq.heappush(todo, user)
    return changed

  def _class_of(self, n) -> int:
    parts = [self.classes.get(p, ~p) for p in self._expressions.parts(n)]
    if n in self._expressions.commuting:
      parts.sort()
    return self._intern((self._expressions.kind(n), *parts))

  def _intern(self, key) -> int:
    found = self._interned.get(key)
    if found is None:
      found = self._interned[key] = self._fresh()
    return found
