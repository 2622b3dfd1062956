"""Reverse mode, where it is differentiated again: simpler, or not reverse.

JAX merges and rebuilds nothing between two derivatives, and XLA only after the
last. Functions of JAX's are replaced while sums and products may be reordered,
inside of `enabled("ring")` and while the function of a `cse` runs:

    the linearization     of a function with derivatives in it: the function is
                          staged and simplified first
    the backward pass     of a function of few inputs: runs forwards, by one
                          input always, by several if that is cheaper
    a call with a rule    of the user's, under `vmap`: its values keep the axis,
                          also where they are simplified to constants

Which is cheaper depends on what is read of a gradient. So both are staged, the
pair is noted, and when the function around is staged the dearer is dropped.

Whether they are is told by the value of the user context. It is a part of the
key of every trace cache, so what is traced here is never reused elsewhere.

Limits: only in what is traced, or is the function of a `cse`; not while a mesh
is set.
"""

from collections.abc import Iterator
import contextlib
import functools
from typing import Any

from jax_cse import compat
from jax_cse.compat import patching
from jax_cse.foundation import counting
from jax_cse.rebuild import linear_program
from jax_cse.rebuild import staging
from jax_cse.rebuild.cse_trace import CseTrace

# Gradients that are noted in two ways in one function. To decide takes a walk
# for each: of 80 in a row `cse` took 24 s, and 0.3 s by backward passes.
_MOST_GROUPS = 16


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


def _around() -> tuple[Any, type | None]:
  """The trace at which operations here are noted before they are done, if any,
  and of which type the next derivative around is, if one is under way there."""
  trace, derivative = compat.current_trace(), None
  while trace is not None:
    if isinstance(trace, (CseTrace, compat.DynamicJaxprTrace)):
      return trace, derivative
    if derivative is None and isinstance(
        trace, (compat.LinearizeTrace, compat.JVPTrace)):
      derivative = type(trace)
    trace = getattr(trace, "parent_trace", None)
  return None, derivative


def _order(jaxpr) -> int:
  """The highest order of the derivatives in a jaxpr."""
  return max((compat.differentiations(eqn.source_info.name_stack.stack)
              for eqn in counting.equations(jaxpr)), default=0)


# The backward pass.

def _transposing(plain):
  @functools.wraps(plain)
  def backward_pass3(jaxpr, transform_stack, consts, primals_in, cotangents_in):
    def transpose(jaxpr, consts, inputs):
      """The cotangents of the inputs that are accumulators, by JAX."""
      plain(jaxpr, transform_stack, consts, inputs, cotangents_in)
      return [x.freeze() for x in inputs if compat.is_accumulator(x)]

    # `vjp` says that the transformation is to be named, rules do not.
    values = [*consts, *primals_in]
    wanted = (compat.wanted_inputs(values)
              if transform_stack and _mode() is not None else None) or []
    binders = [*jaxpr.constvars, *jaxpr.invars]
    avals = [binders[i].aval for i in wanted]
    count, in_rows = linear_program.columns(avals)
    alternatives = _alternatives() if count > 1 else None
    is_candidate = _around()[0] is not None and (count == 1 or (
        alternatives is not None and 0 < count <= linear_program.FEW))
    program = linear_program.forwards(jaxpr, avals) if is_candidate else None
    if program is None:
      return plain(jaxpr, transform_stack, consts, primals_in, cotangents_in)
    forwards = lambda: linear_program.cotangents(
        program, values, wanted, cotangents_in, transpose)
    if alternatives is None:
      found = [x and x[0] for x in forwards()]
    else:
      again = [compat.accumulator(x.aval) if i in wanted else x
               for i, x in enumerate(values)]
      backwards = transpose(jaxpr, consts, again[len(consts):])
      found = _either(forwards, backwards, in_rows, alternatives)
    for i, x in zip(wanted, found):
      values[i].accum(x)
    return {}   # 0.11.0: what rules log, and they log nothing
  return backward_pass3


