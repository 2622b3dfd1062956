"""Functions with rules of the user's under `vmap`: results have its axis.

A result that no mapped operand reaches has no axis. Its cotangent is then the
sum over the axis, and a cotangent without one is not summed. Where a derivative
has the axis JAX gives it to the value that the rule returns, which is then of
another type than what was staged of the function. So gradients are wrong or
raise. In plain JAX that is so of a function that returns a constant, and what
is simplified may become one, as `x * 0`. Constants have the axis here. Other
results keep what they have: one that is the same for all rows may be what a
loop or an `out_axes` asks for.

Limits: a constant that a `jit` inside of the function or rule returns is not
seen to be one.
"""

from collections.abc import Sequence
from typing import Any

from jax._src import core
from jax._src import linear_util as lu
from jax._src.interpreters import batching
from jax._src.interpreters.batching import BatchTracer

from jax_cse.compat.conversions import is_on_host
from jax_cse.compat.primitives import KEEP_CONSTANTS
from jax_cse.compat.programs import Literal
from jax_cse.compat.settings import VERSION
from jax_cse.compat.traces import DynamicJaxprTracer


@lu.transformation2
def with_axes(fun, *operands):
  """A function, as `vmap` takes it: constants that it returns are mapped if an
  operand is."""
  return _mapped(operands, fun(*operands))


@lu.transformation2
def jvp_with_axes(rule, *operands):
  """Its rule. Operands and results are values first, and then tangents."""
  results = rule(*operands)
  count = len(results) // 2
  return [*_mapped(operands[:len(operands) // 2], results[:count]),
          *results[count:]]


@lu.transformation2
def forward_with_axes(rule, out_trees, *operands):
  """The rule of a `custom_vjp` function for the value, which comes last."""
  results = rule(*operands)
  first = len(results) - out_trees()[0].num_leaves
  return [*results[:first], *_mapped(operands, results[first:])]


@lu.transformation2
def backward_with_axes(rule, *operands):
  """That for cotangents. One of an operand that all rows share is the sum of
  theirs, which is not that of a constant without an axis."""
  # 0.11.1: a backward rule under `vmap` gives what it logs, too.
  if VERSION < (0, 11, 1):
    return _mapped(operands, rule(*operands))
  cotangents, logs = rule(*operands)
  return _mapped(operands, cotangents), logs


def _mapped(operands: Sequence[Any], results: Sequence[Any]) -> Sequence[Any]:
  trace: Any = core.trace_ctx.trace
  is_mapped = lambda x: isinstance(x, BatchTracer) and x._trace is trace
  if not any(map(is_mapped, operands)):
    return results
  return [_along(trace, x) if _is_constant(x) else x for x in results]


def _is_constant(x) -> bool:
  """Whether a value is a number of the program, or made of one."""
  while isinstance(x, DynamicJaxprTracer):
    if isinstance(x.val, Literal):
      return True
    if x.parent is None or x.parent.primitive not in KEEP_CONSTANTS:
      return False
    x = x.parent.in_tracers[0]
  return is_on_host(x)


def _along(trace, x) -> BatchTracer:
  with core.set_current_trace(trace.parent_trace):
    y = batching.matchaxis(trace.axis_data, None, 0, x)
  return BatchTracer(trace, y, 0)
