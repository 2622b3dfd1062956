"""Value numbering: a tracer is numbered by content, not by identity.

Two operands are the same value when they have the same number, and a number is
a small integer however deep the nesting, so a key costs the same at every
level. Each kind of value has one way to its number:

    jaxpr variable      one for each variable
    constant            interned by dtype, weak type, shape and bits; a host
                        array in a traced program also by its address
    concrete array      one for each array; copies made here share it
    JVP tracer          interned by the numbers of primal and tangent
    linearize tracer    the same
    batch tracer        interned by number of the value and batch dimension
    anything else       one for each object

Why it matters: under nested `jvp` each level wraps the same inner values in new
tracers. With numbers by identity those look distinct and the growth stays
exponential; with numbers by content it is polynomial.

Limits: host arrays above 64 KiB and references have no number (`of` returns
None). Concrete arrays are told apart by identity, except scalars that enter a
traced program: their bits are read.
"""

from collections.abc import Callable
import copy
from itertools import count
from typing import Any
import weakref

import numpy as np

from jax_cse import compat
from jax_cse.numbering import fingerprint
from jax_cse.numbering.array_owners import Arrays
from jax_cse.numbering.values import (
    Composite, ConcreteArray, Constant, Opaque, StagedLiteral, Value, Variable)

# A loop that makes a new constant every time must not fill memory. After a
# clear the same constants get new numbers, which costs hits and no more.
_MAX_CONSTANT_BYTES = 16 << 20
_SCALAR_BYTES = 256


class _Constants:
  """Constants by their keys, and the numbers of those without axes."""

  def __init__(self, fresh: Callable[[], int]):
    self._fresh = fresh
    self._known: dict[Any, Constant] = {}
    self.scalars: dict[int, Any] = {}
    self.nbytes = 0

  def __len__(self) -> int:
    return len(self._known)

  def get(self, key) -> Constant | None:
    return self._known.get(key)

  def enter(self, key, obj, nbytes=_SCALAR_BYTES, of_buffer=False) -> Constant:
    self.nbytes += nbytes
    if self.nbytes > _MAX_CONSTANT_BYTES:
      self.clear()
      self.nbytes = nbytes
    value = self._known[key] = Constant(self._fresh(), obj, of_buffer)
    if compat.is_scalar(obj):
      self.scalars[value.number] = obj
    return value

  def clear(self) -> None:
    self._known.clear()
    self.scalars.clear()
    self.nbytes = 0


