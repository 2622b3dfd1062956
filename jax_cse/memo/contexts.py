"""`enabled()`, `disabled()` and `active_mode()`.

The mode is also a user context of JAX, a part of the key of every trace and
compilation cache: a function traced with CSE is never reused without it, nor
the other way round.
"""

from concurrent import futures
import contextlib
import functools
import itertools
import threading
from typing import Any, Generic, Protocol, Self, TypeVar

import jax

from jax_cse.foundation import modes
from jax_cse.foundation import versions
from jax_cse.foundation.active import here, set_process_wide
from jax_cse.memo import eager_table
from jax_cse.memo import seconds
from jax_cse.memo.statistics import Statistics

_Yields = TypeVar("_Yields")


@functools.cache
def _rim() -> tuple[Any, Any, Any, Any]:
  """The modules that reach into JAX, imported once its version is known."""
  versions.check(versions.EXPLICIT)
  from jax_cse import compat
  from jax_cse.memo import memo_table
  from jax_cse.compat import patch
  from jax_cse.rebuild import reverse_mode
  seconds.count()
  return memo_table, patch, compat, reverse_mode.patch


@functools.cache
def _outside() -> Any:
  """The value of the user context on a thread that is inside of nothing."""
  # Asked on a thread of its own: this one may be inside of something.
  with futures.ThreadPoolExecutor(1) as pool:
    return pool.submit(_rim()[2].user_context.get).result()


# A generator may be closed on another thread than it entered on. JAX's user
# context then stays set on the first, since no thread can set another's, until
# that thread enters or leaves something again. Until then plain JAX answers on
# it. Its traces must not be taken for traces with CSE, nor the other way round:
# so the value that stays is not used again, and traces under it are forgotten.
_epochs = itertools.count()
_epoch = next(_epochs)


def _context_value(memo: Any) -> tuple[str, int] | None:
  return None if memo is None else (memo.context_mode, _epoch)


class _Entry:
  """One time that a context was entered, and the way back.

  An interrupt may come at any point, so every step back may be made twice, and
  without the step forth.
  """

  def __init__(self) -> None:
    self.thread = threading.get_ident()
    self._cell = here.cell
    self._memo: Any = None
    self._began = False

  def make(self, memo: Any) -> None:
    """Makes `memo` answer on this thread."""
    _, patch, compat, reverse_mode = _rim()
    _outside()
    self._memo, self._began = memo, True
    if memo is not None:
      patch.acquire(self)
      if memo.mode != "exact":
        reverse_mode.acquire(self)
    compat.user_context.set(_context_value(memo))
    self._cell.push(self, memo)

  def undo(self) -> None:
    global _epoch
    if not self._began:
      return
    _, patch, compat, reverse_mode = _rim()
    cell, memo = self._cell, self._memo
    cell.remove(self)
    if cell is not here.cell:
      cell.strand()
      _epoch = next(_epochs)
      jax.clear_caches()
    elif cell:
      compat.user_context.set(_context_value(cell.memo))
    else:
      compat.user_context.set(_outside())
    reverse_mode.release(self)
    patch.release(self)
    if memo is not None and not cell.answers_with(memo):
      memo.clear()


class Memo(Protocol):
  """The memo that answers inside of an `enabled()`, which yields it."""

  @property
  def mode(self) -> str | None:
    """Which equations are the same (`modes`); None if `JAX_CSE` says off."""

  @property
  def stats(self) -> Statistics:
    """Counts of the lookups."""

  @property
  def nbytes(self) -> int:
    """Bytes that are held for eager evaluation, bookkeeping included."""


class _Context(contextlib.ContextDecorator, Generic[_Yields]):
  """A context manager that may be entered any number of times, nested too.

  An interrupt while it enters undoes that, and one while it leaves does not
  stop it. Limits: one that comes before the first instruction of `__exit__`
  leaves it entered, as it does every context manager written in Python.
  """

  def __init__(self) -> None:
    self._entries: list[_Entry] = []   # oldest first

  def _recreate_cm(self) -> Self:
    # A decorated function may call itself, and run on several threads at once.
    context = object.__new__(type(self))
    context.__dict__.update(self.__dict__, _entries=[])
    return context

  def _enter(self, entry: _Entry) -> _Yields:
    raise NotImplementedError

  def __enter__(self) -> _Yields:
    entry = None
    try:
      entry = _Entry()
      self._entries.append(entry)
      return self._enter(entry)
    except BaseException:
      self._leave(entry)
      raise

  def __exit__(self, *exc_info: object) -> None:
    entry = None
    try:
      entry = self._newest()
      self._leave(entry)
    except BaseException:
      if entry is not None or self._entries:
        self._leave(entry or self._newest())
      raise

  def _newest(self) -> _Entry:
    mine = [e for e in self._entries if e.thread == threading.get_ident()]
    if not self._entries:
      raise RuntimeError(f"jax_cse.{type(self).__name__}() was left without "
                         "being entered, or more often than it was")
    return (mine or self._entries)[-1]

  def _leave(self, entry: _Entry | None) -> None:
    if entry is not None:
      entry.undo()
      if entry in self._entries:
        self._entries.remove(entry)


class _InertMemo:
  """The memo of an `enabled()` that `JAX_CSE` switched off: no statistics."""

  def __init__(self) -> None:
    self.mode = None
    self.nbytes = 0
    self.stats = Statistics()


