"""The seams in JAX's core: the methods that are replaced, and how long.

`Primitive.bind` looks at its operands and then calls `bind_with_trace`; JAX's
traces skip the first half and call `bind_with_trace` of their parent directly.
So every bind goes through `bind_with_trace`, once. Primitives that override it
(calls with functions as operands, as `custom_vjp_call`) stay as they are. The
exceptions are `custom_jvp_call` and `shard_map`: they are looked up where their
equations are staged, since their functions have been traced by then. Equal
operands of a `shard_map` are made one before its body is traced.

Since JAX 0.12.0 the linear calls of a `vjp` are bound as nodes, which stage
themselves. They are looked up as the primitive of the node, and staged as
nodes.

The methods by which results leave a transformation are replaced as well;
`eval_table` says why.

The methods are replaced while somebody uses them. A JAX that was patched to ask
at these places (`patches/`) is left as it is and given an answer.

    acquire(me)     # see `patching`
    release(me)

Limits: every thread sees the replaced methods; one without a memo pays for a
look at its cell, or for the question, and no more.
"""

import functools

from jax_cse import compat
from jax_cse.compat import patching
from jax_cse.foundation.active import here


def _memoized(plain):
  @functools.wraps(plain)
  def bind_with_trace(self, trace, args, avals, params, /):
    memo = here.cell.memo
    if memo is None:
      return plain(self, trace, args, avals, params)
    table = memo.tables.get(id(trace)) or memo.table(trace)
    return table.bind(plain, self, trace, args, avals, params)
  return bind_with_trace


def _as_a_node(plain):
  @functools.wraps(plain)
  def bind_with_trace(self, trace, args, avals, params, /):
    memo = here.cell.memo
    if memo is None or type(trace) is not compat.DynamicJaxprTrace:
      return plain(self, trace, args, avals, params)
    return memo.table(trace).bind(
        lambda _, *bind: plain(self, *bind), self.prim, trace, args, avals,
        params)
  return bind_with_trace


# What they compute is known when their equations are staged.
_KNOWN_LATE = frozenset({compat.custom_jvp_call_p, compat.shard_map_p})


def _staging(plain):
  @functools.wraps(plain)
  def emit_eqn(self, tracers, out_avals, primitive, params, effects,
               source_info=None, ctx=None):
    memo = (here.cell.memo if primitive in _KNOWN_LATE
            and type(self) is compat.DynamicJaxprTrace else None)
    if memo is None:
      return plain(self, tracers, out_avals, primitive, params, effects,
                   source_info, ctx)
    table = memo.table(self)
    stage = lambda *eqn: plain(self, *eqn, source_info, ctx)
    if primitive is compat.shard_map_p:
      return table.stage_shard_map(stage, primitive, self, tracers, out_avals,
                                   params, effects)
    return table.stage_custom_jvp(
        lambda: stage(tracers, out_avals, primitive, params, effects),
        primitive, self, tracers, params)
  return emit_eqn


def _sharding(plain):
  @functools.wraps(plain)
  def process_shard_map(self, prim, fun, args, *, in_specs, debug_info,
                        **params):
    memo = here.cell.memo if type(self) is compat.DynamicJaxprTrace else None
    places = (None if memo is None else
              memo.table(self).distinct(self, args, in_specs))
    if places is not None:   # operands that are equal enter once
      whole, first = fun, list(dict.fromkeys(places))
      place = {i: k for k, i in enumerate(first)}
      fun = lambda *xs: whole(*[xs[place[i]] for i in places])
      args, in_specs = zip(*[(args[i], in_specs[i]) for i in first])
      debug_info = debug_info.with_unknown_names()
    return plain(self, prim, fun, args, in_specs=in_specs,
                 debug_info=debug_info, **params)
  return process_shard_map


def _isolating(plain):
  @functools.wraps(plain)
  def convert(self, val):
    parts = plain(self, val)
    memo = here.cell.memo
    return parts if memo is None else memo.leaving(self, val, parts)
  return convert


# Owner, name, and the wrapper of the method.
_SEAMS = ((*compat.BIND, _memoized), (*compat.STAGE, _staging),
          (*compat.SHARD, _sharding),
          *((*node, _as_a_node) for node in compat.NODES),
          *((*exit_, _isolating) for exit_ in compat.EXITS))


def _passing(asking):
  """The plain function in one of a patched JAX: its question is passed over."""
  @functools.wraps(asking)
  def plain(*args, **kwargs):
    cell = here.cell
    cell.passing = True
    try:
      # Whose question is the next on this thread.
      return asking(*args, **kwargs)
    finally:
      cell.passing = False   # if an interrupt came first, or nobody was asked
  return plain


def _answer(asking, *args, **kwargs):
  cell = here.cell
  if cell.passing:
    cell.passing = False
    return NotImplemented
  return _answers[asking](*args, **kwargs)


_answers = {asking: wrap(_passing(asking))
            for owner, name, wrap in _SEAMS
            for asking in [getattr(owner, name)]} if compat.IS_PATCHED else {}


def _ask(is_on: bool) -> None:
  compat.ask(_answer if is_on else None)


_patch = patching.Patch(_SEAMS, _ask if compat.IS_PATCHED else None)
acquire, release = _patch.acquire, _patch.release
