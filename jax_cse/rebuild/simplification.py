"""Simplification: of jaxprs, and of functions.

    simplify(closed_jaxpr, "ring")           a closed jaxpr
    transform(fun, operands, "ring")         the results of a function

A jaxpr is first rewritten as it stands (`rewriting`), then evaluated under a
`CseTrace`. The new one is taken if it costs less, counting equations and the
elements that they compute, or as much in fewer equations. That is repeated up
to a fixpoint, so a second simplification changes nothing.
"""

from typing import Any
import weakref

from jax.extend import core

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.directions import early_sums
from jax_cse.foundation import counting
from jax_cse.numbering import rewriting
from jax_cse.numbering.structure import Structures
from jax_cse.primitives import costs
from jax_cse.rebuild.cse_trace import CseTrace
from jax_cse.rebuild.planning import Planning

# The simplified jaxprs of calls; None for those left as they are, since a value
# that led back to its key would keep it alive.
_inside: dict[str, weakref.WeakKeyDictionary] = {}
# What simplification gave, which it leaves as it is.
_simple: dict[str, weakref.WeakSet] = {}
# What early sums may cost more and be looked at: terms that were stacked up to
# be summed may collapse.
_NOT_MUCH = 1.1


class Inside:
  """Simplifies the jaxprs inside of one program, each structure once: its loops
  and branches are alike, and other objects each time they were looked at."""

  def __init__(self) -> None:
    self._structures = Structures()
    self._known: dict[int, Any] = {}   # as `_inside`, by structure

  def simplify(self, primitive, x, mode):
    """A jaxpr among the params of a primitive, the same each time."""
    jaxpr, consts = jaxprs.open_jaxpr(x)
    if _is_simple(jaxpr, mode):
      return x
    known = _inside.setdefault(mode, weakref.WeakKeyDictionary())
    if jaxpr not in known or consts:
      simpler = self._simplified(compat.closed(jaxpr, consts), mode)
      if consts:
        return simpler
      known[jaxpr] = None if simpler.jaxpr is jaxpr else simpler
    simpler = known[jaxpr]
    # The jaxpr of a `remat` has no place for constants.
    if simpler is None or (simpler.consts and primitive is compat.remat_p):
      return x
    return simpler.jaxpr if jaxpr is x else simpler

  def _simplified(self, closed_jaxpr, mode):
    number = self._structures.number(closed_jaxpr)
    if number is None:
      return simplify(closed_jaxpr, mode, self)
    if number not in self._known:
      simpler = self._known[number] = simplify(closed_jaxpr, mode, self)
      again = self._structures.number(simpler)
      if again is not None:
        self._known[again] = simpler
    return self._known[number]


def _is_simple(jaxpr, mode) -> bool:
  return jaxpr in _simple.setdefault(mode, weakref.WeakSet())


def simplify(closed_jaxpr, mode: str, inside: Inside | None = None):
  """A closed jaxpr of the same function that costs no more.

  `inside`: of the program that the jaxpr stands in, if it does.
  """
  if mode == "exact":
    return _merge(closed_jaxpr, mode)
  if _is_simple(closed_jaxpr.jaxpr, mode):
    return closed_jaxpr
  inside, planning = inside or Inside(), Planning()
  # What was rebuilt has nothing left to merge.
  simplest = min(closed_jaxpr, _merge(closed_jaxpr, mode), key=_price)
  least = _price(simplest)
  while True:
    rebuilt = _rebuild(simplest, mode, inside, planning)
    if (price := _price(rebuilt)) >= least:
      _simple[mode].add(simplest.jaxpr)
      return simplest
    simplest, least = rebuilt, price
    planning.again()


def _merge(closed_jaxpr, mode):
  """Without duplicate and dead equations; the rest as it is."""
  return jaxprs.drop_dead_equations(rewriting.rewrite(closed_jaxpr, mode))


def _rebuild(closed_jaxpr, mode, inside, planning):
  jaxpr = closed_jaxpr.jaxpr
  fun = lambda *args: _transform(
      lambda trace, *xs: trace.inline(closed_jaxpr, xs), args, mode, inside,
      planning)
  try:
    return compat.trace_to_jaxpr(fun, [v.aval for v in jaxpr.invars],
                                 jaxpr.debug_info)
  except compat.ShardingTypeError:
    # JAX accepts types in a jaxpr that it refuses at a bind.
    return closed_jaxpr


def _price(closed_jaxpr) -> tuple[int, int]:
  """The cost of a jaxpr, and its number of equations."""
  eqns = list(counting.equations(closed_jaxpr.jaxpr))
  return sum(map(costs.cost_of_equation, eqns)), len(eqns)


def transform(fun, operands, mode: str, rewrites: bool = True) -> list[Any]:
  """The results of a function of a trace and flat operands, simplified; if not
  `rewrites`, only without what is equal or not needed."""
  return _transform(fun, operands, mode, Inside(), Planning(rewrites))


def _transform(fun, operands, mode, inside, planning, looks_on=True):
  with compat.take_current_trace() as parent:
    trace = CseTrace(parent, mode, inside.simplify, planning)
    try:
      tracers = [trace.enter(x) for x in operands]
      with compat.set_current_trace(trace):
        outs = fun(trace, *tracers)
      return trace.results(outs, lambda closed_jaxpr: _with_early_sums(
          closed_jaxpr, mode, inside, planning, looks_on))
    finally:
      trace.invalidate()


def _with_early_sums(closed_jaxpr, mode, inside, planning, looks_on):
  """The results of a closed jaxpr without inputs, of which sums over axes are
  taken early, and which is simplified again, if that costs less. `looks_on`:
  whether it may cost less only when it was simplified."""
  earlier = early_sums.rewrite(closed_jaxpr)
  if earlier is closed_jaxpr:
    return core.jaxpr_as_fun(closed_jaxpr)()
  again = lambda looks_on=False: _transform(
      lambda trace: trace.inline(earlier, []), [], mode, inside, planning,
      looks_on)
  price, price_before = _price(earlier), _price(closed_jaxpr)
  if price < price_before:
    return again(looks_on)
  if looks_on and price[0] < _NOT_MUCH * price_before[0]:
    closed_jaxpr = min(closed_jaxpr, compat.trace_to_jaxpr(
        again, [], closed_jaxpr.jaxpr.debug_info), key=_price)
  return core.jaxpr_as_fun(closed_jaxpr)()