class merging(_Context[Memo]):
  """`enabled()` for the package itself: it does not count as one that the
  program entered, and `JAX_CSE` does not make it inert."""

  def __init__(self, mode: str, max_bytes: int | None = None):
    super().__init__()
    self._mode = modes.validate(mode)
    self._own = max_bytes is not None
    self._max_bytes = eager_table.validate_max_bytes(max_bytes)

  def _enter(self, entry: _Entry) -> Memo:
    versions.check(versions.PATCHED)
    memo_table = _rim()[0]
    memo = here.cell.memo
    if memo is None or memo.mode != self._mode or self._own:
      memo = memo_table.Memo(self._mode, self._max_bytes)
    entry.make(memo)
    return memo


class enabled(merging):
  """Merges common subexpressions as they are bound, on this thread.

  A primitive that is applied to the same values again returns its first result,
  eagerly and under every transformation of JAX:

      with jax_cse.enabled() as memo:
        jaxpr = jax.make_jaxpr(f)(x)
      print(memo.stats)

  It may be nested, entered again, and used as a decorator (of a generator
  function or a coroutine it covers the call alone, not the body). Inside
  another of the same mode it joins that one, and yields its memo. It belongs to
  a thread, not to a task of an event loop.

  Args:
    mode: `"exact"`, the default: equations of the same primitive on the same
      values with the same params are merged, operands swapped where that cannot
      change a bit; each primitive application gives the bits that it gives
      without. In traced programs `"reassociate"` also merges sums and products
      that differ in grouping and order only, and `"ring"` also those equal by
      distributivity: equal in real arithmetic for finite values, integers to
      the bit. In these two a backward pass by up to four numbers, or four in
      each row of a batch, runs forwards where that is cheaper, and a function
      with nested derivatives in it is simplified before it is differentiated
      by more, as a loss is by weights. None means the mode that `JAX_CSE`
      names, if it names one.
    max_bytes: budget in bytes for results that are held for eager evaluation;
      256 MiB by default. The least recently used leave first, and are counted
      in `memo.stats.evicted` and `memo.stats.evicted_bytes`. An explicit budget
      makes a memo of its own, also inside another `enabled()`.

  Yields:
    The memo, with its `Statistics` as `memo.stats`, its mode as `memo.mode`
    and the bytes that it holds for eager evaluation as `memo.nbytes`.

  Raises:
    ValueError: `mode`, `max_bytes` or `JAX_CSE` has a value not accepted.
    UnsupportedJaxVersion: on entry, before anything is patched.

  Source: `core.enable_cse` in github.com/jax-ml/jax/issues/520.
  """

  def __init__(self, mode: str | None = None, *, max_bytes: int | None = None):
    named, self._off = modes.from_environment()
    super().__init__(named or modes.DEFAULT if mode is None else mode,
                     max_bytes)

  def _enter(self, entry: _Entry) -> Memo:
    return _InertMemo() if self._off else super()._enter(entry)


class disabled(_Context[None]):
  """Makes binds on this thread plain JAX again, inside `enabled()` or not.

  It may be nested, entered again, and used as a decorator.

  Raises:
    UnsupportedJaxVersion: on entry, JAX is too old, or a probe found that it
      differs.
  """

  def _enter(self, entry: _Entry) -> None:
    entry.make(None)


def active_mode() -> str | None:
  """The mode in force on this thread, or None."""
  memo = here.cell.memo
  return None if memo is None else memo.context_mode


_PROCESS = "the process"
_process_lock = threading.RLock()


def enable_process_wide(mode: str) -> None:
  """Turns `mode` on for every thread, until it is turned off.

  Each thread has a memo of its own, with statistics and a budget of its own.

  Raises:
    ValueError: `mode` is not a mode.
    UnsupportedJaxVersion: before anything is patched.
  """
  _turn_process(modes.validate(mode))
  _rim()[2].note_toggle(mode)


def _turn_process(mode: str | None) -> None:
  if mode is not None:
    versions.check(versions.PATCHED)
  memo_table, patch, compat, reverse_mode = _rim()
  with _process_lock:
    if mode is None:
      set_process_wide(lambda: None)
      compat.user_context.set_global(None)
      reverse_mode.release(_PROCESS)
      patch.release(_PROCESS)
    else:
      patch.acquire(_PROCESS)
      (reverse_mode.release if mode == "exact" else
       reverse_mode.acquire)(_PROCESS)
      compat.user_context.set_global((mode, _epoch))
      set_process_wide(
          lambda: memo_table.Memo(mode, eager_table.DEFAULT_MAX_BYTES))


def follow_toggle(value: bool | str) -> None:
  """Follows an assignment to `core.enable_cse` of a patched JAX.

  Raises:
    ValueError: it is not True, False or the name of a mode.
    UnsupportedJaxVersion: before anything is patched.
  """
  named, off = modes.from_environment()
  if value is True:
    value = named or modes.DEFAULT
  elif value is not False and not (
      isinstance(value, str) and value in modes.MODES):
    raise ValueError(
        "core.enable_cse must be True, False or the name of a mode, "
        f"{', '.join(map(repr, modes.MODES))}; got {value!r}")
  _turn_process(None if off or value is False else value)


def follow_environment() -> None:
  """Follows `JAX_CSE` at import.

  Raises:
    ValueError: it has a value that is not accepted.
    UnsupportedJaxVersion: it names a mode, and JAX does not fit.
  """
  mode, _ = modes.from_environment()
  if mode is not None:
    enable_process_wide(mode)