def _alternatives() -> list | None:
  """Where what may be computed in two ways is noted; None if nowhere."""
  trace, derivative = _around()
  if _mode() != "ring" or trace is None or derivative is not None:
    return None
  noted = (trace.alternatives if isinstance(trace, CseTrace)
           else staging.alternatives(trace))
  return None if noted is None or len(noted) >= _MOST_GROUPS else noted


def _either(forwards, backwards, in_rows, alternatives) -> list:
  """The cotangents, with a note that they, and each of their columns, may be
  computed in two ways. The second is computed first."""
  trace, _ = _around()
  is_noted = lambda x: isinstance(x, compat.Tracer) and x._trace is trace
  seconds = [[] if type(y) is compat.Zero else linear_program.parts(y, in_rows)
             for y in backwards]
  found = forwards()
  pairs = []
  for x, y, second in zip(found, backwards, seconds):
    if x is None or type(y) is compat.Zero:
      continue
    whole, first = x
    both = [(whole, y), *(zip(first, second) if len(first) > 1 else ())]
    for a, b in both:
      (a, axes), (b, others) = compat.unbatched(a), compat.unbatched(b)
      if axes == others and is_noted(a) and is_noted(b):
        pairs.append((a, b))
      elif not pairs:
        return backwards
  alternatives.append(pairs)
  return [x and x[0] for x in found]


# The linearization.

def _linearizing(plain):
  @functools.wraps(plain)
  def linearize(function, *primals, **kwargs):
    mode = _mode()
    is_last = (None if mode is None
               else _is_last(compat.operands_of(primals)))
    if is_last is not None:
      function = compat.called_by(function, functools.partial(
          _simplified, mode=mode, is_last=is_last))
    return plain(function, *primals, **kwargs)
  return linearize


def _is_last(operands) -> bool | None:
  """Whether this is the derivative around all others, and by many numbers; None
  if its function is not staged.

  Of one number nothing is to be chosen. Where operations are noted to be
  evaluated, Python may ask for values.
  """
  trace, derivative = _around()
  avals = list(map(compat.typeof, operands))
  if trace is None or compat.has_mesh() or (
      isinstance(trace, CseTrace) and not trace.stages) or not all(
          type(aval) is compat.ShapedArray for aval in avals):
    return None
  avals = [aval for aval in avals if compat.is_inexact(aval.dtype)]
  if derivative is None and not staging.is_staging() and (
      sum(aval.size for aval in avals) > linear_program.FEW):
    return True
  return False if linear_program.columns(avals)[0] > 1 else None


def _simplified(call, mode, is_last):
  """A function that is staged, and simplified, before its operations are done.

  Of all levels the last is rebuilt, which is by many numbers. The others leave
  out what is not read, and choose between columns and a backward pass.
  """
  @functools.wraps(call)
  def simplified(*args):
    staged = staging.stage(call, args)
    if staged is None:
      return call(*args)
    return staged.evaluate(mode, rewrites=is_last, is_simplified=bool(
        staged.alternatives or (is_last and _order(staged.jaxpr.jaxpr) > 1)))
  return simplified


# Rules of users under `vmap`.

def _batching_jvp(plain):
  @functools.wraps(plain)
  def process_custom_jvp_call(self, primitive, fun, jvp, tracers, /, **params):
    if _mode() is not None:
      fun, jvp = compat.with_axes(fun), compat.jvp_with_axes(jvp)
    return plain(self, primitive, fun, jvp, tracers, **params)
  return process_custom_jvp_call


def _batching_vjp(plain):
  @functools.wraps(plain)
  def process_custom_vjp_call(self, primitive, fun, fwd, bwd, tracers, /, *,
                              out_trees, **params):
    if _mode() is not None:
      fun = compat.with_axes(fun)
      fwd = compat.forward_with_axes(fwd, out_trees)
      bwd = compat.backward_with_axes(bwd)
    return plain(self, primitive, fun, fwd, bwd, tracers, out_trees=out_trees,
                 **params)
  return process_custom_vjp_call


patch = patching.Patch(((*compat.LINEARIZE, _linearizing),
                        (*compat.TRANSPOSE, _transposing),
                        (*compat.BATCHED_JVP, _batching_jvp),
                        (*compat.BATCHED_VJP, _batching_vjp)))
