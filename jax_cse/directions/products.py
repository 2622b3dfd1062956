"""Values as products: of a coefficient that is the same all along an axis, and
of variables that vary along it.

    t + t*y, times 1 - y      ==  ((1 + y) * (1 - y)) * t

with `y` the same along the axis of `t`. The coefficient is computed once and
not for each place of the axis, and its multiples of one variable are summed as
one. It is an expression: a number, or a tuple of an operation and its operands.

Limits: a coefficient of factors each of which is finite may overflow.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from jax_cse import compat
from jax_cse.directions.axes import Axis
from jax_cse.ring.cores import bottom_up

_MAX_FACTORS, _MAX_SIZE = 8, 24

Expression = Any


class Product(NamedTuple):
  """A coefficient times variables, in the order in which they are computed.

  Attributes:
    size: of the coefficient, in operations.
  """
  coefficient: Expression
  factors: tuple[Any, ...]
  size: int

  def times(self, other: "Product") -> "Product":
    return Product(_mul(self.coefficient, other.coefficient),
                   self.factors + other.factors, self.size + other.size + 1)


class Products:
  """The products that the variables of a jaxpr are, along its axes."""

  def __init__(self, jaxpr, definition: Callable[[Any], Any],
               is_same: Callable[[Any, Axis], bool]):
    """`definition`: the equation of a variable. `is_same`: whether a value is
    the same all along an axis."""
    self._definition = definition
    self._is_same = is_same
    self._place = {v: i for i, v in enumerate(
        v for eqn in jaxpr.eqns for v in eqn.outvars)}
    self._known: dict[tuple[Any, Axis], Product] = {}

  def of(self, v, axis: Axis) -> Product:
    for pair in bottom_up((v, axis), self._known, self._below):
      product = self._new(*pair)
      if len(product.factors) > _MAX_FACTORS or product.size > _MAX_SIZE:
        product = Product(1, (pair[0],), 0)
      self._known[pair] = product._replace(factors=tuple(sorted(
          product.factors, key=lambda v: self._place.get(v, -1))))
    return self._known[v, axis]

  def _below(self, pair):
    v, axis = pair
    return [] if self._is_same(v, axis) else [
        (x, axis) for x in self._operands(v, axis)
        if type(x) is not compat.Literal]

  def _operands(self, v, axis) -> list[Any]:
    """The operands of which products make that of a variable."""
    eqn = self._definition(v)
    if eqn is None or eqn.primitive not in _RULES or any(
        x.aval.dtype != v.aval.dtype or _is_special(x)
        for x in eqn.invars) or (
            eqn.primitive is compat.div_p
            and not self._is_same(eqn.invars[1], axis)) or (
                eqn.primitive is compat.integer_pow_p
                and eqn.params["y"] != 2):
      return []
    return eqn.invars

  def _new(self, v, axis) -> Product:
    if self._is_same(v, axis):
      return Product(("of", v), (), 0)
    operands = self._operands(v, axis)
    product = operands and _RULES[self._definition(v).primitive](
        *(self._of_operand(x, axis) for x in operands))
    return product or Product(1, (v,), 0)

  def _of_operand(self, x, axis) -> Product:
    if type(x) is compat.Literal:
      return Product(np.asarray(x.val).item(), (), 0)
    return self._known[x, axis]


def _is_special(x) -> bool:
  """Whether an operand is a number that is not itself when it is computed with
  in Python: a zero, which has a sign, or one that is not finite."""
  return type(x) is compat.Literal and not (
      np.isfinite(x.val) and np.all(x.val))


def atoms(expression: Expression) -> list[Any]:
  """The variables of an expression."""
  found, todo = [], [expression]
  while todo:
    e = todo.pop()
    if isinstance(e, tuple):
      if e[0] == "of":
        found.append(e[1])
      else:
        todo += e[1:]
  return found


def evaluate(expression: Expression, read: Callable[[Any], Any],
             known: dict[Expression, Any]) -> Any:
  """The value of an expression. `read`: of a variable. `known`: of expressions
  that were evaluated; those inside are added."""
  def below(e):
    return e[1:] if isinstance(e, tuple) and e[0] != "of" else ()
  for e in bottom_up(expression, known, below):
    if not isinstance(e, tuple):
      known[e] = e
    elif e[0] == "of":
      known[e] = read(e[1])
    else:
      known[e] = _OPERATIONS[e[0]](*(known[x] for x in e[1:]))
  return known[expression]


def _mul(a, b):
  if a in (1, -1) or b in (1, -1):
    one, other = (a, b) if a in (1, -1) else (b, a)
    return other if one == 1 else _neg(other)
  return ("mul", a, b)


def _neg(a):
  if not isinstance(a, tuple):
    return -a
  return a[1] if a[0] == "neg" else ("neg", a)


def _negative(a: Product) -> Product:
  return a._replace(coefficient=_neg(a.coefficient))


def _quotient(a: Product, b: Product) -> Product:
  return Product(("div", a.coefficient, b.coefficient), a.factors,
                 a.size + b.size + 1)


def _sum(a: Product, b: Product) -> Product | None:
  return Product(("add", a.coefficient, b.coefficient), a.factors,
                 a.size + b.size + 1) if a.factors == b.factors else None


def _difference(a: Product, b: Product) -> Product | None:
  return _sum(a, _negative(b))


def _square(a: Product) -> Product:
  return a.times(a)


_RULES: dict[Any, Callable[..., Product | None]] = {
    compat.add_any_p: _sum,
    compat.add_p: _sum,
    compat.div_p: _quotient,
    compat.integer_pow_p: _square,
    compat.mul_p: Product.times,
    compat.neg_p: _negative,
    compat.square_p: _square,
    compat.sub_p: _difference,
}
# Of which a value may be a product further back.
PRIMITIVES = frozenset(_RULES)
_OPERATIONS: dict[str, Callable[..., Any]] = {
    "add": lambda a, b: a + b,
    "div": lambda a, b: a / b,
    "mul": lambda a, b: a * b,
    "neg": lambda a: -a,
}
