"""A pytest plugin: what every `jit` compiles is rebuilt first.

`--jax-cse` merges equations as they are bound, and rebuilds nothing. With
`pytest -p suites.rebuilt` each closed jaxpr that JAX is about to lower goes
through `cse_jaxpr` in mode "ring", so that a suite that tests a program tests
what the program is rebuilt to. What the suite does by itself with a jaxpr
(differentiate it, print it, count its equations) is as without.

A rebuilt jaxpr must have the types and effects that it had, and pass JAX's own
check of types where the jaxpr before does; otherwise the test fails. At the end
stands how many jaxprs there were, and how many came out changed.

Limits: what is compiled while a jaxpr is rebuilt, as constants are folded, is
left as it is.
"""

import threading
from typing import Any
import weakref

from jax._src import config as jax_config
from jax._src import core
from jax._src.effects import JaxprInputEffect
from jax._src.interpreters import pxla
from jax._src.state.types import ReadEffect

import jax_cse

_MODE = "ring"
_SEAM = "lower_sharding_computation"   # what every jit is lowered by


class Rebuilder:
  """Rebuilds each jaxpr once.

  Attributes:
    seen: how many jaxprs were rebuilt, or looked at and left as they were.
    changed: how many came out as another jaxpr.
  """

  def __init__(self) -> None:
    self.seen = 0
    self.changed = 0
    # None for what is left as it is: as a value it would keep itself alive.
    self._known: weakref.WeakKeyDictionary[Any, Any] = (
        weakref.WeakKeyDictionary())
    self._lock = threading.Lock()
    self._here = threading.local()
    self._plain = getattr(pxla, _SEAM)

  def install(self) -> None:
    def lower(closed_jaxpr, *args, **kwargs):
      return self._plain(self._of(closed_jaxpr), *args, **kwargs)
    setattr(pxla, _SEAM, lower)

  def remove(self) -> None:
    setattr(pxla, _SEAM, self._plain)

  def _of(self, closed_jaxpr):
    if getattr(self._here, "busy", False):
      return closed_jaxpr
    with self._lock:
      if closed_jaxpr in self._known:
        return self._known[closed_jaxpr] or closed_jaxpr
    self._here.busy = True
    try:
      # Who computes at once what is known may be about to compile just that.
      with jax_config.eager_constant_folding(False):
        rebuilt = jax_cse.cse_jaxpr(closed_jaxpr, _MODE)
      if rebuilt is not closed_jaxpr:
        check(closed_jaxpr, rebuilt)
    finally:
      self._here.busy = False
    with self._lock:
      if closed_jaxpr not in self._known:
        self.seen += 1
        self.changed += rebuilt is not closed_jaxpr
        self._known[closed_jaxpr] = (
            None if rebuilt is closed_jaxpr else rebuilt)
    return rebuilt


def check(before, after) -> None:
  """Raises `AssertionError` unless `after` can stand in for `before`."""
  for what in ("in_avals", "out_avals"):
    was, is_now = (getattr(jaxpr, what) for jaxpr in (before, after))
    assert was == is_now, f"rebuilt: {what} were {was}, are {is_now}"
  was, is_now = _effects(before), _effects(after)
  # What is read for nobody need not be read.
  assert is_now <= was and all(e[0] is ReadEffect for e in was - is_now), (
      f"rebuilt: effects were {was}, are {is_now}")
  assert _has_types(after) or not _has_types(before), (
      f"rebuilt to a jaxpr of which the types are wrong:\n{after}")


def _effects(closed_jaxpr) -> set[tuple[type, Any]]:
  """The kinds of effects, and on which operands or constants they are."""
  jaxpr = closed_jaxpr.jaxpr
  where = {v: id(c) for v, c in zip(jaxpr.constvars, closed_jaxpr.consts)}
  where |= {v: i for i, v in enumerate(jaxpr.invars)}
  return {(type(e), where[e.input] if isinstance(e, JaxprInputEffect) else e)
          for e in closed_jaxpr.effects}


def _has_types(closed_jaxpr) -> bool:
  try:
    core.check_jaxpr(closed_jaxpr.jaxpr)
  except TypeError:
    return False
  return True


def pytest_configure(config):
  config.rebuilder = Rebuilder()
  config.rebuilder.install()


def pytest_unconfigure(config):
  config.rebuilder.remove()


def pytest_terminal_summary(terminalreporter, config):
  terminalreporter.write_line(
      f"rebuilt in mode {_MODE}: {config.rebuilder.seen} jaxprs, "
      f"{config.rebuilder.changed} of them changed")
