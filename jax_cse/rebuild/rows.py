"""Rows: the part of a linear program that maps each row of its inputs alone.

    h = mul x[n,1] c[n,1]        in rows, those of axis 0
    y = dot_general h[n,1] w     in rows
    s = reduce_sum y             here they meet

A row is a place along an axis, which may move. The other operands do not count:
they do not depend on the inputs.
"""

from collections.abc import Sequence

from jax_cse import compat
from jax_cse.primitives import linear


def split(jaxpr, inputs: Sequence) -> tuple:
  """Where the rows of inputs meet.

  Returns:
    The jaxpr of what comes after that, its equations and results those of
    `jaxpr`; and the variables from which it goes on, with the axis of their
    rows. Those are the results themselves if rows never meet.
  """
  axes = dict.fromkeys(inputs, 0)
  moving, rest = set(inputs), []
  for eqn in jaxpr.eqns:
    operands = [(i, v) for i, v in enumerate(eqn.invars)
                if type(v) is not compat.Literal and v in moving]
    moving.update(eqn.outvars if operands else ())
    axis = _axis_of_result(eqn, {i: axes.get(v) for i, v in operands})
    if operands and axis is not None:
      axes[eqn.outvars[0]] = axis
    else:
      rest.append(eqn)
  read = {v for eqn in rest for v in eqn.invars
          if type(v) is not compat.Literal}
  read.update(v for v in jaxpr.outvars if type(v) is not compat.Literal)
  return (jaxpr.replace(eqns=rest),
          {v: axis for v, axis in axes.items() if v in read})


def _axis_of_result(eqn, axes: dict[int, int | None]) -> int | None:
  """The axis of the rows of a result, given those of operands; None if they
  meet."""
  if None in axes.values() or len(eqn.outvars) != 1:
    return None
  primitive = compat.forward_primitive(eqn.primitive)
  if compat.is_elementwise(primitive):
    axis, *others = set(axes.values()) or {None}
    return None if others else axis
  rule = linear.THROUGH.get(primitive)
  avals = [v.aval for v in eqn.invars]
  for axis in range(len(eqn.outvars[0].aval.shape)):
    inside = (_batch_of_dot(eqn.params, axis)
              if primitive is compat.dot_general_p else None) or (
                  rule and rule(eqn.params, avals, axis, 1))
    if inside and all(inside[1].get(i) == k for i, k in axes.items()):
      return axis
  return None


def _batch_of_dot(params, axis):
  _, batch = params["dimension_numbers"]
  return (params, {i: batch[i][axis] for i in range(2)}) if (
      axis < len(batch[0])) else None
