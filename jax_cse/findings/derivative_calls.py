"""Which derivatives a function takes while it is traced, and at which lines.

    closed_jaxpr, calls = watched(fun, args, kwargs)
    closed_jaxpr = replaced(fun, args, kwargs, answer)

`jax.grad` and its like come to `jax.vjp` or `jax.jvp` when they are called.
Both are replaced while a function is traced: each call is noted with the user's
line and with the call in whose function it was made, or something else is
computed in its place.

Limits: what got `jax.vjp` or `jax.linearize` under a name of its own before
calls the plain one. Inside of an `enabled()` in the function JAX may answer
from a trace that it made before; nothing is noted then. Nor is it on a JAX that
has no such functions.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
import itertools
import math
import threading
from typing import Any

import jax

from jax_cse import compat
from jax_cse.compat import patching
from jax_cse.findings.redundancy_report import Line
from jax_cse.memo import contexts

_numbers = itertools.count()


class Call:
  """A derivative of a function, as it was taken.

  Attributes:
    how: "reverse", "forward", or "linear" for `jax.linearize`.
    line: of the user's that called it; None if it is outside of the function.
    shapes: of what it is by.
    around: the call whose function takes it, if any.
    inside: the calls that its own function takes.
  """

  def __init__(self, how: str, line: Line | None,
               shapes: tuple[tuple[int, ...], ...], around: "Call | None"):
    self.how, self.line, self.shapes, self.around = how, line, shapes, around
    self.inside: list[Call] = []
    if around is not None:
      around.inside.append(self)

  @property
  def size(self) -> int:
    """How many numbers it is by."""
    return sum(map(math.prod, self.shapes))

  @property
  def place(self) -> tuple:
    """Equal for calls of one kind at one line."""
    return (self.how, self.line, self.shapes,
            *(call.line for call in self.all_around()))

  @property
  def kind(self) -> tuple:
    """The same, wherever it is called from."""
    return self.how, self.line, self.shapes

  @property
  def order(self) -> int:
    """How many derivatives are one inside of the other, this one included."""
    return 1 + max((call.order for call in self.inside), default=0)

  def all_inside(self) -> "Iterator[Call]":
    """Also those that are inside of these."""
    for call in self.inside:
      yield call
      yield from call.all_inside()

  def all_around(self) -> "Iterator[Call]":
    """From the nearest outwards."""
    if self.around is not None:
      yield self.around
      yield from self.around.all_around()


# Takes the call, the plain derivative and its arguments, and gives what that is
# to give, or None for what it gives.
Answer = Callable[..., Any]


class _Watcher:
  """What is noted on a thread that traces."""

  def __init__(self, answer: Answer | None):
    self.answer = answer
    self.calls: list[Call] = []
    self.inner: Call | None = None
    self.is_answering = False


class _Here(threading.local):
  watcher: _Watcher | None = None


_here = _Here()


def _noting(how):
  def wrap(plain):
    @functools.wraps(plain)
    def derivative(fun, *args, **kwargs):
      watcher = _here.watcher
      if watcher is None or watcher.is_answering:
        return plain(fun, *args, **kwargs)
      return _noted(watcher, how, plain, fun, args, kwargs)
    return derivative
  return wrap


def _noted(watcher, how, plain, fun, args, kwargs):
  frame = compat.calling_frame(_traced.__code__)
  primals = args[0] if how == "forward" and args else args
  call = Call(how, frame and Line(*frame), _shapes(primals), watcher.inner)
  watcher.calls.append(call)
  before, watcher.inner = watcher.inner, call
  try:
    found = watcher.answer and watcher.answer(call, plain, fun, args, kwargs)
    return plain(fun, *args, **kwargs) if found is None else found
  finally:
    watcher.inner = before


def _shapes(primals):
  leaves = jax.tree.leaves(primals)
  avals = [compat.typeof(x) for x in leaves]
  return tuple(aval.shape for aval in avals
               if compat.is_inexact(getattr(aval, "dtype", int)))


_patch = patching.Patch([
    (*seam, _noting(how)) for how, seams in (
        ("reverse", compat.REVERSE), ("forward", compat.FORWARD),
        ("linear", compat.LINEAR)) for seam in seams if hasattr(*seam)])


@contextlib.contextmanager
def plainly() -> Iterator[None]:
  """Inside of an answer: derivatives are JAX's own, and not noted."""
  watcher = _here.watcher
  assert watcher is not None
  before, watcher.is_answering = watcher.is_answering, True
  try:
    yield
  finally:
    watcher.is_answering = before


def _traced(fun, args, kwargs):
  # A function of its own, so that no cache has a jaxpr of another mode.
  return jax.make_jaxpr(lambda *xs, **ks: fun(*xs, **ks))(*args, **kwargs)


def _watching(fun, args, kwargs, answer):
  me, before = object(), _here.watcher
  watcher = _Watcher(answer)
  with contexts.disabled():
    outside = compat.user_context.get()
    try:
      _patch.acquire(me)
      # Part of the key of JAX's trace caches: nothing that was traced before is
      # taken, and nothing of this is taken later.
      compat.user_context.set(("exact", "watched", next(_numbers)))
      _here.watcher = watcher
      return _traced(fun, args, kwargs), watcher.calls
    finally:
      _here.watcher = before
      compat.user_context.set(outside)
      _patch.release(me)


def watched(fun: Callable, args: tuple, kwargs: dict) -> tuple[Any, list[Call]]:
  """`jax.make_jaxpr` without CSE, and the derivatives that were taken."""
  return _watching(fun, args, kwargs, None)


def replaced(fun: Callable, args: tuple, kwargs: dict, answer: Answer) -> Any:
  """`jax.make_jaxpr` without CSE, of the function with other derivatives."""
  return _watching(fun, args, kwargs, answer)[0]
