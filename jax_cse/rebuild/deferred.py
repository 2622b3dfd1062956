"""Values that are put off: a number each, and a way to compute it when needed.

A tracer is a number of a type. `cse_trace` notes a primitive on tracers as an
`Application`, or the ring knows it as an element. `values` chooses the cheapest
way to the values that are wanted, and binds it at the parent trace. `results`
gives them the types and the placement that they have without CSE.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import keys
from jax_cse.numbering import scalars
from jax_cse.numbering.algebra import Algebra
from jax_cse.numbering.jaxpr_numbering import Scope
from jax_cse.numbering.value_numbering import Numbering
from jax_cse.numbering.values import TracerValues
from jax_cse.rebuild.planning import Planning
from jax_cse.rebuild.uniting import Uniting
from jax_cse.ring.coefficients import over
from jax_cse.ring.collapse import Collapse
from jax_cse.ring.cores import EQUATION, Element, Image, One
from jax_cse.ring.emission import Emission
from jax_cse.ring.extraction import Circular
from jax_cse.ring.linear_ring import LinearRing
from jax_cse.ring.normal_form import NormalForms

# The second of two ways is taken at so much of the cost of the first. That is
# of columns of a Jacobian, which may yet collapse with others: at 1, a step of
# training took 1.2 times the operations.
_MOST_OF_SECOND = 0.75


class Application(NamedTuple):
  """An application of a primitive that has not been bound yet."""
  primitive: Any
  params: dict[str, Any]
  operands: list["CseTracer"]
  results: list[int]
  out_avals: list[Any]
  context: Any
  source: Any


class _Foreign:
  """The numbering's record of another trace, whose tracers were closed over."""

  def __init__(self, trace):
    self.trace = trace   # keeps its id from being used again
    self.variables: dict[Any, int | None] = {}
    self.revivable: dict[Any, Any] = {}
    self.values = TracerValues()


class CseTracer(compat.Tracer):
  """A value that has a number.

  Attributes:
    number: of the value.
    holds: the present contents of a reference that was made here while
      derivatives are wanted.
    where: the placement of an operand that it was computed from, if that has
      one; a result that folds to a constant has no operand left to ask.
  """
  __slots__ = ("number", "holds", "where")

  def __init__(self, trace, aval, number):
    super().__init__(trace, aval)
    self.number = number
    self.holds: CseTracer | None = None
    self.where: Any = None

  def full_lower(self):   # 0.10.1: JAX asks no longer
    return self

  def to_concrete_value(self):
    if self._trace.stages:
      return None   # not computed: a jaxpr would keep its equations
    value, = self._trace.values([self])
    return compat.to_concrete_value(value)

  # JAX refuses these where a value moves, and where it is not known.

  def __array__(self, *args, **kwargs):
    value = self._still_value()
    return super().__array__(*args, **kwargs) if value is None else (
        np.asarray(value).__array__(*args, **kwargs))

  def __float__(self):
    value = self._still_value()
    return super().__float__() if value is None else float(value)

  def __complex__(self):
    value = self._still_value()
    return super().__complex__() if value is None else complex(value)

  def tolist(self):
    value = self._still_value()
    return super().tolist() if value is None else np.asarray(value).tolist()

  def _still_value(self):
    derivation = self._trace.derivation
    if derivation is not None and len(derivation.series(self, 1)) > 1:
      return None
    return self.to_concrete_value()


