"""Reverse mode, where it is differentiated again: simpler, or not reverse.

JAX merges and rebuilds nothing between two derivatives, and XLA only after the
last. Two functions of JAX's are replaced while sums and products may be
reordered, inside of `enabled("ring")` and while the function of a `cse` runs:

    the linearization     of a function with nested derivatives in it, by many
                          inputs: the function is staged and simplified first
    the backward pass     of a function of few inputs: runs forwards, where its
                          equations would be differentiated again

Whether they are is told by the value of the user context. It is a part of the
key of every trace cache, so what is traced here is never reused elsewhere.

Limits: only in what is traced, or is the function of a `cse`; not while a mesh
is set.
"""

from collections.abc import Iterator
import contextlib
import functools
from typing import Any

import jax

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.compat import patching
from jax_cse.foundation import counting
from jax_cse.foundation.active import here
from jax_cse.rebuild import linear_program
from jax_cse.rebuild import simplification
from jax_cse.rebuild.cse_trace import CseTrace


def _mode() -> str | None:
  """The mode that reorders sums and products here, if one does."""
  value = compat.user_context.value()
  return None if value is None or value[0] == "exact" else value[0]


@contextlib.contextmanager
def reordered(mode: str) -> Iterator[None]:
  """Has reverse mode simplified on this thread, unless it is or in "exact"."""
  if mode == "exact" or _mode() is not None:
    yield
    return
  me, before = object(), compat.user_context.get()
  try:
    patch.acquire(me)
    compat.user_context.set((mode, "rebuilt"))
    yield
  finally:
    compat.user_context.set(before)
    patch.release(me)


def _around() -> tuple[bool, bool]:
  """Whether operations here are noted before they are done, and whether a
  linearization is under way in what is noted."""
  trace, linearized = compat.current_trace(), False
  while trace is not None:
    if isinstance(trace, (CseTrace, compat.DynamicJaxprTrace)):
      return True, linearized
    linearized = linearized or isinstance(trace, compat.LinearizeTrace)
    trace = getattr(trace, "parent_trace", None)
  return False, linearized


def _order(jaxpr) -> int:
  """The highest order of the derivatives in a jaxpr."""
  return max((compat.differentiations(eqn.source_info.name_stack.stack)
              for eqn in counting.equations(jaxpr)), default=0)


# The backward pass.

def _transposing(plain):
  @functools.wraps(plain)
  def backward_pass3(jaxpr, transform_stack, consts, primals_in, cotangents_in):
    # `vjp` says that the transformation is to be named, rules do not.
    values = [*consts, *primals_in]
    wanted = (compat.wanted_inputs(values)
              if transform_stack and _mode() is not None else None)
    if not wanted or not _runs_forwards(jaxpr, wanted):
      return plain(jaxpr, transform_stack, consts, primals_in, cotangents_in)

    def transpose(rest, inputs, known, given):
      accumulators = list(map(compat.accumulator, inputs))
      known = {v: x for v, x in known.items() if v not in inputs}
      plain(compat.with_inputs(rest, [*known, *inputs]), transform_stack, [],
            [*known.values(), *accumulators], given)
      return [x.freeze() for x in accumulators]

    found = linear_program.cotangents(jaxpr, values, wanted, cotangents_in,
                                      transpose)
    for i, x in zip(wanted, found):
      values[i].accum(x)
    return {}   # 0.11.0: what rules log, and they log nothing
  return backward_pass3


def _runs_forwards(jaxpr, wanted) -> bool:
  binders = [*jaxpr.constvars, *jaxpr.invars]
  avals = [binders[i].aval for i in wanted]
  count, _ = linear_program.columns(avals)
  if not 0 < count <= linear_program.FEW:
    return False
  is_noted, is_nested = _around()
  if not is_noted or not linear_program.runs_forwards(jaxpr, avals):
    return False
  # A gradient that is not derived again costs one backward pass, or as many
  # columns as it has numbers.
  return count == 1 or is_nested or _order(jaxpr) > 1


# The linearization.

def _linearizing(plain):
  @functools.wraps(plain)
  def linearize(function, *primals, **kwargs):
    mode = _mode()
    if mode is not None and _is_worth_it(compat.operands_of(primals)):
      function = compat.called_by(
          function, functools.partial(_simplified, mode=mode))
    return plain(function, *primals, **kwargs)
  return linearize


def _is_worth_it(operands) -> bool:
  avals = [aval for aval in map(compat.typeof, operands)
           if compat.is_inexact(aval.dtype)]
  return linear_program.columns(avals)[0] > linear_program.FEW and (
      _around()[0] and not compat.has_mesh())


def _simplified(call, mode):
  """A function that is staged and simplified before its operations are done, if
  it has nested derivatives inside."""
  @functools.wraps(call)
  def simplified(*args):
    leaves, structure = jax.tree.flatten(args)
    moving = [i for i, x in enumerate(leaves) if isinstance(x, compat.Tracer)]
    if any(compat.to_concrete_value(leaves[i]) is not None for i in moving):
      return call(*args)   # Python may ask for values
    store: list[Any] = []

    def flat(*tracers):
      xs = list(leaves)
      for i, x in zip(moving, tracers):
        xs[i] = x
      outs, out_structure = jax.tree.flatten(
          call(*jax.tree.unflatten(structure, xs)))
      computed = [isinstance(y, compat.Tracer) for y in outs]
      store[:] = out_structure, computed, [
          None if is_computed else y
          for y, is_computed in zip(outs, computed)]
      return [y for y, is_computed in zip(outs, computed) if is_computed]

    operands = [leaves[i] for i in moving]
    with _merging_exactly():
      jaxpr = compat.trace_to_jaxpr(
          flat, list(map(compat.typeof, operands)), compat.debug_info_of(call))
    if _order(jaxpr.jaxpr) > 1 and compat.benign(jaxpr.effects):
      with _merging_exactly():
        found = simplification.transform(
            lambda trace, *xs: trace.inline(jaxpr, xs), operands, mode)
    else:
      found = compat.core.jaxpr_as_fun(
          jaxprs.drop_dead_equations(jaxpr))(*operands)
    out_structure, computed, outs = store
    results = iter(found)
    return jax.tree.unflatten(out_structure, [
        next(results) if is_computed else y
        for is_computed, y in zip(computed, outs)])
  return simplified


@contextlib.contextmanager
def _merging_exactly() -> Iterator[None]:
  """Merges less, at less cost, in a program that is rebuilt anyway: it took 0.7
  of the time to trace."""
  cell, token = here.cell, object()
  if cell.memo is not None:
    cell.push(token, cell.memo.for_staging())
  try:
    yield
  finally:
    cell.remove(token)


patch = patching.Patch(((*compat.LINEARIZE, _linearizing),
                        (*compat.TRANSPOSE, _transposing)))
