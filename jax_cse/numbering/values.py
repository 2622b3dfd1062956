"""Values: a number each, and the way back to an object that has it.

A table refers to a result through its value, which keeps nothing alive: a
variable of a jaxpr comes back from the equation that computes it, a tracer of
`jvp` from its parts. So whatever JAX drops as dead stays dead:

    value = numbering.of(tracer)
    value.revive()      # the tracer, or one equal to it, or None if it is gone

Two objects with the same number are the same value; `value_numbering` says how
the number follows from the contents of an object.
"""

from typing import Any
import weakref

from jax_cse import compat


class Value:
  """A number, and a way back to an object that has it.

  `of_buffer`: an object has the number as long as nobody writes to its buffer.
  """
  __slots__ = ("number", "of_buffer")

  def __init__(self, number: int, of_buffer: bool = False):
    self.number = number
    self.of_buffer = of_buffer

  def revive(self) -> Any:
    raise NotImplementedError


class Constant(Value):
  __slots__ = ("_object",)

  def __init__(self, number, obj, of_buffer):
    super().__init__(number, of_buffer)
    self._object = obj

  def revive(self):
    return self._object


class StagedLiteral(Value):
  """A literal of a jaxpr under construction."""
  __slots__ = ("_literal", "_trace")

  def __init__(self, number, tracer):
    super().__init__(number)
    self._literal = tracer.val
    self._trace = tracer._trace._weakref

  def revive(self):
    trace = self._trace()
    return None if trace is None else compat.literal_tracer(
        trace, compat.current_source(), self._literal)


class Opaque(Value):
  """Known by identity alone, as long as it lives."""
  __slots__ = ("live",)

  def __init__(self, number, obj):
    super().__init__(number)
    self.live = weakref.ref(obj)

  def revive(self):
    return self.live()


class Variable(Value):
  """A variable of a jaxpr under construction.

  It can be revived as long as its equation is in the jaxpr, also when every
  tracer for it is gone. The variable itself refers to nothing, so holding it is
  free.
  """
  __slots__ = ("_var", "_eqn", "_trace", "_live")

  def __init__(self, number, tracer):
    super().__init__(number)
    eqn = tracer.parent
    self._var = tracer.val
    self._eqn = None if eqn is None else weakref.ref(eqn)
    self._trace = tracer._trace._weakref
    self._live = weakref.ref(tracer)

  def revive(self):
    tracer = self._live()
    if tracer is not None or self._eqn is None:
      return tracer
    eqn, trace = self._eqn(), self._trace()
    if eqn is None or trace is None:
      return None
    tracer = compat.tracer_of_variable(trace, self._var, eqn)
    self._live = weakref.ref(tracer)
    return tracer


class ConcreteArray(Value):
  """A concrete array, which `arrays` leads to as long as it is known."""
  __slots__ = ("_arrays", "_id")

  def __init__(self, number, x, arrays):
    super().__init__(number)
    self._arrays = arrays
    self._id = id(x)

  def revive(self):
    return self._arrays.find(self._id, self.number)


class Composite(Value):
  """A tracer that is its parts: primal and tangent, or value and dimension.

  `shared`: the tracer was handed out a second time, so that the arrays in it
  may have more than one owner.
  """
  __slots__ = ("_trace", "_rebuild", "_parts", "_live", "shared")

  def __init__(self, number, tracer, rebuild, parts):
    super().__init__(number, any(part.of_buffer for part in parts))
    self._trace = tracer._trace._weakref
    self._rebuild = rebuild
    self._parts = parts
    # A revived one is made of constants instead.
    self._live = (lambda: None) if self.of_buffer else weakref.ref(tracer)
    self.shared = False

  def revive(self):
    self.shared = True
    tracer = self._live()
    if tracer is not None:
      return tracer
    trace = self._trace()
    if trace is None:
      return None
    objects = []
    for part in self._parts:
      obj = part.revive()
      if obj is None:
        return None
      objects.append(obj)
    tracer = self._rebuild(trace, *objects)
    self._live = weakref.ref(tracer)
    return tracer


class TracerValues:
  """The values of the tracers of one trace that is not a jaxpr's."""
  __slots__ = ("by_id", "interned")

  def __init__(self):
    # id -> (weak reference, value); an entry counts only while its reference
    # leads to the object that asks, so that a reused id is no one else's.
    self.by_id: dict[int, tuple[weakref.ref, Value]] = {}
    self.interned: dict[Any, Composite] = {}

  def clear(self) -> None:
    self.by_id.clear()
    self.interned.clear()
