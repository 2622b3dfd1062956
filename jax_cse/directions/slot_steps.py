"""How an equation computes with arrays that are compressed along directions."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax_cse.directions.axes import Axis
from jax_cse.directions.slots import Layout


class Step(NamedTuple):
  """How an equation computes with compressed operands.

  Attributes:
    wants: for each operand a layout, or an axis along which one of equal slices
      is enough, or None for the operand as it is.
    layout: that of the result; None if that has no directions any more, or all
      of them.
    emit: the result, of the operands.
    slots: how many there are instead of directions, in what is computed.
  """
  wants: list[Layout | Axis | None]
  layout: Layout | None
  emit: Callable[[list[Any]], Any]
  slots: int


Layouts = list[Layout | None]
