"""`check=True`: does a rebuilt program give the results of the plain one?

Both are evaluated, the plain one as JAX traces it. Their results may be as far
apart as rounding moves the plain ones (`rounding`). While an operand is a
tracer nobody knows its value, so a random one is drawn for it.

    outs = checked(fun, operands, Road("cse", plain, rebuilt))

Where they are further apart, the results of all equations are compared. The
first that is out of its bound is wrong itself: its operands are still right.

    a = sin x         plain 0.84    rebuilt 0.84
    b = mul a x       plain 0.84    rebuilt 1.84     this one
    c = exp b         plain 2.32    rebuilt 6.30

Limits: one draw is no proof. Plain results that are not finite are not
compared. The function is traced twice, and cannot wait for values.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_cse import compat
from jax_cse.compat import core
from jax_cse.compat import jaxprs
from jax_cse.foundation.errors import CheckFailed
from jax_cse.memo import contexts
from jax_cse.checking import rounding
from jax_cse.rebuild import simplification

_Flat = Callable[..., Any]


class Road(NamedTuple):
  """Two ways from a function of flat operands to another one.

  Attributes:
    name: the public function, for messages.
    plain, rebuilt: transformations of a function. The functions that they
      return have results of the same structure.
    num_operands: how many of the operands the function takes; None is all.
    always_rebuilt: the same without asking whether it pays, to find the
      equation; None if it is `rebuilt`.
    is_derived: whether the results are those of the function and of its
      derivatives, order by order.
  """
  name: str
  plain: Callable[[_Flat], _Flat]
  rebuilt: Callable[[_Flat], _Flat]
  num_operands: int | None = None
  always_rebuilt: Callable[[_Flat], _Flat] | None = None
  is_derived: bool = False


def checked(fun: _Flat, operands: Sequence[Any], road: Road) -> Any:
  """`road.rebuilt(fun)(*operands)`, if it is `road.plain(fun)(*operands)`.

  Args:
    fun: returns a list.
    operands: values, flat.
    road: how both are computed.

  Raises:
    CheckFailed: they differ by more than rounding.
    ValueError: the function has effects, or has to know values.
  """
  points = _Points(road, _trace(fun, operands, road), operands)
  outs = road.rebuilt(fun)(*operands)
  leaves = _leaves(outs)
  is_staged = any(isinstance(x, compat.Tracer) for x in leaves)
  points.compare(None if points.are_drawn or is_staged else leaves)
  return outs


def check_jaxpr(closed_jaxpr, simpler, mode: str) -> None:
  """Raises `CheckFailed` if a simpler jaxpr is not equal to the given one."""
  def rebuilt(fun):
    return lambda *xs: core.jaxpr_as_fun(
        simplification.simplify(jax.make_jaxpr(fun)(*xs), mode))(*xs)

  def always_rebuilt(fun):
    return lambda *xs: simplification.transform(
        lambda _, *tracers: fun(*tracers), xs, mode)

  road = Road(f'cse_jaxpr(mode="{mode}")', lambda fun: fun, rebuilt,
              always_rebuilt=always_rebuilt)
  _refuse_effects(closed_jaxpr, road)
  points = _Points(
      road, closed_jaxpr, [v.aval for v in closed_jaxpr.jaxpr.invars])
  points.compare(rounding.values(simpler, points.operands))


def _trace(fun, operands, road):
  try:
    with contexts.disabled():
      jaxpr = jax.make_jaxpr(fun)(*operands[:road.num_operands])
  except compat.WANTS_VALUES as error:
    raise ValueError(
        f"{road.name} with check=True wants a function that jit can trace, "
        f"and this one has to know the values: {error}") from error
  _refuse_effects(jaxpr, road)
  return jaxpr


def _refuse_effects(jaxpr, road):
  effects = [e for e in jaxpr.effects if not compat.looks_on(e)]
  if effects:
    raise ValueError(
        f"{road.name} with check=True evaluates the plain program beside the "
        "rebuilt one, and cannot where it has effects or collectives of an "
        "axis around: "
        + ", ".join(sorted({type(e).__name__ for e in effects})))


def _leaves(outs):
  """The results that are not zeros by their type."""
  return [x for x in jax.tree.leaves(outs) if not compat.is_float0(x)]


def _program(transformation, fun, operands):
  with contexts.disabled():
    return jax.make_jaxpr(
        lambda *xs: _leaves(transformation(fun)(*xs)))(*operands)


class _Points:
  """Where both programs are evaluated.

  Attributes:
    operands: values; for tracers, those that were drawn.
    are_drawn: whether there are any of these, constants included.
  """

  def __init__(self, road, jaxpr, operands):
    """Evaluates the plain program. Draws have either sign, unless the results
    are not finite there."""
    self._road = road
    self.are_drawn = any(map(_is_unknown, (*operands, *jaxpr.consts)))
    for signed in (True, False):
      random = np.random.RandomState(0)
      self.operands = [_known(x, random, signed) for x in operands]
      self._jaxpr = compat.closed(
          jaxpr.jaxpr, [_known(x, random, signed) for x in jaxpr.consts])
      self._values, self._limits = self._plain(core.jaxpr_as_fun(self._jaxpr))
      if not self.are_drawn or all(np.isfinite(x).all() for x in self._limits):
        break

  def _plain(self, fun):
    return rounding.values_and_bounds(
        _program(self._road.plain, fun, self.operands), self.operands)

  def _rebuilt(self, rebuilt, fun):
    return rounding.values(
        _program(rebuilt, fun, self.operands), self.operands)

  def compare(self, outs):
    """Raises `CheckFailed` unless `outs` are the plain results within bounds;
    if `outs` is None they are computed here."""
    if outs is None:
      outs = self._rebuilt(
          self._road.rebuilt, core.jaxpr_as_fun(self._jaxpr))
    found = rounding.differences(self._values, outs, self._limits)
    if found:
      where = " (on operands that were drawn)" if self.are_drawn else ""
      raise CheckFailed(
          f"{self._road.name} computes what the plain program does not"
          f"{where}: {found[0]}. {self._first()}")

  def _first(self):
    """Says which equation is the first that is out of its bound."""
    equations: list[Any] = []

    def every(*operands):
      equations.clear()
      return _results_of_all(self._jaxpr, operands, equations)

    values, limits = self._plain(every)
    rebuilt = self._road.always_rebuilt or self._road.rebuilt
    found = rounding.differences(
        values, self._rebuilt(rebuilt, every), limits)
    places = [(i, 0) for i in range(len(equations))]
    if self._road.is_derived:
      inexact = [i for i, (_, v) in enumerate(equations)
                 if compat.is_inexact(v.aval.dtype)]
      orders = (len(values) - len(equations)) // max(len(inexact), 1)
      places += [(i, k + 1) for k in range(orders) for i in inexact]
    if not found:
      return "No equation does by itself, so it is what they share."
    first = min(found, key=lambda x: places[x.result])
    number, order = places[first.result]
    eqn, v = equations[number]
    which = eqn.outvars.index(v)
    of = f"its derivative of order {order}, " if order else ""
    line = compat.line_of(eqn) or "a line that is not known"
    return (f"The first equation that differs is `{eqn.primitive}` at {line}: "
            f"{of}{first._replace(result=which)}.")


def _results_of_all(closed_jaxpr, operands, equations):
  """The results of all equations, those of a `jit` in its place. Each is noted
  with its equation; debug callbacks are left out."""
  found: list[Any] = []

  def evaluate(closed_jaxpr, operands):
    return jaxprs.interpret(closed_jaxpr, operands, lambda x: x,
                            lambda literal: literal.val, results)

  def results(eqn, values):
    if eqn.primitive in compat.LOOKS_ON:
      return []
    if eqn.primitive is compat.jit_p:
      return evaluate(eqn.params["jaxpr"], values)
    outs = compat.bind_later(eqn.primitive, values, eqn.params, eqn.ctx,
                             eqn.source_info)
    for v, x in zip(eqn.outvars, outs):
      if type(v.aval) is compat.ShapedArray and not compat.is_float0(x):
        found.append(x)
        equations.append((eqn, v))
    return outs

  evaluate(closed_jaxpr, operands)
  return found


def _is_unknown(x) -> bool:
  return isinstance(x, (compat.Tracer, compat.ShapedArray))


def _known(x, random, signed):
  """A value; for a tracer, or a type, one that is drawn."""
  if not _is_unknown(x):
    return x
  aval: Any = x if isinstance(x, compat.ShapedArray) else compat.typeof(x)
  shape, dtype = aval.shape, aval.dtype
  if jax.dtypes.issubdtype(dtype, jax.dtypes.prng_key):
    key = jax.random.key(0, impl=compat.generator_of(dtype))
    return jax.random.split(key, shape) if shape else key
  if dtype == np.bool_:
    return random.randint(0, 2, shape) > 0
  if not compat.is_inexact(dtype):
    drawn = random.randint(0, 4, shape)   # so that it may be an index
  else:
    drawn = random.uniform(0.25, 1.75, shape)
    if signed:
      drawn = drawn * random.choice([-1, 1], shape)
    if np.issubdtype(dtype, np.complexfloating):
      drawn = drawn + 1j * random.uniform(0.25, 1.75, shape)
  with rounding.plain_jax(rounding.is_of_64_bits(dtype)):
    return compat.convert(jax.numpy.asarray(drawn, dtype), aval)
