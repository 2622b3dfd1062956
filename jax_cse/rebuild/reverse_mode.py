"""Reverse mode, where it is differentiated again: simpler, or not reverse.

JAX merges and rebuilds nothing between two derivatives, and XLA only after the
last. Two functions of JAX's are replaced while sums and products may be
reordered, inside of `enabled("ring")` and while the function of a `cse` runs:

    the linearization     of a function with derivatives in it: the function is
                          staged and simplified first
    the backward pass     of a function of few inputs: runs forwards, by one
                          input always, by several if that is cheaper

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
              if transform_stack and _mode() is not None else None)
    if not wanted or not _may_run_forwards(jaxpr, wanted):
      return plain(jaxpr, transform_stack, consts, primals_in, cotangents_in)
    forwards = lambda: linear_program.cotangents(
        jaxpr, values, wanted, cotangents_in, transpose)
    alternatives = _alternatives()
    count, in_rows = _columns(jaxpr, wanted)
    if count == 1:
      found = [x and x[0] for x in forwards()]
    elif alternatives is not None:
      again = [compat.accumulator(x.aval) if i in wanted else x
               for i, x in enumerate(values)]
      backwards = transpose(jaxpr, consts, again[len(consts):])
      found = _either(forwards(), backwards, in_rows, alternatives)
    else:
      return plain(jaxpr, transform_stack, consts, primals_in, cotangents_in)
    for i, x in zip(wanted, found):
      values[i].accum(x)
    return {}   # 0.11.0: what rules log, and they log nothing
  return backward_pass3


def _columns(jaxpr, wanted) -> tuple[int, bool]:
  """How many columns the backward pass stands for, and whether in rows."""
  binders = [*jaxpr.constvars, *jaxpr.invars]
  return linear_program.columns([binders[i].aval for i in wanted])


def _may_run_forwards(jaxpr, wanted) -> bool:
  binders = [*jaxpr.constvars, *jaxpr.invars]
  return (0 < _columns(jaxpr, wanted)[0] <= linear_program.FEW
          and _around()[0] is not None
          and linear_program.runs_forwards(
              jaxpr, [binders[i].aval for i in wanted]))


def _alternatives() -> list | None:
  """Where what may be computed in two ways is noted; None if nowhere."""
  trace, derivative = _around()
  if _mode() != "ring" or trace is None or derivative is not None:
    return None
  return (trace.alternatives if isinstance(trace, CseTrace)
          else staging.alternatives(trace))


def _either(forwards, backwards, in_rows, alternatives) -> list:
  """The cotangents, with a note that they, and each of their columns, may be
  computed in two ways."""
  trace, _ = _around()
  is_noted = lambda x: isinstance(x, compat.Tracer) and x._trace is trace
  pairs = []
  for x, y in zip(forwards, backwards):
    if x is None or type(y) is compat.Zero:
      continue
    whole, parts = x
    both = [(whole, y)]
    if len(parts) > 1:
      both += [(column, linear_program.part(y, j, in_rows))
               for j, column in enumerate(parts) if column is not None]
    for pair in both:
      (a, axes), (b, others) = map(compat.unbatched, pair)
      if axes == others and is_noted(a) and is_noted(b):
        pairs.append((a, b))
      elif pair is both[0]:
        return backwards
  alternatives.append(pairs)
  return [x and x[0] for x in forwards]


# The linearization.

def _linearizing(plain):
  @functools.wraps(plain)
  def linearize(function, *primals, **kwargs):
    mode = _mode()
    operands = compat.operands_of(primals)
    if mode is not None and _is_staged(operands):
      function = compat.called_by(function, functools.partial(
          _simplified, mode=mode,
          is_last=_numbers(operands) > linear_program.FEW))
    return plain(function, *primals, **kwargs)
  return linearize


def _is_staged(operands) -> bool:
  """Whether a function of these is staged before it is linearized.

  Of one number nothing is to be chosen. Where operations are noted to be
  evaluated, Python may ask for values.
  """
  trace, _ = _around()
  return (trace is not None and not compat.has_mesh()
          and not (isinstance(trace, CseTrace) and not trace.stages)
          and all(type(aval) is compat.ShapedArray
                  for aval in map(compat.typeof, operands))
          and _numbers(operands) > 1)


def _numbers(operands) -> int:
  """How many columns a backward pass to these stands for."""
  return linear_program.columns(
      [aval for aval in map(compat.typeof, operands)
       if compat.is_inexact(aval.dtype)])[0]


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


patch = patching.Patch(((*compat.LINEARIZE, _linearizing),
                        (*compat.TRANSPOSE, _transposing)))
