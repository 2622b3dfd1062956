"""Linear maps of a program: primitives with params and with fixed operands.

Two applications of a primitive that differ only in the operands that it is
linear in are applications of one map. Its number is that of the expression with
the types of those operands in their place.
"""

from collections.abc import Sequence
from typing import Any
import weakref

from jax_cse import compat
from jax_cse.numbering import keys
from jax_cse.primitives import costs
from jax_cse.primitives import index_maps
from jax_cse.primitives import linear


def is_in_ring(aval) -> bool:
  """Whether a type is of numbers that a ring can be of.

  Not float16 and the smaller floats: they have so few exponents that programs
  scale their numbers to fit, so a scale that cancels is there on purpose.
  """
  return (type(aval) is compat.ShapedArray and compat.is_number(aval.dtype)
          and compat.is_plain_type(aval)
          and (not compat.is_inexact(aval.dtype)
               or compat.has_range(aval.dtype)))


class Map:
  """A `cores.LinearMap` that can be applied.

  Attributes:
    primitive, params: those of the bind.
    context, source: its context, and its place in the user's program.
    slots: the places of the operands that it is linear in, in order.
    fixed: the numbers of the others, by place.
    avals: the types of all operands.
    out: the type of the result.
    is_additive: whether sums go through it. They do not if the type changes,
      since floats then round and overflow elsewhere.
    keeps_range: whether the result has every number that an operand may have.
  """

  def __init__(self, maps, number, primitive, params, avals, groups, fixed,
               out):
    self._maps = weakref.proxy(maps)
    self._through: dict[int, Any] = {}
    self._read: dict[int, Any] = {}
    self.number = number
    self.primitive = primitive
    self.params = params
    self.context = compat.current_eqn_context()
    self.source = compat.current_source()
    self.avals = avals
    self.out = out
    self.fixed = fixed
    self.slots = [i for group in groups for i in group]
    self.groups = tuple(map(len, groups))
    self.operand_shapes = tuple(avals[i].shape for i in self.slots)
    self.domain, self.shape = out.dtype, out.shape
    self.cost = costs.cost(primitive, params, avals, out)
    self.is_index_map = primitive in linear.INDEX_MAPS
    self.keeps_order = self.is_index_map and index_maps.keeps_order(self)
    self.sums = (tuple(map(int, params["axes"]))
                 if primitive is compat.reduce_sum_p else ())
    dtypes = {avals[i].dtype for i in self.slots}
    self.is_additive = len(
        {compat.real_dtype(x) for x in (out.dtype, *dtypes)}) == 1
    self.keeps_range = not self.is_additive and all(
        compat.contains(out.dtype, x) for x in dtypes)

  def through(self, axis: int):
    if axis not in self._through:
      self._through[axis] = self._new_through(axis)
    return self._through[axis]

  def read_by(self, other):
    if other.number not in self._read:
      self._read[other.number] = self._new_read_by(other)
    return self._read[other.number]

  def _new_read_by(self, other):
    start = other.fixed and [self._maps.integer(n)
                             for n in other.fixed.values()]
    found = index_maps.read(self, other, start)
    if found is None:
      return None
    i, inner = found
    if inner is None:
      return i, None
    primitive, params = inner
    map_ = self._maps.of(keys.plan_of(primitive), self.context, [0],
                         [self.avals[i]], params)
    return map_ and (i, map_)

  def _new_through(self, axis):
    rule = linear.THROUGH.get(self.primitive)
    inside = rule and rule(self.params, self.avals, axis, 1)
    if not inside:
      return None
    params, axes = inside
    avals = list(self.avals)
    for i, k in axes.items():
      if k is not None:
        avals[i] = avals[i].update(
            shape=linear.with_size(avals[i].shape, k, 1))
    inner = self._maps.of(keys.plan_of(self.primitive), self.context,
                          [self.fixed.get(i, 0) for i in range(len(avals))],
                          avals, params)
    return inner and (inner, {self.slots.index(i): k for i, k in axes.items()})


class Maps:
  """The linear maps of one trace."""

  def __init__(self, scope, algebra):
    self._scope = weakref.proxy(scope)   # see `Algebra`
    self._algebra = weakref.proxy(algebra)
    self._known: dict[int, Map | None] = {}

  def of(self, plan: keys.Plan, context, numbers: Sequence[int], avals, params
         ) -> Map | None:
    """The map that a primitive is on operands, None if it is none."""
    rule = _groups.get(plan.number)
    groups = rule and rule(avals, params)
    if not groups:
      return None
    if plan.number == _BROADCAST:
      params = _with_axes_only(avals, params)
    slots = [i for group in groups for i in group]
    if params is None or not slots or not all(
        is_in_ring(avals[i]) for i in slots):
      return None
    scope, numbers = self._scope, list(numbers)
    for i in slots:
      numbers[i] = scope.of(("operand", avals[i]))
    primitive = plan.reference()
    if plan.is_structured:
      (number, *more), _ = scope.call(primitive, params, numbers, avals,
                                      context)
      if more:
        return None
    else:
      number = scope.number(plan, context, numbers, params)
    if number not in self._known:
      out, = compat.abstract_evaluation(primitive, avals, params)[0]
      fixed = {i: n for i, n in enumerate(numbers) if i not in slots}
      self._known[number] = Map(
          self, number, primitive, params, avals, groups, fixed, out
      ) if _is_homogeneous([*(avals[i] for i in slots), out]) else None
    return self._known[number]

  def integer(self, number: int) -> int | None:
    """The integer that a number stands for, if it is a known one."""
    if self._algebra.is_known(number):
      return int(self._algebra.find(number).coefficient)
    value = self._scope.numbering.scalars.get(number)
    return value if isinstance(value, int) else None

  def _added(self, primitive, domain, shape, params) -> Map:
    map_ = self.of(keys.plan_of(primitive), compat.current_eqn_context(), [0],
                   [compat.ShapedArray(shape, domain)], params)
    assert map_ is not None   # since the primitive is linear
    return map_

  def drop(self, domain, shape, axes) -> Map:
    """The index map that drops axes of length 1 of arrays of a shape."""
    return self._added(compat.squeeze_p, domain, shape, {"dimensions": axes})


def _is_homogeneous(avals):
  """Whether at least a sign goes through a map of these types; it does not
  where integers wrap on one side only."""
  dtypes = {aval.dtype for aval in avals}
  return all(map(is_in_ring, avals)) and (
      len(dtypes) == 1 or all(map(compat.is_inexact, dtypes)))


def _with_axes_only(avals, params):
  """A broadcast that adds axes of length 1: elements are the same all along
  the others anyway."""
  if len(avals) > 1 or params["sharding"] is not None:
    return None
  dimensions = list(map(int, params["broadcast_dimensions"]))
  shape = [1] * len(params["shape"])
  for k, axis in enumerate(dimensions):
    shape[axis] = avals[0].shape[k]
  return compat.params_of_broadcast(tuple(shape), tuple(dimensions))


_groups = {keys.plan_of(primitive).number: rule
           for primitive, rule in linear.GROUPS.items()}
_BROADCAST = keys.plan_of(compat.broadcast_in_dim_p).number
