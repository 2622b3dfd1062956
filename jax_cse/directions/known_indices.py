"""Indices that are known when a program is traced.

`x[i]` with an array `i` of numbers is staged as arithmetic on them, for those
below zero, and a `gather`. What is computed of small integers alone is computed
here with NumPy, for whoever asks.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from jax_cse import compat

_MAX_SIZE = 1 << 14

Numbers = np.ndarray


class Known:
  """The integers and truth values of a jaxpr that are known."""

  def __init__(self, binders: Sequence[Any], values: Sequence[Any]):
    self._inputs = dict(zip(binders, values))
    self._found: dict[Any, Numbers | None] = {}

  def __call__(self, atom, definition: Callable[[Any], Any]) -> Numbers | None:
    """The numbers of a variable; None if they are not known."""
    if type(atom) is compat.Literal:
      return np.asarray(atom.val)
    if atom not in self._found:
      self._found[atom] = self._look(atom, definition)
    return self._found[atom]

  def _look(self, atom, definition) -> Numbers | None:
    aval = atom.aval
    if getattr(aval, "size", _MAX_SIZE) >= _MAX_SIZE or (
        compat.is_inexact(aval.dtype)):
      return None
    if atom in self._inputs:
      value = self._inputs[atom]
      return None if isinstance(value, compat.Tracer) else np.asarray(value)
    eqn = definition(atom)
    rule = None if eqn is None else _RULES.get(eqn.primitive)
    if rule is None:
      return None
    operands = [self(x, definition) for x in eqn.invars]
    if any(x is None for x in operands):
      return None
    found: Numbers = rule(eqn.params, *operands)
    return found.astype(aval.dtype) if found.shape == aval.shape else None


def _broadcast(params, x):
  shape = [1] * len(params["shape"])
  for k, n in zip(params["broadcast_dimensions"], x.shape):
    shape[k] = n
  return np.broadcast_to(x.reshape(shape), params["shape"])


_RULES: dict[Any, Callable[..., Numbers]] = {
    compat.add_p: lambda params, x, y: x + y,
    compat.broadcast_in_dim_p: _broadcast,
    compat.concatenate_p: lambda params, *xs: np.concatenate(
        xs, params["dimension"]),
    compat.convert_element_type_p: lambda params, x: x,
    compat.reshape_p: lambda params, x: x.reshape(params["new_sizes"]),
    compat.select_n_p: lambda params, which, *cases: np.choose(
        which.astype(int), cases),
    compat.squeeze_p: lambda params, x: x.squeeze(params["dimensions"]),
}
