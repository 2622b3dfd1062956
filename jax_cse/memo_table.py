"""The memo table: a bind on values that were seen before returns its result.

This is the thread's "memoizing `Primitive.bind`": before a primitive is applied
its key is looked up, and a hit is answered with the result of the first time.

    key = (primitive, context, params, numbers of the operands)

There is a table for each trace, since a result belongs to the trace that made
it, and the tables of nested traces work together: a bind under `jvp` under
`jvp` under a jaxpr trace is looked up at the outermost level; if it misses, the
rule of that level makes binds one level further in, which are looked up there.

Tables refer to results through `Value`s, which keep nothing alive that JAX
would drop, so no program gets more equations than it had. The one exception is
the eager table, where nothing else would hold a result; it has a budget.

What is in `context`: everything that JAX has in its own trace caches
(precision, x64, device, mesh, compute placement, metadata, axis names, ...).

Sharing arrays. In a traced program a result may have any number of owners.
Eagerly an owner may donate it, and that must not touch another's:

- to the user a hit hands over the array itself if nobody but the table holds
  it, and a copy otherwise;
- inside a transformation arrays are shared; where one with two owners leaves
  the transformation, it leaves as a copy.

Limits: a `linearize` (so `grad`, `vjp`) that runs eagerly merges primal values
only. Merged tangents would add up cotangents in another order, which can be
told by the bits. In a traced program they are merged.
"""

from collections.abc import Callable
import sys
from typing import Any
import weakref

from jax_cse import commutative
from jax_cse import compat
from jax_cse import exclusions
from jax_cse import fingerprint
from jax_cse import value_numbering
from jax_cse.eager_table import EagerTable
from jax_cse.statistics import Statistics

# A transformation that runs eagerly for a long time has a table that would
# grow with it. Emptying it costs hits and no more.
_MAX_EAGER_TRANSFORM_ENTRIES = 1 << 16

# Reference counts of an array that only the eager table holds, as seen from
# `_to_user`: the value's slot, the local name, and the argument of getrefcount.
_HELD_BY_TABLE_ONLY = 3

_UNKNOWN_TRACE = "under a trace of a kind that is not known"
_NO_NUMBER = "an operand has no number"
_COTANGENTS = "keeps the order in which cotangents add up"
_CHECKED = "JAX is told to check every eager result"
_COMPILED = "an eager jit runs compiled"
_DONATES = "donates its operands"
_EFFECTS = "has effects"
_INSIDE_BARRIER = "is part of what a barrier computes again"


class _Plan:
  """What holds for every bind of one primitive."""
  __slots__ = ("against", "against_eager", "effects_in_params", "is_jit",
               "commutes")

  def __init__(self, primitive):
    self.against = exclusions.reason_against(primitive)
    self.against_eager = exclusions.EAGER.get(primitive.name)
    self.effects_in_params = primitive in compat.EFFECTS_IN_PARAMS
    self.is_jit = primitive is compat.jit_p
    self.commutes = primitive.name in commutative.NAMES


_plans: dict[compat.Primitive, _Plan] = {}


def _plan_of(primitive) -> _Plan:
  plan = _plans.get(primitive)
  if plan is None:
    plan = _plans[primitive] = _Plan(primitive)
  return plan


class _Table:
  """The entries and values of one trace."""
  __slots__ = ("kind", "traced", "order", "against", "entries", "values",
               "reference")

  def __init__(self, kind, traced, order, against, entries):
    self.kind = kind
    self.traced = traced      # the results end up in a jaxpr
    self.order = order        # of nested forward mode
    self.against = against    # the reason why nothing is merged here, or None
    self.entries = entries
    self.values = value_numbering.TraceValues()


