"""The memo: a bind on the same values again returns its first result.

This is the thread's "memoizing `Primitive.bind`". There is a table for each
trace, since a result belongs to the trace that made it. The tables of nested
traces work together. Take `jvp` of `jvp` under a jaxpr trace: the rule of the
outermost level makes binds one level further in, which are looked up there.
Where one misses, its rule makes binds at the jaxpr trace, which are looked up
there.

    kind of trace            table              results are held
    jaxpr under construction `jaxpr_table`      by the jaxpr alone
    jvp, linearize, vmap     `transform_table`  by their parts
    eager evaluation         `eval_table`       by the table, within a budget
    any other                none               not

    The equations of a partial evaluation (of a rule without a `linearize` of
    its own) are bound again at a trace that has a table.

A key holds everything that JAX has in the keys of its own trace caches
(precision, x64, device, mesh, compute placement, metadata, axis names, ...).

Limits: a `linearize` (so `grad`, `vjp`) that runs eagerly merges primal values
only. Merged tangents would add up cotangents in another order, which changes
bits. In a traced program they are merged.
"""

import functools
from typing import Any
import weakref

from jax_cse import compat
from jax_cse.memo import eval_table
from jax_cse.memo import jaxpr_table
from jax_cse.memo import transform_table
from jax_cse.memo.statistics import Statistics
from jax_cse.numbering import bodies
from jax_cse.numbering import value_numbering
from jax_cse.numbering.values import TracerValues
from jax_cse.primitives import exclusions

# Equations in a call, a loop or a branch, with all that is inside of it, that
# are looked at in a first derivative. With 400 numpyro's NUTS took 1.9 times as
# long to trace as without CSE, with 100 1.45, with 30 no less.
_MAX_SIZE = 100


class _NoTable:
  """Stands for the table of a trace that has none.

  A rule without a `linearize` of its own is partially evaluated. The equations
  that JAX makes then are bound once more at a trace that has a table, and
  operands that are known are at one already.
  """

  traced = False
  root = None
  order = base = 0
  __slots__ = ("memo", "against", "values", "reference")

  def __init__(self, memo, against):
    self.memo = memo
    self.against = against
    self.values = TracerValues()

  def bind(self, plain, primitive, trace, args, avals, params):
    return self.memo.bypass(plain, self.against, primitive, trace, args, avals,
                            params)


