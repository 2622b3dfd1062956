"""Which memo answers on which thread.

Every thread has a cell, with a stack of the contexts that it entered. The top
of the stack decides; an empty one leaves it to the memo of the whole process.

    here.cell.memo      # the memo that a bind here asks; None for plain JAX

Entries are removed by identity, wherever in the stack they are, so generators
and callbacks may leave in any order. An entry knows its cell, so a generator
that is closed on another thread leaves the right one.
"""

from collections.abc import Callable
import threading
from typing import Any
import weakref


class Cell:
  """A stack of memos that a thread entered; a memo of None is plain JAX."""

  def __init__(self, base: Any):
    self._stack: list[tuple[object, Any]] = []
    self._base = base
    self.memo = base
    self.passing = False   # see `patch`
    # A trace whose jaxpr is simplified, and what may be computed in two ways
    # there; see `staging`.
    self.staging: tuple[Any, list] = (None, [])

  def push(self, token: object, memo: Any) -> None:
    """Makes `memo` the one that answers, until `token` is removed."""
    self._stack.append((token, memo))
    self._refresh()

  def remove(self, token: object) -> None:
    self._stack[:] = [e for e in self._stack if e[0] is not token]
    self._refresh()

  def strand(self) -> None:
    """Answers with plain JAX until this thread enters or leaves something.

    For an entry left on another thread: the user context is still set here.
    """
    self.memo = None

  def answers_with(self, memo: Any) -> bool:
    """Whether `memo` answers here, now or when others have left."""
    return memo is self._base or any(e[1] is memo for e in self._stack)

  def set_base(self, base: Any) -> None:
    self._base = base
    self._refresh()

  def __bool__(self) -> bool:
    """Whether the thread is inside anything that it entered itself."""
    return bool(self._stack)

  def _refresh(self) -> None:
    self.memo = self._stack[-1][1] if self._stack else self._base


_lock = threading.Lock()
_cells: weakref.WeakSet[Cell] = weakref.WeakSet()
_make_base: Callable[[], Any] = lambda: None


class _Here(threading.local):
  """The cell of the running thread."""

  def __init__(self) -> None:
    with _lock:
      self.cell = Cell(_make_base())
      _cells.add(self.cell)


here = _Here()


def set_process_wide(make_memo: Callable[[], Any]) -> None:
  """Gives every thread, running or to come, a memo of its own as a base."""
  global _make_base
  with _lock:
    _make_base = make_memo
    for cell in list(_cells):
      cell.set_base(make_memo())