class Memo:
  """Memo tables for all the traces of one thread, and their statistics.

  Attributes:
    mode: the mode that decides what is the same.
    stats: `Statistics` of the lookups.
  """

  def __init__(self, mode: str, max_bytes: int):
    self.mode = mode
    self.stats = Statistics()
    self._eager = EagerTable(max_bytes, self._evicted)
    self._tables: dict[int, _Table] = {}
    self._numbering = value_numbering.Numbering(
        lambda trace: self._table(trace).values)
    self._context: Any = None
    self._context_number = 0
    self._context_numbers: dict[Any, int] = {}
    self._inside = 0            # depth of eager transformations
    self._shares_arrays = False

  @property
  def nbytes(self) -> int:
    """Bytes that the eager table holds, bookkeeping included."""
    return self._eager.nbytes

  def clear(self) -> None:
    """Forgets every result; the statistics stay."""
    self._eager.clear()
    self._tables.clear()
    self._numbering = value_numbering.Numbering(
        lambda trace: self._table(trace).values)
    self._context, self._context_numbers = None, {}

  # ---- tables of traces ----

  def _table(self, trace) -> _Table:
    table = self._tables.get(id(trace))
    return self._new_table(trace) if table is None else table

  def _new_table(self, trace) -> _Table:
    kind = type(trace)
    if kind is compat.DynamicJaxprTrace:
      table = _Table(kind, True, 0, None, {})
    elif kind is compat.EvalTrace:
      table = _Table(kind, False, 0, None, self._eager)
    elif kind in (compat.JVPTrace, compat.BatchTrace):
      parent = self._table(trace.parent_trace)
      order = parent.order + (kind is compat.JVPTrace)
      table = _Table(kind, parent.traced, order, parent.against, {})
    elif kind is compat.LinearizeTrace:
      parent = self._table(trace.parent_trace)
      table = _Table(kind, parent.traced, parent.order,
                     None if parent.traced else _COTANGENTS, {})
      if not parent.traced:
        self._table(trace.tangent_trace).against = _COTANGENTS
    else:
      table = _Table(kind, False, 0, _UNKNOWN_TRACE, {})
    tables, key = self._tables, id(trace)
    tables[key] = table
    table.reference = weakref.ref(trace, lambda _: tables.pop(key, None))
    return table

  # ---- the bind ----

  def bind(self, plain: Callable, primitive, trace, args, avals, params):
    """`primitive.bind_with_trace(trace, ...)`, or its result from before.

    `plain` is JAX's own `bind_with_trace`.
    """
    table = self._tables.get(id(trace))
    if table is None:
      table = self._new_table(trace)
    plan = _plans.get(primitive) or _plan_of(primitive)
    eager = table.kind is compat.EvalTrace
    reason = plan.against or table.against
    if reason is None and plan.effects_in_params:
      if plan.is_jit and table.traced and compat.is_inline_call(params):
        if table.kind is compat.DynamicJaxprTrace:
          if not params["jaxpr"].effects:
            return self._inline(table, trace, params["jaxpr"], args)
        elif table.kind is compat.JVPTrace and table.order >= 2:
          return compat.evaluate_inline(trace, params["jaxpr"], args)
      reason = self._against_call(plan, eager, params)
    if reason is None and not table.traced:
      if compat.checks_every_result():
        reason = _CHECKED
      elif eager:
        reason = plan.against_eager
    if reason is None:
      key = self._key(table, plan, primitive, args, avals, params)
      if type(key) is str:
        reason = key
    if reason is not None:
      return self._bypass(plain, reason, primitive, trace, args, avals, params)

    entry = table.entries.get(key)
    if entry is not None:
      out = self._recall(table, entry)
      if out is not None and not (eager and _any_deleted(args)):
        self.stats.hit(primitive.name)
        return out if primitive.multiple_results else out[0]
      if eager:
        table.entries.discard(key)

    self.stats.miss(primitive.name)
    if table.traced or eager:
      out = plain(primitive, trace, args, avals, params)
    else:
      self._inside += 1
      try:
        out = plain(primitive, trace, args, avals, params)
      finally:
        self._inside -= 1
    self._store(table, key, primitive, args, out)
    return out

  def _bypass(self, plain, reason, primitive, trace, args, avals, params):
    self.stats.bypass(primitive.name, reason)
    if primitive.name not in exclusions.EVALUATED_BARRIERS:
      return plain(primitive, trace, args, avals, params)
    table = self._table(compat.eval_trace)
    before, table.against = table.against, _INSIDE_BARRIER
    try:
      return plain(primitive, trace, args, avals, params)
    finally:
      table.against = before

  def _against_call(self, plan, eager, params) -> str | None:
    if plan.is_jit:
      if any(params["donated_invars"]):
        return _DONATES
      if eager and not self._inside:
        return _COMPILED
    if all(compat.benign(j.effects) for j in compat.jaxprs_in_params(params)):
      return None
    return _EFFECTS

  def _key(self, table, plan, primitive, args, avals, params):
    """The key of a bind, or the reason why it has none."""
    numbering = self._numbering
    numbering.traced = table.traced
    numbers = []
    for x in args:
      value = numbering.of(x)
      if value is None:
        return _NO_NUMBER
      numbers.append(value.number)
    if (plan.commutes and numbers[0] > numbers[1]
        and commutative.may_swap(primitive, avals[0].dtype,
                                 not table.traced)):
      numbers.reverse()
    try:
      params = fingerprint.of_params(params)
    except fingerprint.Unkeyable as e:
      return e.args[0]
    context = compat.trace_context()
    if context != self._context:
      self._enter_context(context)
    return (primitive, self._context_number, params, *numbers)

  def _enter_context(self, context) -> None:
    self._context = context
    numbers = self._context_numbers
    self._context_number = numbers.setdefault(context, len(numbers))

  # ---- calls that JAX inlines ----

  def _inline(self, table, trace, closed_jaxpr, args):
    """The equations of a call, bound one by one into a jaxpr trace."""
    jaxpr = closed_jaxpr.jaxpr
    source = compat.current_source()
    numbering, entries = self._numbering, table.entries
    numbering.traced = True
    if (context := compat.trace_context()) != self._context:
      self._enter_context(context)
    eqn_context = compat.current_eqn_context()
    env = {}
    for var, x in zip(jaxpr.constvars, closed_jaxpr.consts):
      env[var] = trace.to_jaxpr_tracer(x, source)
    for var, x in zip(jaxpr.invars, args):
      env[var] = trace.to_jaxpr_tracer(x, source)

    def read(atom):
      if type(atom) is compat.Literal:
        return compat.literal_tracer(trace, atom, source)
      return env[atom]

    for eqn, primitive, params_key, swaps in _inline_plan(jaxpr):
      tracers = [read(atom) for atom in eqn.invars]
      key = None
      if params_key is not None and eqn.ctx is eqn_context:
        values = [numbering.of(t) for t in tracers]
        if None not in values:
          numbers = [v.number for v in values]
          if swaps and numbers[0] > numbers[1]:
            numbers.reverse()
          key = (primitive, self._context_number, params_key, *numbers)
      outs = None
      if key is not None and (entry := entries.get(key)) is not None:
        outs = self._recall(table, entry)
      if outs is None:
        outs = compat.emit(trace, eqn, tracers,
                           compat.inlined_source(source, eqn))
        if key is not None:
          self.stats.miss(primitive.name)
          if (entry := self._staged(table, outs)) is not None:
            entries[key] = entry
      else:
        self.stats.hit(primitive.name)
      for var, x in zip(eqn.outvars, outs):
        env[var] = x
    return [read(atom) for atom in jaxpr.outvars]

  # ---- results ----

  def _store(self, table, key, primitive, args, out) -> None:
    outs = out if primitive.multiple_results else (out,)
    if table.kind is compat.DynamicJaxprTrace:
      entry = self._staged(table, outs)
    elif table.kind is compat.EvalTrace:
      self._store_eager(key, primitive, args, outs)
      return
    else:
      if not table.traced and (
          len(table.entries) >= _MAX_EAGER_TRANSFORM_ENTRIES):
        table.entries.clear()
        table.values.clear()
      of = self._numbering.of
      entry = tuple([of(x) for x in outs])
      if None in entry:
        return
    if entry is not None:
      table.entries[key] = entry

  def _staged(self, table, outs):
    """The values of what one equation just computed, or None."""
    if not outs or type(outs[0]) is not compat.DynamicJaxprTracer:
      return None
    eqn = outs[0].parent
    if eqn is None or not compat.benign(eqn.effects):
      return None  # folded to a constant or forwarded, which costs nothing
    reference = weakref.ref(eqn)
    variables, new_variable = table.values.variables, (
        self._numbering.new_variable)
    entry = []
    for x in outs:
      if (x.parent is not eqn or x.val in variables
          or type(x.aval) is not compat.ShapedArray):
        return None
      entry.append(new_variable(variables, x, reference))
    return tuple(entry)

  def _store_eager(self, key, primitive, args, outs) -> None:
    nbytes, entry = 0, []
    for x in outs:
      if type(x) is not compat.ArrayImpl or any(x is a for a in args):
        return
      value = self._numbering.new_array(x)
      value.array = x
      entry.append(value)
      nbytes += x.nbytes
    self._eager.put(key, tuple(entry), primitive.name, nbytes)

  def _evicted(self, entry, name, nbytes) -> None:
    self.stats.evict(name, nbytes)
    for value in entry:
      value.array = None

  def _recall(self, table, entry):
    """The results of an entry, or None if one of them is gone."""
    if table.kind is compat.EvalTrace:
      recall = self._share if self._inside else self._to_user
    else:
      recall = _revive
      if not table.traced:
        self._shares_arrays = True
    outs = []
    for value in entry:
      x = recall(value)
      if x is None:
        return None
      outs.append(x)
    return outs

  def _share(self, value):
    array = value.revive()
    if array is not None:
      reference = self._numbering.reference(array)
      reference.shared = self._shares_arrays = True
    return array

  def _to_user(self, value):
    array = value.revive()
    if array is None or sys.getrefcount(array) <= _HELD_BY_TABLE_ONLY:
      return array
    return self._numbering.copy(array, value)

  # ---- where arrays leave an eager transformation ----

  def leaving(self, tracer, parts):
    """`parts` of `tracer`, with copies of arrays that have another owner."""
    if self._inside or not self._shares_arrays:
      return parts
    numbering = self._numbering
    value = numbering.of(tracer) if isinstance(tracer, compat.Tracer) else None
    shared = getattr(value, "shared", False)
    return tuple([self._leave(part, shared, numbering) for part in parts])

  def _leave(self, part, shared, numbering):
    if type(part) is compat.ArrayImpl:
      reference = numbering.reference(part)
      if (reference is not None and (shared or reference.shared)
          and not part.is_deleted()):
        return numbering.copy(part, reference.value)
    elif shared and isinstance(part, compat.Tracer):
      value = numbering.of(part)
      if isinstance(value, value_numbering.Composite):
        value.shared = True
    return part


_inline_plans: weakref.WeakKeyDictionary[Any, list] = (
    weakref.WeakKeyDictionary())


def _inline_plan(jaxpr):
  """For each equation what its key needs that no call changes."""
  plan = _inline_plans.get(jaxpr)
  if plan is None:
    plan = _inline_plans[jaxpr] = [_plan_eqn(eqn) for eqn in jaxpr.eqns]
  return plan


def _plan_eqn(eqn):
  primitive = eqn.primitive
  plan = _plan_of(primitive)
  try:
    params_key = None if plan.against else fingerprint.of_params(eqn.params)
  except fingerprint.Unkeyable:
    params_key = None
  swaps = plan.commutes and commutative.may_swap(
      primitive, eqn.invars[0].aval.dtype, eager=False)
  return eqn, primitive, params_key, swaps


def _revive(value):
  return value.revive()


def _any_deleted(args) -> bool:
  return any(type(x) is compat.ArrayImpl and x.is_deleted() for x in args)