class DeferredTrace(compat.Trace):
  """Values that have numbers, and are computed at `parent` when needed.

  Attributes:
    algebra: which numbers are elements of a ring.
    derivation: the `Derivation` of the values, if any.
    has_acted: whether something had effects, so that nothing starts anew.
    alternatives: groups of pairs of tracers of one value; one of each group is
      computed for all, the first or the second of its pairs.
  """

  def __init__(self, parent, mode: str,
               simplify: Callable[[Any, Any, str], Any],
               planning: Planning | None = None):
    """A trace on a parent.

    Args:
      parent: where values are bound.
      mode: of the algebra.
      simplify: takes a primitive, a jaxpr among its params and the mode, and
        gives a simpler jaxpr.
      planning: makes the plans.
    """
    super().__init__()
    self.parent_trace = parent
    self._mode = mode
    self._simplify = simplify
    self.derivation: Any = None
    self.has_acted = False
    self.alternatives: list[list[tuple[CseTracer, CseTracer]]] = []
    self._is_outermost = type(parent) is compat.EvalTrace
    self.stages = compat.stages(parent)
    self._is_placed = False   # any operand
    self._foreign: dict[int, _Foreign] = {}
    self._numbering = Numbering(self._table)
    # Calls are numbered by their jaxprs as they are: outside there is no way to
    # the parts of a sum inside of a call.
    self._scope = Scope(self._numbering)
    self.algebra = Algebra(self._scope, mode)
    ring = self.algebra.ring
    self._forms = [NormalForms(ring)] if mode == "ring" else []
    self._planning = planning or Planning()
    self._taken: Collapse | None = None   # the second of two ways
    self._collapse = (Collapse(ring, self._planning.rewrites)
                      if isinstance(ring, LinearRing) else None)
    self._emission = Emission(ring, scalars.Arithmetic())
    self._calls: dict[int, Application] = {}
    self._uniting = Uniting(self._calls)
    # The operands of an application, by its id, while a way is chosen.
    self._below: dict[int, tuple[Application, list[Element]]] = {}
    self._entered: dict[int, Any] = {}   # keeps the owners of the ids alive
    self._typed: dict[int, Any] = {}

  def _table(self, trace):
    found = self._foreign.get(id(trace))
    if found is None:
      found = self._foreign[id(trace)] = _Foreign(trace)
    return found

  # From values of the parent to tracers, and back.

  def enter(self, x: Any) -> CseTracer:
    """A tracer for an operand, about which nothing is known."""
    return self._new_atom(x, self._scope.leaf())

  def _new_atom(self, x, number):
    self._emission.enter(Element(1, number), x)
    self._typed[number] = x
    tracer = CseTracer(self, compat.typeof(x), number)
    if not self.stages:
      tracer.where = (x.where if isinstance(x, CseTracer)
                      else compat.placement(x))
      self._is_placed = self._is_placed or tracer.where is not None
    return tracer

  def lift(self, x: Any) -> CseTracer:
    """A tracer for any operand of a bind."""
    if isinstance(x, CseTracer) and x._trace is self:
      return x
    found = self._entered.get(id(x))
    if found is not None and found[0] is x:
      return found[1]
    number = (self._numbering.number(x)
              if type(compat.typeof(x)) is compat.ShapedArray else None)
    if number is None:
      tracer = self.enter(x)
    elif number in self._typed:
      tracer = CseTracer(self, compat.typeof(x), number)
    else:
      tracer = self._new_atom(x, number)
    if type(x) not in compat.SCALARS:
      self._entered[id(x)] = x, tracer
    return tracer

  def unknown(self, aval) -> CseTracer:
    """A tracer for a value that is never computed, to see what follows."""
    return CseTracer(self, aval, self._scope.leaf())

  def use_forms(self, forms: NormalForms) -> None:
    """Normal forms to choose from, in place of those in atoms alone."""
    self._forms = [forms]

  def constant(self, c: int, aval) -> CseTracer:
    """A tracer for an array of one number, of a type in the ring."""
    return self.tracer(self.algebra.ring.constant(c, aval.dtype), aval)

  def is_zero(self, tracer: CseTracer) -> bool:
    """Whether a tracer is known to be zeros, of a type in no ring too."""
    coefficient, core = self.algebra.find(tracer.number)
    scalar = self._numbering.scalars.get(core)
    if not coefficient or (scalar is not None and not scalar):
      return True
    call = self.call_of(core)
    return (call is not None and call.primitive in compat.KEEP_CONSTANTS
            and self.is_zero(call.operands[0]))

  def tracer(self, element: Element, aval) -> CseTracer:
    """A tracer for an element of a ring."""
    return CseTracer(self, aval, self.algebra.number_of(element, aval))

  def values(self, tracers: Sequence[Any]) -> list[Any]:
    """The values of tracers, as objects of the parent trace."""
    tracers = [self.lift(x) for x in tracers]
    wanted = [self.algebra.find(t.number) for t in tracers
              if t.number not in self._typed]
    self._below.clear()
    self._decide(wanted)
    choices = self._choose(wanted)
    with compat.set_current_trace(self.parent_trace):
      self._emission.run(choices, self._compute)
      return [self._value(t) for t in tracers]

  def results(self, tracers: Sequence[Any],
              revised: Callable[[Any], list[Any]] | None = None) -> list[Any]:
    """`values`, each of the type that the parent trace gives without CSE.
    `revised`: gives those of a jaxpr of the parent's values, asked if sums over
    axes may be taken earlier."""
    tracers = [self.lift(x) for x in tracers]
    parent = self.parent_trace
    values = self._revised(tracers, revised) or self.values(tracers)
    if isinstance(parent, DeferredTrace):
      outs = list(map(parent.lift, values))
      for out, x in zip(outs, tracers):
        out.where = out.where or x.where
      return outs
    return [
        compat.as_result(compat.convert(x, tracer.aval), parent, tracer.where)
        for x, tracer in zip(values, tracers)]

  def _revised(self, tracers, revised):
    parent = self.parent_trace
    if revised is None or not getattr(self.algebra.ring, "sums_axes", False):
      return None
    def values():
      with compat.take_current_trace() as self.parent_trace:
        return self.values(tracers)
    staged = compat.trace_to_jaxpr(values, [], compat.debug_info_of(values))
    with compat.set_current_trace(parent):
      return revised(staged)

  def _choose(self, wanted):
    if not wanted:
      return []
    beneath = lambda numbers: self._beneath(numbers, {}, ())
    self._uniting.unite(beneath, [n for _, n in wanted])
    try:
      return self._plan(wanted)
    except Circular:
      self._uniting.undo()
    return self._plan(wanted)

  def _plan(self, wanted):
    ring, collapses = self.algebra.ring, [self._taken]
    if getattr(ring, "may_collapse", False):
      collapses.append(self._collapse)
    return self._planning.choose(
        ring, self._forms, collapses, wanted, self._emission.there,
        self._operands)

  def _decide(self, wanted):
    """Has the dearer of two ways to a value go by the other.

    What both are made of, and what others of the wanted are, costs neither.
    """
    groups = [[tuple(self.algebra.element(x.number, x.aval) for x in pair)
               for pair in pairs] for pairs in self.alternatives]
    self.alternatives = []
    if self._collapse is None:
      return
    taken: dict[int, int] = {}   # in place of a first
    for pairs in groups:
      own = {x.core for x, _ in pairs}
      needed = self._beneath([n for _, n in wanted], taken, own)
      read = [(x, y) for x, y in pairs if x.core in needed]
      first, second = (
          sum(map(self._cost, self._beneath([way[i].core for way in read],
                                            taken, needed - own)))
          for i in range(2))
      if second < _MOST_OF_SECOND * first:
        self._taken = self._taken or self._collapse.without_looking()
        for x, y in read:
          taken[x.core] = y.core
          for collapse in (self._taken, self._collapse):
            collapse.replace(x.core, Element(
                over(y.coefficient, x.coefficient), y.core))

  def _beneath(self, numbers, taken, known) -> set[int]:
    """What numbers are computed from, as they are written or by what is taken
    in their place; what is known is not looked beneath."""
    seen: set[int] = set()
    todo, before = list(numbers), None
    while todo:
      n = todo.pop()
      if n in seen or n in self._emission.there:
        continue
      seen.add(n)
      core = self.algebra.ring.cores.get(n)
      if n in known:
        continue
      if n in taken:
        todo.append(taken[n])
      elif core is not None and core.parts and type(core) is not Image:
        todo += [m for _, m in core.parts]
      elif type(core) is not One and self.call_of(n) is not None:
        below = self._operands(n)
        if below is not before:
          todo += [m for _, m in below]
        before = below
    return seen

  def _cost(self, n) -> int:
    core = self.algebra.ring.cores.get(n)
    return (core.map.cost if type(core) is Image else
            0 if core is None else EQUATION + core.size)

  def call_of(self, number: int) -> Application | None:
    """The application of a primitive that a number is a result of."""
    call = self._calls.get(number)
    applied = None if call else self.algebra.application(number)
    if applied is not None:
      map_, parts = applied
      operands = {i: CseTracer(self, map_.avals[i], n)
                  for i, n in map_.fixed.items()}
      operands |= {i: self.tracer(x, map_.avals[i])
                   for i, x in zip(map_.slots, parts)}
      call = self._calls[number] = Application(
          map_.primitive, map_.params,
          [operands[i] for i in range(len(operands))], [number],
          [map_.out], map_.context, map_.source)
    return call

  def _operands(self, number):
    """The operands of an application, one list for all of its results: a loop
    with n carries has n results of n operands."""
    call = cast(Application, self.call_of(number))
    if id(call) not in self._below:
      self._below[id(call)] = call, [
          self.algebra.find(x.number) for x in call.operands]
    return self._below[id(call)][1]

  def _value(self, tracer):
    number = tracer.number
    if number not in self._typed:
      value = self._emission.value(self.algebra.find(number))
      self._typed[number] = compat.convert(value, tracer.aval)
    return self._typed[number]

  def _compute(self, number):
    call = cast(Application, self.call_of(number))
    params = call.params
    # A body of shards can be traced on its mesh only.
    if (keys.plan_of(call.primitive).is_structured
        and call.primitive is not compat.shard_map_p):
      params = jaxprs.with_jaxprs(params, iter(
          [self._simplify(call.primitive, j, self._mode)
           for j in jaxprs.in_order(params)]))
    operands = [self._value(x) for x in call.operands]
    if (call.primitive is compat.shard_map_p
        and type(self.parent_trace) is compat.DynamicJaxprTrace):
      # As it is: JAX accepts types in a jaxpr that it refuses at a bind.
      values = compat.stage(self.parent_trace, call.primitive, operands, params,
                            call.out_avals, call.context, call.source)
    else:
      values = compat.bind_later(call.primitive, operands, params,
                                 call.context, call.source)
    for n, x in zip(call.results, values):
      if n not in self._emission.there:
        self._emission.enter(Element(1, n), x)
