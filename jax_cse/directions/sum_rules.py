"""What an equation needs to give a sum of its result, or one of equal slices.

A rule takes a plan (see `early_sums`), an equation and what is wanted of its
result. It gives what is wanted of which operands, and a function that computes
the result's from these; None if it has to be computed from the values.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.directions import axes
from jax_cse.directions import products
from jax_cse.directions.axes import Axis
from jax_cse.primitives import linear

# Kinds of what is wanted of a variable.
SUM, ONE = "sum", "one"


class Want(NamedTuple):
  """What is wanted of a variable: its sum over an axis, one of the equal slices
  along it, or the value, for which the axis is None. `weight`: an input, as
  long as the axis, by whose elements the slices are multiplied first."""
  kind: str
  axis: Any
  weight: Any = None


VALUE = Want("value", None)
Env = dict[Any, Any]
Rule = tuple[list[tuple[Any, Want]], Callable[[Env], Any]]

# Equations that cost more than one operation for each element.
DEAR = frozenset({
    compat.dot_general_p, compat.conv_general_dilated_p,
    compat.triangular_solve_p, compat.linear_solve_p, compat.fft_p})


def rule(plan, eqn, v, want: Want) -> Rule | None:
  """How a result follows from other than the values of the operands."""
  if want.kind == ONE:
    return _one_rule(eqn, want.axis)
  if not axes.may_move(v.aval):
    return None
  return ((eqn.primitive in products.PRIMITIVES
           and _of_product(plan, v, want))
          or _RULES.get(eqn.primitive, _sum_through)(plan, eqn, want))


def same_if(eqn, axis: Axis):
  """The operands, with axes, that have to be the same along them for a result
  to be; None if it is not. `eqn`: computes it; None of an input."""
  if eqn is None or len(eqn.outvars) > 1:
    return None
  if eqn.primitive is compat.iota_p:
    return None if eqn.params["dimension"] == axis.place else []
  if eqn.primitive is compat.broadcast_in_dim_p and axes.is_added(eqn, axis):
    return []
  found = _along(eqn, axis)
  if found is None:
    return None
  return [(eqn.invars[i], k) for i, k in found[1].items()
          if k is not None and axes.has(eqn.invars[i], k)]


def _along(eqn, axis):
  """See `axes.through`; of elementwise equations too."""
  if compat.is_elementwise(eqn.primitive):
    return (eqn.params, dict.fromkeys(range(len(eqn.invars)), axis)) if (
        _has_its_axes(eqn, axis)) else None
  return axes.through(eqn, axis)


def _has_its_axes(eqn, axis) -> bool:
  """Whether the operands of an elementwise equation have the axes of its
  result. Random bits, of keys, have more, and others that are cast."""
  out, = eqn.outvars
  return all(len(x.aval.shape) in (0, len(out.aval.shape))
             and not compat.is_extended(x.aval.dtype) for x in eqn.invars
             ) and any(axes.has(x, axis) for x in eqn.invars)


# Values, as they were computed.

def value(env: Env, atom):
  return atom.val if type(atom) is compat.Literal else env[atom, VALUE]


def get(env: Env, atom, want: Want):
  if type(atom) is compat.Literal or (
      want.kind == ONE and not axes.has(atom, want.axis)):
    return value(env, atom)
  return env[atom, want]


def from_value(env: Env, x, want: Want):
  """What is wanted of an array: one of the equal slices along an axis, or the
  sum, with weights if there are."""
  if want.kind == ONE:
    return axes.one(x, want.axis)
  weight = None if want.weight is None else value(env, want.weight)
  return axes.summed(x, want.axis, weight)


def sum_of(env: Env, atom, want: Want, along: Want):
  """The sum `along` an axis of an operand, of which that or one of equal slices
  was wanted."""
  x = get(env, atom, want)
  if want.kind == SUM:
    return x
  dtype = atom.aval.dtype
  if type(atom) is compat.Literal:   # NumPy takes a number of JAX's for a wider
    x = np.asarray(x, dtype)
  if along.weight is None:
    return x if along.axis.size == 1 else x * np.asarray(
        along.axis.size, dtype)
  return x * value(env, along.weight).sum()


# One of equal slices.

def _one_rule(eqn, axis) -> Rule | None:
  primitive = eqn.primitive
  if primitive is compat.iota_p or (
      primitive is compat.broadcast_in_dim_p and axes.is_added(eqn, axis)):
    params = eqn.params | {"shape": axis.shape_left(eqn.params["shape"])}
    return [(x, VALUE) for x in eqn.invars], lambda env: compat.bind_one(
        eqn, [value(env, x) for x in eqn.invars], params)
  found = _along(eqn, axis)
  if found is None:
    return None
  params, along = found
  wants = [Want(ONE, along[i]) if along.get(i) and axes.has(x, along[i])
           else VALUE for i, x in enumerate(eqn.invars)]
  return list(zip(eqn.invars, wants)), lambda env: compat.bind_one(
      eqn, [get(env, x, w) for x, w in zip(eqn.invars, wants)], params)


# Sums.

def _sum_through(plan, eqn, want) -> Rule | None:
  """A linear equation on summed operands."""
  groups = linear.GROUPS.get(eqn.primitive)
  inside = groups and groups([x.aval for x in eqn.invars], eqn.params) and (
      axes.through(eqn, want.axis))
  if not inside or len(eqn.outvars) > 1 or not all(
      axes.may_move(eqn.invars[i].aval) for i in inside[1]) or (
          _widens(eqn)):
    return None
  params, along = inside
  wants = [plan.wish(x, want, along[i]) if along.get(i) else VALUE
           for i, x in enumerate(eqn.invars)]
  return list(zip(eqn.invars, wants)), lambda env: compat.bind_one(
      eqn, [sum_of(env, x, w, want) if i in along else value(env, x)
            for i, (x, w) in enumerate(zip(eqn.invars, wants))], params)


def _widens(eqn) -> bool:
  """Whether a product of matrices has more digits than its operands."""
  return eqn.primitive is compat.dot_general_p and any(
      x.aval.dtype != eqn.outvars[0].aval.dtype for x in eqn.invars)


def _of_terms(plan, eqn, want) -> Rule | None:
  """Elementwise, and linear in all operands together."""
  if len({x.aval.dtype for x in (*eqn.invars, *eqn.outvars)}) > 1:
    return None
  wants = [plan.wish(x, want) for x in eqn.invars]
  return list(zip(eqn.invars, wants)), lambda env: compat.bind_one(
      eqn, [sum_of(env, x, w, want) for x, w in zip(eqn.invars, wants)],
      eqn.params)


def _of_cases(plan, eqn, want) -> Rule | None:
  """`select_n`, if the same is selected all along."""
  which, *cases = eqn.invars
  if not plan.is_same(which, want.axis):
    return None
  first = Want(ONE, want.axis) if axes.has(which, want.axis) else VALUE
  wants = [plan.wish(x, want) for x in cases]
  return [(which, first), *zip(cases, wants)], lambda env: compat.bind_one(
      eqn, [get(env, which, first),
            *(sum_of(env, x, w, want) for x, w in zip(cases, wants))],
      eqn.params)


def _of_product(plan, v, want) -> Rule | None:
  """The coefficient, times the sum of the product of what varies."""
  axis = want.axis
  coefficient, factors, _ = plan.products.of(v, axis)
  if factors == (v,) or plan.is_same(v, axis):
    return None
  if want.weight is None and len(factors) > 1:
    want, factors = _weighted(plan, want, factors)
  rest = want if len(factors) == 1 else VALUE
  shape = axis.shape_left(v.aval.shape)

  def emit(env):
    total = (get(env, factors[0], want) if len(factors) == 1 else
             _sum_of_product(env, factors, want) if factors else axis.size
             if want.weight is None else value(env, want.weight).sum())
    return _broadcast(_scaled(env, total, coefficient, axis), shape)
  return [*_coefficient_wants(coefficient, axis),
          *((x, rest) for x in factors)], emit


def _weighted(plan, want, factors):
  """One of the factors as the weight of the sum, if one is an input that varies
  along no other axis."""
  for i, x in enumerate(factors):
    weight = plan.input_along(x, want.axis)
    if weight is not None and not compat.is_complex(weight.aval.dtype):
      return want._replace(weight=weight), factors[:i] + factors[i + 1:]
  return want, factors


def multiple(plan, eqn) -> Rule | None:
  """How the value of an elementwise equation follows from a variable further
  back, and a coefficient with fewer elements; None if it is no such multiple,
  or of an operand."""
  if eqn.primitive not in products.PRIMITIVES:
    return None
  v, = eqn.outvars
  for k, length in enumerate(v.aval.shape if axes.may_move(v.aval) else ()):
    axis = Axis(k, 1, length, 1)
    if length in (0, 1) or plan.is_same(v, axis):
      continue
    coefficient, factors, size = plan.products.of(v, axis)
    if len(factors) == 1 and size and factors[0] is not v:
      return _multiple_of(v, factors[0], coefficient, axis)
  return None


def _multiple_of(v, base, coefficient, axis) -> Rule:
  return [*_coefficient_wants(coefficient, axis), (base, VALUE)], (
      lambda env: _broadcast(_scaled(env, value(env, base), coefficient, axis),
                             v.aval.shape))


def _coefficient_wants(coefficient, axis):
  return [(x, Want(ONE, axis)) for x in products.atoms(coefficient)]


def _scaled(env, x, coefficient, axis):
  if coefficient == 1:
    return x
  known = env.setdefault(("coefficients", axis), {})
  c = products.evaluate(coefficient, lambda x: get(env, x, Want(ONE, axis)),
                        known)
  return -x if isinstance(c, int | float) and c == -1 else x * c


def _broadcast(x, shape):
  return x if jnp.shape(x) == shape else jnp.broadcast_to(x, shape)


def _sum_of_product(env, factors, want):
  if (factors, want) not in env:
    first, *others = [value(env, x) for x in factors]
    for x in others:
      first = first * x
    env[factors, want] = from_value(env, first, want)
  return env[factors, want]


def _of_dot(plan, eqn, want) -> Rule | None:
  """A product of matrices: over a batch axis, along which both vary, the sum is
  one product of larger matrices."""
  axis = want.axis
  contracted, batch = eqn.params["dimension_numbers"]
  if axis.place >= len(batch[0]):
    return _sum_through(plan, eqn, want)
  if eqn.params["out_sharding"] is not None or _widens(eqn):
    return None
  wants = [plan.wish(x, want, axis.at(int(b[axis.place])))
           for x, b in zip(eqn.invars, batch)]
  kinds = [w.kind for w in wants]
  if ONE in kinds:
    if SUM not in kinds:
      return None
    return list(zip(eqn.invars, wants)), lambda env: compat.bind_one(
        eqn, [get(env, x, w) for x, w in zip(eqn.invars, wants)], eqn.params)
  if not axis.is_whole or want.weight is not None:
    return None
  params = eqn.params | {"dimension_numbers": (
      tuple((*c, b[axis.place]) for c, b in zip(contracted, batch)),
      tuple((*b[:axis.place], *b[axis.place + 1:]) for b in batch))}
  return [(x, VALUE) for x in eqn.invars], lambda env: lax.expand_dims(
      compat.bind_one(eqn, [value(env, x) for x in eqn.invars], params),
      (axis.place,))


def _of_joined(plan, eqn, want) -> Rule | None:
  """Arrays one after the other."""
  axis = want.axis
  if not joins(eqn, axis):
    return _sum_through(plan, eqn, want)
  if not axis.is_whole or want.weight is not None:
    return None
  is_stack = eqn.primitive is compat.stack_p
  parts = [want if is_stack else Want(SUM, axis._replace(
      size=x.aval.shape[axis.place])) for x in eqn.invars]
  wants = [VALUE if is_stack else plan.wish(x, part)
           for x, part in zip(eqn.invars, parts)]

  def emit(env):
    first, *others = [
        value(env, x) if is_stack else sum_of(env, x, w, part)
        for x, w, part in zip(eqn.invars, wants, parts)]
    for x in others:
      first = first + x
    return lax.expand_dims(first, (axis.place,)) if is_stack else first
  return list(zip(eqn.invars, wants)), emit


def joins(eqn, axis: Axis) -> bool:
  """Whether a result is the operands one after the other along an axis."""
  name = linear.JOINS.get(eqn.primitive)
  return name is not None and eqn.params[name] == axis.place


def _of_solution(plan, eqn, want) -> Rule | None:
  """A linear system: the sum of the right-hand sides is solved for."""
  params, count = eqn.params, sum(eqn.params["const_lengths"])
  *fixed, side = eqn.invars
  if len(fixed) != count:
    return None
  bodies = [body and _summed_body(type(plan), body, want.axis)
            for body in params["jaxprs"]]
  if any(new is None and old is not None
         for new, old in zip(bodies, params["jaxprs"])):
    return None
  params = params | {"jaxprs": type(params["jaxprs"])(*bodies)}
  return [*((x, VALUE) for x in fixed), (side, want)], (
      lambda env: compat.bind_one(eqn, [
          *(value(env, x) for x in fixed), env[side, want]], params))


def _summed_body(make_plan, body, axis):
  """A jaxpr, linear in its last input, of the sums of that over an axis, if it
  gives the sums of its only result over the same axis; None if not."""
  jaxpr, consts = jaxprs.open_jaxpr(body)
  if consts or len(jaxpr.outvars) != 1:
    return None
  plan, want = make_plan(jaxprs.inlined(jaxpr), True), Want(SUM, axis)
  *fixed, side = plan.jaxpr.invars
  out, = plan.jaxpr.outvars
  plan.want(out, want)
  plan.make((side,))
  if plan.wants(side) != [want]:
    return None

  def fun(*values):
    env = {(v, VALUE): x for v, x in zip(fixed, values)}
    env[side, want] = values[-1]
    return [get(plan.computed(env), out, want)]
  left = side.aval.update(shape=axis.shape_left(side.aval.shape))
  return compat.trace_to_jaxpr(fun, [*(v.aval for v in fixed), left],
                               jaxpr.debug_info)


_RULES: dict[Any, Callable[..., Rule | None]] = {
    compat.add_p: _of_terms,
    compat.add_any_p: _of_terms,
    compat.concatenate_p: _of_joined,
    compat.convert_element_type_p: _of_terms,
    compat.copy_p: _of_terms,
    compat.dot_general_p: _of_dot,
    compat.linear_solve_p: _of_solution,
    compat.neg_p: _of_terms,
    compat.select_n_p: _of_cases,
    compat.stack_p: _of_joined,
    compat.sub_p: _of_terms,
}
