"""Arrays that are zero along most of many directions, without most zeros.

Of an array with an axis for D directions a compressed one has m slots instead,
and a table of numbers, known when a program is traced, that says for which
direction each slot of each element stands. -1 is none: there the slot holds
zero. The slots of one element stand for different directions. The table has the
axes of the array, with length 1 where it is the same all along.

Of the pairs of n electrons, the distance of i and j has the slots

    [3i, 3i+1, 3i+2, 3j, 3j+1, 3j+2]      6 of 3n directions

with none where i = j. Slots and directions go in runs here, [3i .. 3i+2]: what
is moved from one table to another is moved run by run.
"""

from collections.abc import Iterator
import math
from typing import NamedTuple

import numpy as np

Table = np.ndarray

# A table of more numbers is not worth its time.
MAX_TABLE = 1 << 18


class Layout(NamedTuple):
  """How an array is compressed.

  Attributes:
    group: of which directions, a number; arrays of two groups have nothing in
      common.
    axis: that of the directions.
    size: how many directions there are.
    table: see above.
  """
  group: int
  axis: int
  size: int
  table: Table

  @property
  def slots(self) -> int:
    return self.table.shape[self.axis]

  @property
  def first(self) -> Table:
    """The table, the slots first."""
    return np.moveaxis(self.table, self.axis, 0)

  @property
  def pays(self) -> bool:
    """Whether there are clearly fewer slots than directions."""
    return 2 * self.slots <= self.size and (
        self.table.size * self.size <= 16 * MAX_TABLE)

  @property
  def dense(self) -> "Layout":
    """All directions, each its own slot."""
    shape = [1] * self.table.ndim
    shape[self.axis] = self.size
    return self._replace(table=np.arange(self.size).reshape(shape))

  def varies(self, axis: int) -> bool:
    """Whether the table is not the same along another axis."""
    return axis != self.axis and self.table.shape[axis] > 1

  def equals(self, other: "Layout") -> bool:
    return self is other or (
        self[:3] == other[:3] and np.array_equal(self.table, other.table))

  def relaid(self, table: Table, axis: int) -> "Layout":
    """Of an array with other axes; of length 1 where the table is the same."""
    for k in range(table.ndim):
      if k != axis and table.shape[k] > 1 and (
          table == table.take([0], k)).all():
        table = table.take([0], k)
    return self._replace(axis=axis, table=table)

  def of_slots(self, first: Table) -> "Layout":
    """Of the same array, from a table with the slots first. Those that stand
    for no direction are dropped."""
    used = (first >= 0).reshape(len(first), -1).any(1)
    first = first[used] if used.any() else first[:1]
    return self.relaid(np.moveaxis(first, 0, self.axis), self.axis)


def united(layouts: list[Layout]) -> Layout | None:
  """Slots for all directions that one of some layouts has; None if those are
  too many."""
  result = layouts[0]
  for other in layouts[1:]:
    if result[:3] != other[:3]:
      return None
    if not result.equals(other):
      united = _united(result.first, other.first)
      if united is None:
        return None
      result = result.of_slots(united)
      if not result.pays:
        return None
  return result


def _united(a: Table, b: Table) -> Table | None:
  rest = np.broadcast_shapes(a.shape[1:], b.shape[1:])
  if math.prod(rest) * len(a) * len(b) > MAX_TABLE:
    return None
  new = np.where((b[:, None] == a).any(1), -1, b)
  if (new < 0).all():
    return a
  if (np.where((a[:, None] == b).any(1), -1, a) < 0).all():
    return b
  return np.concatenate([np.broadcast_to(t, (len(t), *rest))
                         for t in (a, new)])


class Merged(NamedTuple):
  """Slots that are made the same along some axes. They stand for the same all
  along the axes `over`; along `others` those of all elements become slots of
  one.

  Attributes:
    numbers: of the slots.
    layout: what results.
  """
  numbers: list[int]
  over: tuple[int, ...]
  others: tuple[int, ...]
  layout: Layout