class Memo:
  """Memo tables for all the traces of one thread, and their statistics.

  Attributes:
    mode: which equations are the same.
    context_mode: that of `enabled()`, which is in the keys of JAX's caches.
    stats: `Statistics` of the lookups.
    tables: the tables by id of their trace.
  """

  def __init__(self, mode: str, max_bytes: int):
    self.mode = self.context_mode = mode
    self.stats = Statistics()
    self.depth = 0               # of rules of transformations that are running
    self.linearizing = 0         # how many of them are of `linearize`
    # Around the innermost of them: the order of the derivatives that make the
    # jaxpr under construction, and the transformations that run in it.
    self.around: tuple[int, tuple] = 0, ()
    self.shares_arrays = False   # an eager transformation handed one out twice
    # Whether the transformations that run now began with this memo, so that it
    # is there when their results leave.
    self.sees_exits = compat.outside_transformations()
    self.tables: dict[int, Any] = {}
    self.numbering = value_numbering.Numbering(self.table)
    self.eager_numbering = self.numbering.eager()
    self._eval = eval_table.EvalTable(self, max_bytes)
    self._context: Any = None
    self._context_number = 0
    self._context_numbers: dict[Any, int] = {}

  @property
  def nbytes(self) -> int:
    """Bytes that the eager table holds, bookkeeping included."""
    return self._eval.results.nbytes

  def for_staging(self) -> "Memo":
    """A memo for a program that is rebuilt when it is staged: it merges what is
    the same to the bit, which is cheaper, and counts with this one."""
    memo = Memo("exact", self._eval.results.max_bytes)
    memo.stats, memo.context_mode = self.stats, self.context_mode
    return memo

  def clear(self) -> None:
    """Forgets every result; the statistics stay."""
    self.tables.clear()
    self.numbering.clear()
    self._eval.clear()
    self.shares_arrays = False
    self._context, self._context_numbers = None, {}

  def table(self, trace):
    """The table of a trace, whose `bind` stands for that of a primitive.

    `bind(plain, primitive, trace, args, avals, params)` returns the results of
    `plain`, JAX's own `Primitive.bind_with_trace`, on the other arguments, or
    those of an equal bind before. The table dies with the trace.
    """
    table = self.tables.get(id(trace))
    return self._new_table(trace) if table is None else table

  def _new_table(self, trace):
    kind = type(trace)
    table: Any
    if kind is compat.DynamicJaxprTrace:
      table = jaxpr_table.JaxprTable(self)
    elif kind is compat.EvalTrace:
      table = self._eval
    elif kind in (compat.JVPTrace, compat.LinearizeTrace, compat.BatchTrace):
      table = transform_table.TransformTable(
          self, trace, self.table(trace.parent_trace))
    else:
      table = _NoTable(self, exclusions.PARTIALLY_EVALUATED
                       if kind is compat.PartialEvalTrace else
                       exclusions.UNKNOWN_TRACE)
    key = id(trace)
    # No function of Python, in which an interrupt could come.
    table.reference = weakref.ref(
        trace, functools.partial(self.tables.pop, key))
    self.tables[key] = table
    return table

  def context(self) -> int:
    """The number of the context that JAX would stamp on an equation now."""
    context = compat.trace_context()
    if context != self._context:
      number = self._context_numbers.setdefault(
          context, self.numbering.fresh())
      # Both at once, lest an interrupt leave a context with another's number.
      self._context, self._context_number = context, number
    return self._context_number

  def context_of(self, eqn_context) -> Any:
    """The same for an equation that is in a jaxpr already."""
    if eqn_context == compat.current_eqn_context():
      return self.context()
    return eqn_context

  def order(self) -> int:
    """Of the derivatives that the rules which run now make."""
    base, around = self.around
    return base + compat.differentiations(around)

  def leaves_whole(self, table, plan, params) -> bool:
    """Whether a call, a loop or a branch is compared as it is, and not by what
    it computes. If so it is counted.

    The duplicates of a first derivative are merged by XLA too, and there are
    few.
    """
    if (bodies.size(params) <= _MAX_SIZE or
        table.base + compat.differentiations(compat.transformations()) > 1):
      return False
    self.stats.whole[plan.name] += 1
    return True

  def bypass(self, plain, reason, primitive, trace, args, avals, params):
    """The plain bind, counted with the reason why it is not looked up."""
    self.stats.bypass(primitive.name, reason)
    if primitive.name not in exclusions.EVALUATED_BARRIERS:
      return plain(primitive, trace, args, avals, params)
    before, self._eval.against = self._eval.against, exclusions.INSIDE_BARRIER
    try:
      return plain(primitive, trace, args, avals, params)
    finally:
      self._eval.against = before

  def count(self, plan, is_hit, reason: str | None = None) -> None:
    """Counts a call as a hit or a miss."""
    if is_hit:
      self.stats.hits_of[plan.name] += 1
    elif reason is None:
      self.stats.misses_of[plan.name] += 1
    else:
      self.stats.bypass(plan.name, reason)

  def leaving(self, trace, tracer, parts):
    """`parts` of a tracer that leaves its `trace`; see `eval_table`.

    Arrays that were handed out more than once are replaced by copies.
    """
    # Made here at the latest: where a `linearize` begins with a `custom_jvp`
    # call nothing was bound at it yet, and its tangents must not be merged.
    table = self.table(trace)
    if self.depth or not self.shares_arrays or table.traced:
      return parts
    return self.eager_numbering.separate(tracer, parts)