class Numbering:
  """Numbers of the operands of binds, in a program that is traced.

  `table(trace)` returns the keeper of the values of a trace: an object with
  `variables` and `revivable` for a jaxpr's, with `values` for others.
  """

  def __init__(self, table: Callable[[Any], Any]):
    self.traced = True
    self.fresh = count().__next__
    self._table = table
    self._constants = _Constants(self.fresh)
    self.scalars = self._constants.scalars
    self.acting_rules: dict[Any, bool] = {}   # whether rules have effects
    self.loops: dict[str, Any] = {}   # by mode; see `loop_numbering`
    self.arrays = Arrays(self.fresh)
    self._scalars = Arrays(self.fresh)   # by their bits, for traced programs

  def eager(self) -> "Numbering":
    """The same numbers, for operands that are evaluated at once."""
    other = copy.copy(self)
    other.traced = False
    return other

  def clear(self) -> None:
    """Forgets every array and constant. Numbers are not used again."""
    self.arrays.clear()
    self._scalars.clear()
    self._constants.clear()
    self.acting_rules.clear()
    self.loops.clear()

  def number(self, x: Any) -> int | None:
    """The number of an operand, or None if it has none."""
    kind = type(x)
    if kind is compat.ArrayImpl:
      return self._number_of_array(x)
    if kind is compat.DynamicJaxprTracer:
      var = x.val
      if type(var) is not compat.Literal:
        variables = self._table(x._trace).variables
        number = variables.get(var)
        if number is not None or var in variables:
          return number
        return self._number_of_new_variable(x, variables)
    value = self.of(x)
    return None if value is None else value.number

  def of(self, x: Any) -> Value | None:
    """The value of an operand, or None if it has no number."""
    return _rules.get(type(x), Numbering._of_other)(self, x)

  # Jaxpr variables and their constants.

  def _number_of_new_variable(self, tracer, variables) -> int | None:
    number = None
    if type(tracer.aval) is compat.ShapedArray:  # no reference, no token
      constant = compat.constant_behind(tracer)
      if constant is not None:
        number = self.number(constant)
      if number is None:
        number = self.fresh()
    variables[tracer.val] = number
    return number

  def of_literal(self, literal) -> Value | None:
    """The value of a literal in a jaxpr."""
    kind = compat.SCALARS.get(type(literal.val))
    if kind is None:
      return self.of(literal.val)
    return self._of_number(kind, literal.val, literal.aval)

  def _of_jaxpr_tracer(self, tracer):
    var = tracer.val
    if type(var) is compat.Literal:
      value = self.of_literal(var)
      return None if value is None else StagedLiteral(value.number, tracer)
    number = self.number(tracer)
    if number is None:
      return None
    revivable = self._table(tracer._trace).revivable
    value = revivable.get(var)
    if value is None:
      value = revivable[var] = Variable(number, tracer)
    return value

  # Constants.

  def _constant(self, key, obj, *size) -> Constant:
    return self._constants.get(key) or self._constants.enter(key, obj, *size)

  def _of_scalar(self, x):
    return self._of_number(compat.SCALARS[type(x)], x, compat.typeof(x))

  def _of_number(self, kind, x, aval):
    return self._constant((kind, aval.dtype, aval.weak_type,
                           fingerprint.of_scalar(x)), x)

  def _of_host_array(self, x):
    aval = compat.typeof(x)
    try:
      bits = fingerprint.of_array(x)
    except fingerprint.Unkeyable:
      return None
    key: tuple = (self.traced, aval.dtype, aval.weak_type, aval.shape, bits)
    if not aval.sharding.mesh.empty:
      key = (aval, *key)
    if self.traced and x.ndim:
      # A traced program refers to the array, not to its present contents: if
      # they change before it runs, so does the program. So a hit must be not
      # merely an equal array but this one, and unchanged.
      return self._constant((*key, compat.host_address(x)), x, 2 * len(bits))
    return self._constants.get(key) or self._constants.enter(
        key, compat.frozen_host_array(x, bits), len(bits), not self.traced)

  def _of_zero(self, x):
    return self._constant((compat.Zero, x.aval), x)

  # Concrete arrays.

  def _number_of_array(self, x) -> int:
    # The tangent `jnp.ones(())` made anew at every level is one constant. Its
    # bits are read only while tracing: eagerly that would await the device, and
    # arrays with the same bits can lie on different devices.
    if self.traced and x.ndim == 0:
      number = self._scalars.number(x)
      if number is None:
        scalar = compat.read_scalar(x)
        if scalar is not None:
          number = self._of_host_array(scalar).number
          self._scalars.see(x, number)
      if number is not None:
        return number
    number = self.arrays.number(x)
    return self.arrays.see(x, self.fresh()) if number is None else number

  def _of_array(self, x):
    number = self._number_of_array(x)
    known = self.arrays if self.arrays.number(x) == number else self._scalars
    return ConcreteArray(number, x, known)

  def separate(self, tracer, parts: tuple) -> tuple:
    """`parts` of `tracer`, with copies of the arrays that have more owners."""
    value = self.of(tracer) if isinstance(tracer, compat.Tracer) else None
    if not (isinstance(value, Composite) and value.shared):
      return tuple(self.arrays.own_shared(parts))
    for part in parts:
      value = self.of(part) if isinstance(part, compat.Tracer) else None
      if isinstance(value, Composite):
        value.shared = True
    return tuple(self.arrays.own(parts))

  # Tracers that are their parts.

  def _of_primal_and_tangent(self, tracer):
    values = self._table(tracer._trace).values
    found = values.by_id.get(id(tracer))
    if found is not None and found[0]() is tracer:
      return found[1]
    primal, tangent = self.of(tracer.primal), self.of(tracer.tangent)
    if primal is None or tangent is None:
      return None
    key = (type(tracer), primal.number, tangent.number)
    value = values.interned.get(key)
    if value is None:
      value = Composite(self.fresh(), tracer, type(tracer), (primal, tangent))
      values.interned[key] = value
    self._remember(values, tracer, value)
    return value

  def _of_batched(self, tracer):
    values = self._table(tracer._trace).values
    found = values.by_id.get(id(tracer))
    if found is not None and found[0]() is tracer:
      return found[1]
    inner, dim = self.of(tracer.val), tracer.batch_dim
    if inner is None or not (dim is None or type(dim) is int):
      return None
    key = (compat.BatchTracer, inner.number, dim)
    value = values.interned.get(key)
    if value is None:
      source_info = tracer.source_info
      value = values.interned[key] = Composite(
          self.fresh(), tracer,
          lambda trace, val: compat.BatchTracer(trace, val, dim, source_info),
          (inner,))
    self._remember(values, tracer, value)
    return value

  def _remember(self, values, tracer, value):
    # A program that is traced sees a buffer as it is when the program runs.
    if self.traced or not value.of_buffer:
      values.by_id[id(tracer)] = (weakref.ref(tracer), value)

  # Everything else.

  def _of_other(self, x):
    if isinstance(x, compat.KEY_ARRAYS):
      return self._of_array(x)
    if isinstance(x, (np.ndarray, np.generic)):
      return self._of_host_array(x)
    if (not isinstance(x, compat.Tracer)
        or type(x.aval) is not compat.ShapedArray):
      return None
    by_id = self._table(x._trace).values.by_id
    found = by_id.get(id(x))
    if found is not None and found[0]() is x:
      return found[1]
    value = Opaque(self.fresh(), x)
    by_id[id(x)] = (value.live, value)
    return value


# Not of one `Numbering`: methods of an object that it holds would make a cycle.
_rules: dict[type, Callable[[Numbering, Any], Value | None]] = {
    compat.DynamicJaxprTracer: Numbering._of_jaxpr_tracer,
    compat.JVPTracer: Numbering._of_primal_and_tangent,
    compat.LinearizeTracer: Numbering._of_primal_and_tangent,
    compat.BatchTracer: Numbering._of_batched,
    compat.ArrayImpl: Numbering._of_array,
    compat.Zero: Numbering._of_zero,
    **dict.fromkeys(compat.SCALARS, Numbering._of_scalar),
    compat.HOST_ARRAYS: Numbering._of_host_array,
}
