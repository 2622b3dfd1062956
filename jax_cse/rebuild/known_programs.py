"""Programs that are known by the jaxpr of the function that they were made of.

A function that is called eagerly runs once each time, on types. If it does what
it did before, equation for equation, then so does the program that was made of
it. Constants are operands, so a closure may change from call to call:

    known = KnownPrograms(128)
    program = known.program(closed_jaxpr, more, make)

Limits: what a rule does that a user wrote is not in the jaxpr, so such a
function has no key.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
import functools
import threading
import types
from typing import Any

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import custom_rules
from jax_cse.numbering import fingerprint
from jax_cse.numbering import structure

# What a user wrote, and may do otherwise the next time.
_FUNCTIONS = (compat.WrappedFun, types.FunctionType, types.MethodType,
              functools.partial)


class KnownPrograms:
  """A table of the programs that were used last."""

  def __init__(self, most: int):
    """`most`: how many are kept."""
    self._most = most
    self._programs: OrderedDict[Hashable, Any] = OrderedDict()
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
    key = (structure.key(closed_jaxpr.jaxpr, _of_param), more,
           compat.trace_context())
    try:
      hash(key)
    except TypeError:
      raise fingerprint.Unkeyable("param without a hash") from None
    with self._lock:
      if key in self._programs:
        self._programs.move_to_end(key)
        return self._programs[key]
    program = make()
    with self._lock:
      self._programs[key] = program
      if len(self._programs) > self._most:
        self._programs.popitem(last=False)
    return program


def _of_param(x) -> Hashable:
  if isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
    jaxpr, consts = jaxprs.open_jaxpr(x)
    return structure.key(jaxpr, _of_param), tuple(
        map(custom_rules.Itself, consts))
  if isinstance(x, compat.WrappedFun) and _is_of_jax(x):
    return custom_rules.rule_of(x)
  if isinstance(x, _FUNCTIONS):
    raise fingerprint.Unkeyable("function")
  return fingerprint.of_param(x)


def _is_of_jax(wrapped) -> bool:
  while (inside := compat.rule_inside(wrapped.f)) is not None:
    wrapped = inside
  todo, seen = [wrapped.f, wrapped.transforms], set()
  while todo:
    x = todo.pop()
    if id(x) in seen:
      continue
    seen.add(id(x))
    if isinstance(x, list | tuple):
      todo += x
    elif isinstance(x, types.FunctionType):
      if not x.__module__.startswith("jax."):
        return False
      todo += [cell.cell_contents for cell in x.__closure__ or ()]
    elif isinstance(x, functools.partial):
      todo += [x.func, *x.args, *x.keywords.values()]
    elif hasattr(x, "__wrapped__"):
      todo.append(x.__wrapped__)
  return True
