"""A function staged as a jaxpr, and evaluated later, simplified or as it is.

    staged = stage(fun, args)                      # runs `fun`, once
    staged.evaluate("ring", ...)                   # what `fun` returns

While it is staged, values that may be computed in two ways are noted beside its
results, as pairs. One of each pair is computed in the end.

Limits: what is traced is abstract, so a known number among the operands leaves
the function as it is.
"""

from collections.abc import Callable, Iterator
import contextlib
from typing import Any, NamedTuple

import jax

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.foundation.active import here
from jax_cse.rebuild import simplification


class Staged(NamedTuple):
  """A function that ran.

  Attributes:
    jaxpr: its traced results, and the pairs that were noted.
    operands: of the jaxpr.
    results: a tree with the others of its results; None for a traced one.
    is_traced: which of the results are, in order.
    alternatives: how many pairs there are in each group of the noted ones.
  """
  jaxpr: Any
  operands: list[Any]
  results: tuple[Any, list[Any]]
  is_traced: list[bool]
  alternatives: list[int]

  def evaluate(self, mode: str, rewrites: bool, is_simplified: bool) -> Any:
    """What the function returns, at the current trace.

    Args:
      mode: "ring" or "reassociate".
      rewrites: whether sums and products are rebuilt, if it is simplified.
      is_simplified: whether it is; effects are as they are.
    """
    if is_simplified and compat.benign(self.jaxpr.effects):
      with _merging_exactly():
        found = simplification.transform(
            self._inlined, self.operands, mode, rewrites)
    else:
      found = compat.core.jaxpr_as_fun(self._by_second())(*self.operands)
    traced = iter(found)
    structure, others = self.results
    return jax.tree.unflatten(structure, [
        next(traced) if is_traced else y
        for is_traced, y in zip(self.is_traced, others)])

  def _inlined(self, trace, *operands):
    count = sum(self.is_traced)
    found = trace.inline(self.jaxpr, operands)
    pairs = _pairs(found[count:])
    trace.alternatives += [[next(pairs) for _ in range(n)]
                           for n in self.alternatives]
    return found[:count]

  def _by_second(self):
    """The jaxpr with the second of each pair for the first."""
    count = sum(self.is_traced)
    jaxpr = self.jaxpr.jaxpr
    seconds = {x: y for x, y in _pairs(jaxpr.outvars[count:])
               if type(x) is not compat.Literal}
    for x, y in seconds.items():
      while y in seconds:   # a gradient that was passed on
        y = seconds[y]
      seconds[x] = y
    return jaxprs.drop_dead_equations(jaxprs.substituted(
        jaxprs.with_equations(self.jaxpr, jaxpr.eqns, jaxpr.outvars[:count]),
        seconds))


def _pairs(xs):
  return zip(xs[::2], xs[1::2], strict=True)


def stage(fun: Callable, args: tuple) -> Staged | None:
  """Runs a function on abstract operands; None, before it runs, if Python may
  ask for the value of one."""
  leaves, structure = jax.tree.flatten(args)
  moving = [i for i, x in enumerate(leaves) if isinstance(x, compat.Tracer)]
  operands = [leaves[i] for i in moving]
  if any(x.size == 1 and compat.to_concrete_value(x) is not None
         for x in operands):
    return None
  store: list[Any] = []

  def flat(*tracers):
    xs = list(leaves)
    for i, x in zip(moving, tracers):
      xs[i] = x
    with _noting() as noted:
      outs, out_structure = jax.tree.flatten(
          fun(*jax.tree.unflatten(structure, xs)))
    traced = [y for y in outs if isinstance(y, compat.Tracer)]
    others = [None if isinstance(y, compat.Tracer) else y for y in outs]
    store[:] = ((out_structure, others),
                [isinstance(y, compat.Tracer) for y in outs],
                list(map(len, noted)))
    return [*traced, *(x for pairs in noted for pair in pairs for x in pair)]

  with _merging_exactly():
    jaxpr = compat.trace_to_jaxpr(
        flat, list(map(compat.typeof, operands)), compat.debug_info_of(fun))
  return Staged(jaxpr, operands, *store)


def is_staging() -> bool:
  """Whether a function around is staged, to be simplified as a whole."""
  return here.cell.staging[0] is not None


def alternatives(trace) -> list | None:
  """Where pairs are noted, if `trace` is that of a function that is staged."""
  staging, noted = here.cell.staging
  return noted if trace is staging else None


@contextlib.contextmanager
def _noting() -> Iterator[list]:
  """Notes pairs for the trace that is current."""
  cell, before = here.cell, here.cell.staging
  cell.staging = compat.current_trace(), []
  try:
    yield cell.staging[1]
  finally:
    cell.staging = before


@contextlib.contextmanager
def _merging_exactly() -> Iterator[None]:
  """Merges less, at less cost, in a program that is simplified later: it took
  0.7 of the time to trace."""
  cell, token = here.cell, object()
  if cell.memo is not None:
    cell.push(token, cell.memo.for_staging())
  try:
    yield
  finally:
    cell.remove(token)