def merged(layout: Layout, axes: tuple[int, ...]) -> list[Merged]:
  """All slots, made the same along axes. Where a slot has no direction, it may
  be taken for any."""
  first = layout.first
  groups: dict[tuple[int, ...], list[int]] = {}
  for k, table in enumerate(first):
    over = tuple(a for a in axes if _is_same(table, a - (a > layout.axis)))
    groups.setdefault(over, []).append(k)
  found = []
  for over, numbers in groups.items():
    others = tuple(a for a in axes if a not in over)
    inner = lambda some: tuple(a + (a < layout.axis) for a in some)
    table = first[numbers].max(inner(over), keepdims=True) if over else (
        first[numbers])
    moved = np.moveaxis(table, inner(others), range(len(others)))
    moved = moved.reshape(-1, *moved.shape[len(others) + 1:])
    moved = np.expand_dims(moved, inner(others))
    found.append(Merged(numbers, over, others, layout._replace(
        table=np.moveaxis(moved, 0, layout.axis))))
  return found


def _is_same(table: Table, axis: int) -> bool:
  return bool(((table == table.max(axis, keepdims=True)) | (table < 0)).all())


def joint(parts: list[Merged]) -> Table:
  """The slots of all parts, first."""
  firsts = [part.layout.first for part in parts]
  shape = np.broadcast_shapes(*(x.shape[1:] for x in firsts))
  return np.concatenate([np.broadcast_to(x, (len(x), *shape)) for x in firsts])


def spread(layout: Layout, axes: tuple[int, ...]) -> Layout | None:
  """Slots that are the same along axes, for all directions along them; None if
  those are too many."""
  axes = tuple(k for k in axes if layout.varies(k))
  if not axes:
    return layout
  found = _distinct(joint(merged(layout, axes)))
  if found is None:
    return None
  result = layout.of_slots(found)
  return result if result.pays else None


def _distinct(first: Table) -> Table | None:
  """Without directions that an element has before."""
  if first.size * len(first) > MAX_TABLE:
    return None
  if len(first) == 1:
    return first
  again = np.tril(np.ones((len(first), len(first)), bool), -1)
  again = again.reshape(again.shape + (1,) * (first.ndim - 1))
  return np.where(((first[:, None] == first) & again).any(1), -1, first)


def is_distinct(first: Table) -> bool:
  found = _distinct(first)
  return found is not None and ((found >= 0) == (first >= 0)).all()


class Move(NamedTuple):
  """A run of slots that goes to slots of another table.

  Attributes:
    start, stop: the run.
    mask: where it goes, of the runs of the other table: a table of truth values
      with these runs first. None if it goes to one place everywhere.
    place: the first slot there, if so.
  """
  start: int
  stop: int
  mask: Table | None
  place: int = 0


def moves(source: Layout, target: Layout) -> tuple[int, list[Move]]:
  """The length of runs, and which of them go where."""
  a, b = source.first, target.first
  run, heads, goals = _runs(a, b)
  found = [move for k, head in enumerate(heads)
           for move in _moves_of_run(k * run, run, head, goals)]
  return run, list(_joined(found))


def _moves_of_run(start: int, run: int, head: Table, goals: Table
                  ) -> Iterator[Move]:
  live = head >= 0
  mask = (head == goals) & live
  rows = mask.reshape(len(mask), -1).any(1)
  if rows.sum() == 1 and (mask[rows] == live).all():
    yield Move(start, start + run, None, int(rows.argmax()) * run)
  elif rows.any():
    yield Move(start, start + run, mask)


def _joined(moves: list[Move]) -> Iterator[Move]:
  """Neighbours that go to neighbours go as one."""
  last = None
  for move in moves:
    if last is not None and move.mask is None is last.mask and (
        last.stop == move.start
        and last.place + last.stop - last.start == move.place):
      last = last._replace(stop=move.stop)
      continue
    if last is not None:
      yield last
    last = move
  if last is not None:
    yield last


def _runs(a: Table, b: Table) -> tuple[int, Table, Table]:
  """The longest length of runs of two tables, and which run of directions each
  run of slots is."""
  for run in range(min(len(a), len(b)), 0, -1):
    if len(a) % run == 0 == len(b) % run:
      heads = [_heads(t, run) for t in (a, b)]
      if heads[0] is not None and heads[1] is not None:
        return run, heads[0], heads[1]
  raise AssertionError("each slot is a run")


def _heads(table: Table, run: int) -> Table | None:
  split = table.reshape(-1, run, *table.shape[1:])
  first = split[:, 0]
  follow = first[:, None] + np.arange(run).reshape(run, *(1,) * (
      table.ndim - 1))
  if (first % run)[first >= 0].any() or not (
      split == np.where(first[:, None] < 0, -1, follow)).all():
    return None
  return np.where(first < 0, -1, first // run)
