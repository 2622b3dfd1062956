"""Functions of JAX that are replaced while somebody uses them.

    patch = Patch([(owner, name, wrap), ...])
    patch.acquire(me)     # the first user installs `wrap(plain)` for each
    patch.release(me)     # the last one restores

An interrupt may come between any two steps: a function is noted before it is
replaced, and `release` may be called twice, and without `acquire`.
"""

from collections.abc import Callable, Sequence
import threading
from typing import Any


class Patch:
  """Replacements that come and go together.

  Attributes:
    users: those who acquired it and did not release it.
  """

  def __init__(self, seams: Sequence[tuple[Any, str, Callable]],
               switch: Callable[[bool], None] | None = None):
    """`seams`: owner, name and wrapper of each function; `switch`: how a JAX
    that asks by itself is told to do so or not, instead."""
    self._seams = seams
    self._switch = switch
    self._lock = threading.Lock()
    self.users: set[Any] = set()
    self._replaced: list[tuple[Any, str, Any]] = []

  def acquire(self, user: Any) -> None:
    """Installs the replacements unless they are installed."""
    with self._lock:
      if not self.users:
        self._restore()   # after an interrupt
        self._install()
      self.users.add(user)

  def release(self, user: Any) -> None:
    """Restores the plain functions when the last user leaves."""
    with self._lock:
      self.users.discard(user)
      if not self.users:
        self._restore()

  def _install(self):
    if self._switch is not None:
      self._switch(True)
      return
    for owner, name, wrap in self._seams:
      plain = getattr(owner, name)
      self._replaced.append((owner, name, plain))
      setattr(owner, name, wrap(plain))

  def _restore(self):
    if self._switch is not None:
      self._switch(False)
    for owner, name, plain in reversed(self._replaced):
      setattr(owner, name, plain)
    self._replaced.clear()
