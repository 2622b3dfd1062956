"""Derivatives along directions, without those that are known to be zero.

An electron's three coordinates reach only some entries of what a wavefunction
computes: features of an electron depend on 3 of 3n directions, those of a pair
on 6, until a layer mixes them. Which do is known when a program is traced: each
direction is that of one coordinate.

A jaxpr, whose sums were taken early, is gone through twice. The first way is
for layouts alone (see `slots`): `slot_rules` says how an equation computes with
slots in place of directions; one without a rule gets the zeros. If that takes
clearly less work, the second way computes.

Source: Gao et al. 2023, Folx, for the sparse Jacobians of a forward Laplacian.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from jax_cse import compat
from jax_cse.directions import axes
from jax_cse.directions import early_sums
from jax_cse.directions import known_indices
from jax_cse.directions import reslotting
from jax_cse.directions import slot_rules
from jax_cse.directions.axes import Axis
from jax_cse.directions.slots import Layout
from jax_cse.primitives import costs

# Of fewer directions few are zero, and nothing is saved.
_MIN_DIRECTIONS = 6

# The part of the work that has to be saved.
_MIN_SAVED = 0.04


class Coordinates(NamedTuple):
  """Directions that are those of coordinates, each times a number.

  Attributes:
    directions: for each coordinate its direction, -1 if there is none, in the
      shape of the point.
    numbers: those, of each coordinate.
  """
  directions: np.ndarray
  numbers: np.ndarray

  @classmethod
  def of(cls, rows: np.ndarray, shape: tuple[int, ...]
         ) -> "Coordinates | None":
    """What the rows of a matrix are; None if not all are along coordinates."""
    if not rows.size or ((rows != 0).sum(0) > 1).any() or (
        (rows != 0).sum(1) > 1).any():
      return None
    found = np.where(rows.any(0), (rows != 0).argmax(0), -1)
    return cls(found.reshape(shape), rows.sum(0).reshape(shape))

  def layout(self, size: int) -> Layout:
    return Layout(id(self.directions), 0, size, self.directions[None])

  def array(self, dtype) -> np.ndarray:
    """The directions one after the other."""
    rows = np.zeros((self.directions.max() + 1, *self.directions.shape), dtype)
    np.put_along_axis(rows, np.maximum(self.directions, 0)[None],
                      self.numbers[None].astype(dtype), 0)
    return rows

  def compressed(self, dtype):
    """The same, in one slot for each coordinate."""
    return jnp.asarray(self.numbers[None], dtype)


Known = dict[Any, tuple[Coordinates, Layout]]


def early(fun: Callable[..., list[Any]],
          directions: Sequence[Coordinates | None]
          ) -> Callable[..., list[Any]]:
  """`early_sums.early` without zeros.

  `directions`: what is known of each operand, whose first axis is that of
  directions.
  """
  def run(plan, values):
    jaxpr, start = plan.jaxpr, len(values) - len(directions)

    def known(binders) -> Known:
      return {v: (found, found.layout(v.aval.shape[0]))
              for v, found in zip(binders[start:], directions)
              if found is not None and v.aval.shape[0] >= _MIN_DIRECTIONS}
    inputs = known([*jaxpr.constvars, *jaxpr.invars])
    is_plain = all(compat.is_plain_type(v.aval) for v in jaxpr.invars)
    if not inputs or not is_plain or not Plan(jaxpr, inputs, values).pays:
      return plan.run(values)
    closed = compat.trace_to_jaxpr(
        lambda *xs: plan.run(xs), [compat.typeof(x) for x in values],
        jaxpr.debug_info)
    values = [*closed.consts, *values]
    return Plan(closed.jaxpr, known(closed.jaxpr.invars), values).run(values)
  return early_sums.early(fun, after=run)


class Plan:
  """How to compute a jaxpr with compressed arrays.

  Attributes:
    work: how much that takes.
    dense_work: how much it takes with zeros.
  """

  def __init__(self, jaxpr, known: Known, values: Sequence[Any]):
    self.jaxpr = jaxpr
    self.work = self.dense_work = 0.
    self._known = known
    self._layouts = {v: layout for v, (_, layout) in known.items()}
    self._steps: list[slot_rules.Step | None] = []
    self._numbers = known_indices.Known(
        [*jaxpr.constvars, *jaxpr.invars], values)
    self._sums = early_sums.Plan(jaxpr)
    self._expanded: set[Any] = set()
    for eqn in jaxpr.eqns:
      self._add(eqn)
    for v in jaxpr.outvars:
      self._expand(v)

  @property
  def pays(self) -> bool:
    return self.work < (1 - _MIN_SAVED) * self.dense_work

  def is_same(self, atom, axis: Axis) -> bool:
    """Whether all slices along an axis are equal."""
    return self._sums.is_same(atom, axis)

  def is_zero(self, atom) -> bool:
    """Whether a value is known to be zero."""
    while type(atom) is not compat.Literal:
      eqn = self._sums.definition(atom)
      if eqn is None or eqn.primitive not in (
          compat.broadcast_in_dim_p, compat.reshape_p, compat.slice_p,
          compat.convert_element_type_p):
        return False
      atom = eqn.invars[0]
    return bool(np.all(np.asarray(atom.val) == 0))

  def numbers(self, atom) -> np.ndarray | None:
    """The integers that a variable is known to be."""
    return self._numbers(atom, self._sums.definition)

  def _layout(self, atom) -> Layout | None:
    return None if type(atom) is compat.Literal else self._layouts.get(atom)

  def _add(self, eqn) -> None:
    layouts = list(map(self._layout, eqn.invars))
    work = costs.cost_of_equation(eqn)
    self.dense_work += work
    if not any(x is not None for x in layouts):
      self.work += work
      self._steps.append(None)
      return
    step = slot_rules.rule(self, eqn, layouts)
    self._steps.append(step)
    if step is None:
      for x in eqn.invars:
        self._expand(x)
      self.work += work
      return
    size = next(x.size for x in layouts if x is not None)
    self.work += work * step.slots / size
    for x, layout, want in zip(eqn.invars, layouts, step.wants):
      if layout is not None and isinstance(want, Layout):
        self.work += reslotting.price(layout, want) * (
            x.aval.size * want.slots / size)
    if step.layout is not None:
      self._layouts[eqn.outvars[0]] = step.layout

  def _expand(self, atom) -> None:
    layout = self._layout(atom)
    if layout is not None and atom not in self._expanded:
      self._expanded.add(atom)
      self.work += reslotting.price(layout, layout.dense) * atom.aval.size

  def run(self, values: Sequence[Any]) -> list[Any]:
    """The results, of values of the constants and inputs."""
    env = dict(zip((*self.jaxpr.constvars, *self.jaxpr.invars), values))
    for v, (coordinates, _) in self._known.items():
      env[v] = coordinates.compressed(env[v].dtype)
    moved: dict[Any, Any] = {}

    def read(atom, want):
      if type(atom) is compat.Literal:
        return atom.val
      layout = self._layouts.get(atom)
      if isinstance(want, Axis):
        return axes.one(env[atom], want)
      if layout is None:
        return env[atom]
      target = layout.dense if want is None else want
      key = atom, target.table.tobytes(), target.table.shape
      if key not in moved:
        moved[key] = reslotting.reslotted(env[atom], layout, target)
      return moved[key]

    for eqn, step in zip(self.jaxpr.eqns, self._steps):
      wants = [None] * len(eqn.invars) if step is None else step.wants
      with compat.at(eqn.ctx, compat.source_of(eqn)):
        operands = [read(x, want) for x, want in zip(eqn.invars, wants)]
        outs = [] if step is None else [step.emit(operands)]
      if step is None:
        outs = compat.bind_again(eqn, operands)
      env.update(zip(eqn.outvars, outs))
    return [read(x, None) for x in self.jaxpr.outvars]
