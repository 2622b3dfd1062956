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

_FUNCTIONS = (types.FunctionType, types.MethodType, functools.partial)


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
    key = of_jaxpr(closed_jaxpr.jaxpr), more, compat.trace_context()
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


def of_jaxpr(jaxpr) -> Hashable:
  """A key that two jaxprs share if they have the same equations."""
  numbers: dict[Any, int] = {}

  def of_atom(x):
    if type(x) is compat.Literal:
      return x.aval, fingerprint.of_param(x.val)
    return numbers.setdefault(x, len(numbers))

  def of_variable(v):
    return numbers.setdefault(v, len(numbers)), v.aval

  binders = tuple(map(of_variable, [*jaxpr.constvars, *jaxpr.invars]))
  equations = tuple((
      eqn.primitive, _of_params(eqn.params), eqn.ctx,
      tuple(map(of_atom, eqn.invars)), tuple(map(of_variable, eqn.outvars)))
      for eqn in jaxpr.eqns)
  return binders, equations, tuple(map(of_atom, jaxpr.outvars))


def _of_params(params):
  return tuple((name, _of_param(params[name])) for name in sorted(params))


def _of_param(x):
  if isinstance(x, (compat.Jaxpr, compat.ClosedJaxpr)):
    jaxpr, consts = jaxprs.open_jaxpr(x)
    return of_jaxpr(jaxpr), tuple(map(custom_rules.Itself, consts))
  if isinstance(x, tuple):
    return type(x), tuple(map(_of_param, x))
  if isinstance(x, compat.WrappedFun):
    if not _is_of_jax(x):
      raise fingerprint.Unkeyable("rule that a user wrote")
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
