"""Programs that are known by the jaxpr of the function that they were made of.

A function that is called eagerly runs once each time, on types. If it does what
it did before, equation for equation, then so does the program that was made of
it. Constants are operands, so a closure may change from call to call:

    known = KnownPrograms(128)
    program = known.program(closed_jaxpr, more, make)

Limits: the jaxpr does not say what a rule does that a user wrote, so a function
with one has no key, nor has one with a callback or a large constant in a call.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
import functools
import threading
import types
from typing import Any

import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import custom_rules
from jax_cse.numbering import fingerprint
from jax_cse.numbering import structure

# What a user wrote, and may do otherwise the next time.
_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)
# Elements of constants inside of calls, which a program keeps alive.
_MOST_CONSTANTS = 1 << 12
_rules_of_jax: dict[Any, Any] = {}   # by primitive


class KnownPrograms:
  """A table of the programs that were used last."""

  def __init__(self, most: int):
    """`most`: how many are kept."""
    self._most = most
    self._programs: OrderedDict[Hashable, Any] = OrderedDict()
    self._caches: object = None   # they are cleared when JAX's are
    self._lock = threading.Lock()

  def program(self, closed_jaxpr, more: Hashable, make: Callable[[], Any]):
    """The program of a jaxpr, made if it is not known.

    Args:
      closed_jaxpr: of the function; its constants do not count.
      more: whatever else the program depends on.
      make: makes it.

    Raises:
      fingerprint.Unkeyable: two such jaxprs may not be of one function.
    """
    try:
      key = _key(closed_jaxpr.jaxpr), more, compat.trace_context()
      hash(key)
    except TypeError:
      raise fingerprint.Unkeyable("param without a hash") from None
    with self._lock:
      if self._caches is not compat.caches():
        self._caches = compat.caches()
        self._programs.clear()
      if key in self._programs:
        self._programs.move_to_end(key)
        return self._programs[key]
    program = make()
    with self._lock:
      self._programs[key] = program
      if len(self._programs) > self._most:
        self._programs.popitem(last=False)
    return program


def _key(jaxpr) -> Hashable:
  """A key of a jaxpr: its structure, and those inside of it, each once."""
  inside: dict[Hashable, int] = {}
  known: dict[int, int] = {}   # by id

  def of_jaxpr(jaxpr):
    for eqn in jaxpr.eqns:
      _require_of_jax(eqn.primitive)
    return structure.key(jaxpr, of_param)

  def of_param(x):
    if isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
      if id(x) not in known:
        jaxpr, consts = jaxprs.open_jaxpr(x)
        if sum(compat.typeof(c).size for c in consts) > _MOST_CONSTANTS:
          raise fingerprint.Unkeyable("constants that would be kept alive")
        key = of_jaxpr(jaxpr), tuple(
            map(custom_rules.Itself, consts))
        known[id(x)] = inside.setdefault(key, len(inside))
      return known[id(x)]
    if isinstance(x, compat.WrappedFun):
      if not _is_of_jax(x):
        raise fingerprint.Unkeyable("rule that a user wrote")
      return custom_rules.rule_of(x)
    if isinstance(x, _FUNCTIONS):
      raise fingerprint.Unkeyable("function")
    return fingerprint.of_param(x)

  return of_jaxpr(jaxpr), tuple(inside)


def _require_of_jax(primitive) -> None:
  """Raises if a primitive calls back, or unless its rule is JAX's own."""
  if primitive in compat.CALL_BACK:
    raise fingerprint.Unkeyable("callback")
  rule = compat.jvp_rule(primitive)
  if _rules_of_jax.get(primitive) is not rule:
    if not _is_of_jax(rule):
      raise fingerprint.Unkeyable("primitive of a user's")
    _rules_of_jax[primitive] = rule


def _is_of_jax(function) -> bool:
  """Whether a function, and all that it holds, is JAX's own."""
  todo, seen = [function], {}
  while todo:
    x = todo.pop()
    if id(x) in seen:
      continue
    seen[id(x)] = x
    if isinstance(x, list | tuple):
      todo += x
    elif isinstance(x, dict):
      todo += x.values()
    elif isinstance(x, compat.WrappedFun):
      todo += [compat.rule_inside(x.f) or x.f, x.transforms]
    elif isinstance(x, types.FunctionType):
      if not (x.__module__ or "").startswith("jax."):
        return False
      try:
        todo += [cell.cell_contents for cell in x.__closure__ or ()]
      except ValueError:   # an empty cell
        return False
    elif isinstance(x, functools.partial):
      todo += [x.func, x.args, x.keywords]
    elif isinstance(x, compat.custom_jvp):
      todo += [x.fun, x.jvp]
    elif hasattr(x, "__wrapped__"):
      todo.append(x.__wrapped__)
    elif callable(x) and not isinstance(
        x, type | types.BuiltinFunctionType | np.ufunc | compat.Primitive):
      return False
  return True
