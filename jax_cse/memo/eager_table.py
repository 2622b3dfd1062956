"""The table of eager results: least recently used out, within a byte budget.

While a program is traced, a live equation keeps its operands alive, so a table
that refers to results weakly forgets nothing that matters. Eagerly nothing
keeps `cos(x)` alive once it was used, so this table must hold results itself,
and therefore needs a budget:

    table = EagerTable(max_bytes=1 << 20, on_evict=print)
    table.put(key, (4096, "cos", result))
    table.get(key)      # the entry, now the most recently used

An entry is a tuple of its size in bytes, a name to count it by, and whatever
else the caller puts there.

An entry is charged `ENTRY_BYTES` above the size of its results, for the key
and the bookkeeping around it; otherwise a budget of 256 MiB would admit 67
million scalars.

Limits: the budget counts all that the table holds, also a result that somebody
else holds as well.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Any

# A scalar takes 2.1 kB in Python (tracemalloc, CPython 3.11), most of it the
# key, the entry and the array object; and 0.8 kB of the runtime, by the
# resident memory of 12,000 chains of 11 operations.
ENTRY_BYTES = 3072
DEFAULT_MAX_BYTES = 256 << 20


def validate_max_bytes(max_bytes: Any) -> int:
  """Returns the budget in bytes; None means the default.

  Raises:
    ValueError: not a whole number of bytes, or negative.
  """
  if max_bytes is None:
    return DEFAULT_MAX_BYTES
  if (isinstance(max_bytes, bool) or not isinstance(max_bytes, int)
      or max_bytes < 0):
    raise ValueError("max_bytes must be None or a whole number of bytes, 0 or "
                     f"more; got {max_bytes!r}")
  return max_bytes


class EagerTable:
  """A mapping from key to entry that keeps within `max_bytes`.

  `on_evict(entry, nbytes)` is called for every entry that leaves to make room,
  not for those that are discarded or cleared.
  """

  def __init__(self, max_bytes: int, on_evict: Callable[[tuple, int], None]):
    self.max_bytes = max_bytes
    self.nbytes = 0
    self._on_evict = on_evict
    self._entries: OrderedDict[Hashable, tuple] = OrderedDict()

  def __len__(self) -> int:
    return len(self._entries)

  def get(self, key: Hashable) -> tuple | None:
    entry = self._entries.get(key)
    if entry is not None:
      self._entries.move_to_end(key)
    return entry

  def put(self, key: Hashable, entry: tuple) -> bool:
    """Enters `entry` unless there is one with this key; says whether it did."""
    if self._entries.setdefault(key, entry) is not entry:
      return False
    self.nbytes += entry[0] + ENTRY_BYTES
    while self.nbytes > self.max_bytes:
      if not self._entries:
        self.nbytes = 0   # an interrupt came before something was subtracted
        break
      _, old = self._entries.popitem(last=False)
      self.nbytes -= old[0] + ENTRY_BYTES
      self._on_evict(old, old[0] + ENTRY_BYTES)
    return True

  def discard(self, key: Hashable) -> None:
    entry = self._entries.pop(key, None)
    if entry is not None:
      self.nbytes -= entry[0] + ENTRY_BYTES

  def clear(self) -> None:
    self._entries.clear()
    self.nbytes = 0
