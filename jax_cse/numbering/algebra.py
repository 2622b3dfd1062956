"""The algebra of primitives: which of them are operations of a ring.

    add, sub, neg, add_any       sums
    mul, square, integer_pow     products and powers
    one_minus_square             the sum that it is
    div                          by a constant: a multiple; else a product with
                                 a reciprocal, of floats only
    broadcast_in_dim             of a scalar: the scalar
    convert_element_type         to the same dtype: the operand; of a constant
                                 to a dtype that has it: a constant
    linear primitives            images, in mode "ring"; see `linear`

A dtype is a ring: integers modulo a power of two, exactly, and real and complex
floats as far as rounding lets them be one. A scalar and the array that it is
broadcast to are one core, so a factor that is a scalar stays one.

No sum crosses a change of the type of floats: f16 numbers that are added after
they were converted to f32 would overflow before. These identities do cross it,
since they hold to the bit, except beyond the narrower range:

    L(-x)          ==  -L(x)
    L(2**k * x)    ==  2**k * L(x)     if the result has all that `x` may be

The result of any other primitive is an atom. So is a value that is sharded by
type, or that lies in another memory than the device's, and every value that is
computed while a mesh is set.
"""

import cmath
from collections.abc import Callable, Sequence
from fractions import Fraction
import math
from typing import Any, cast
import weakref

from jax_cse import compat
from jax_cse.numbering import keys
from jax_cse.numbering import scalars
from jax_cse.numbering.pieces import Pieces
from jax_cse.numbering.linear_maps import Map, Maps, is_in_ring
from jax_cse.ring.coefficients import Coefficient, over, simple
from jax_cse.ring.cores import Element, Image, join
from jax_cse.ring.linear_ring import LinearRing
from jax_cse.ring.ring import Ring

_MAX_EXPONENT = 64


class Algebra:
  """Elements of rings, and the numbers of values that they are.

  Attributes:
    ring: the elements.
    maps: the linear maps; None in a mode that knows of none.
    pieces: what is known of arrays element by element; None as well.
  """

  def __init__(self, scope, mode: str):
    """Keeps nothing of `scope` alive, which keeps this: no cycle, which only
    the garbage collector could free."""
    self._scope = weakref.proxy(scope)
    self.ring = (
        LinearRing(scope.expressions.of, compat.is_integer,
                   compat.is_complex) if mode == "ring"
        else Ring(scope.expressions.of, False, compat.is_integer))
    self.maps = Maps(scope, self) if mode == "ring" else None
    self.pieces = Pieces(self) if mode == "ring" else None
    self._elements: dict[int, Element] = {}
    self._applied: dict[int, tuple[Map, list[Element]]] = {}
    self._types: dict[int, Any] = {}   # of atoms and of results
    self._not_finite: set[int] = set()   # atoms that are infinity or NaN

  def number(self, plan: keys.Plan, context, numbers: Sequence[int], avals,
             params) -> tuple[int, Any] | None:
    """The number and the type of the result of a primitive, None if it is not
    an operation of a ring."""
    if compat.has_mesh():
      return None
    rule, found = _rules.get(plan.number), None
    if rule is not None and all(map(is_in_ring, avals)):
      operands = [self.element(n, aval) for n, aval in zip(numbers, avals)]
      # A constant that is infinite is no number of a ring: 0 * inf is NaN.
      if plan.number in _KEEP_CONSTANTS or self._not_finite.isdisjoint(
          core for _, core in operands):
        found = rule(self.ring, operands, avals, params)
        if found is not None and not self._is_near_one(*found):
          found = None
    if found is None and self.maps is not None:
      found = self._image(plan, context, numbers, avals, params)
    if found is None:
      return None
    element, aval = found
    return self.number_of(self._folded(element), aval), aval

  def _folded(self, element: Element) -> Element:
    """The constant that an element is, if all of its elements are known."""
    core = self.ring.cores[element.core]
    if self.pieces is None or not (core.shape or type(core) is Image):
      return element
    value = self.pieces.constant(element)
    return element if value is None else self.ring.constant(value, core.domain)

  def _is_near_one(self, element, aval) -> bool:
    """Whether the factor of an element is no further from 1 than the square
    root of the range of a type of floats. One that is further keeps
    numbers in range, (x * 1e-30) * (y * 1e-30), and so stays where it is."""
    c = abs(element.coefficient)
    if c in (0, 1) or self.ring.is_constant(element) or not compat.is_inexact(
        aval.dtype):
      return True
    most = 2**(compat.finfo(aval.dtype).maxexp // 2 - 4)
    return c <= most and c * most >= 1

  def _image(self, plan, context, numbers, avals, params):
    """The element and the type of the result of a linear primitive."""
    assert self.maps is not None and isinstance(self.ring, LinearRing)
    map_ = self.maps.of(plan, context, numbers, avals, params)
    if map_ is None:
      return None
    parts = [self.element(numbers[i], avals[i]) for i in map_.slots]
    out = map_.out
    if not map_.is_additive:
      return self._of_another_type(map_, parts), out
    if plan.number == _BROADCAST:
      out = out.update(shape=tuple(params["shape"]))
    return self._of_what_is_the_same(map_, parts) or (
        self.ring.image(map_, parts)), out

  def _of_another_type(self, map_, parts) -> Element:
    """The image of elements under a linear primitive that changes the type: an
    atom, or a multiple of one."""
    factor: Coefficient = 1
    if map_.groups == (1,) * len(parts):   # each linear by itself
      scales = [_exact_scale(c, map_.keeps_range) for c, _ in parts]
      parts = [Element(over(c, s), n) for (c, n), s in zip(parts, scales)]
      factor = math.prod(scales)
    number = self._scope.of(
        ("application", map_.number, *(c for c, _ in parts)),
        *(n for _, n in parts))
    self._applied.setdefault(number, (map_, parts))
    self._types.setdefault(number, map_.out)
    return self.ring.scale(
        self.ring.atom(number, map_.domain, map_.shape), factor)

  def application(self, number: int) -> tuple[Map, list[Element]] | None:
    """The linear map that a core is an application of, and its operands."""
    core = self.ring.cores.get(number)
    if type(core) is Image:
      return cast(Map, core.map), list(core.parts)
    return self._applied.get(number)

  def _of_what_is_the_same(self, map_, parts) -> Element | None:
    """The sum of an element that is the same all along the axes: a multiple."""
    part, ring = parts[0], self.ring
    assert self.maps is not None and isinstance(ring, LinearRing)
    shape = ring.cores[part.core].shape
    if not map_.sums or (shape and any(shape[k] != 1 for k in map_.sums)):
      return None
    if shape:
      part = ring.image(
          self.maps.drop(map_.domain, shape, map_.sums), [part])
    lengths = [map_.operand_shapes[0][k] for k in map_.sums]
    return ring.scale(part, math.prod(lengths))

  def element(self, number: int, aval) -> Element:
    """The element that a value is."""
    element = self._elements.get(number)
    if element is None:
      element = self._elements[number] = self._new_element(number, aval)
    return element

  def is_constant(self, tracer) -> bool:
    """Whether a tracer is a scalar whose value is known."""
    return not tracer.aval.shape and is_in_ring(tracer.aval) and (
        self.ring.is_constant(self.element(tracer.number, tracer.aval)))

  def is_known(self, number: int) -> bool:
    """Whether the value that has a number is the same for all operands."""
    element = self._elements.get(number)
    return element is not None and self.ring.is_constant(element)

  def is_zero(self, number: int) -> bool:
    """Whether the value that has a number is known to be zeros."""
    element = self._elements.get(number)
    return element is not None and not element.coefficient

  def folds(self, plan: keys.Plan, numbers: Sequence[int], avals) -> bool:
    """Whether a result that is a constant is one where nothing is rebuilt: a
    sum that cancels may be NaN, and is left."""
    return self.maps is not None and (plan.number not in _SUMS or all(
        self.ring.is_constant(self.element(n, aval))
        for n, aval in zip(numbers, avals)))

  def constant_of(self, number: int) -> tuple[Coefficient, Any] | None:
    """The value and the type of a constant that was made here."""
    element = self._elements.get(number)
    return None if element is None or number not in self._types or (
        not self.ring.is_constant(element)) else (
            element.coefficient, self._types[number])

  def type_of(self, number: int) -> Any:
    """The type of an element of the ring, None for any other."""
    return self._types.get(number)

  def constant(self, value, aval) -> Element | None:
    """The element that a concrete scalar is; None if it is in no ring."""
    if aval.shape or not is_in_ring(aval):
      return None
    rational = _as_rational(value, aval.dtype)
    return None if rational is None else self.ring.constant(
        rational, aval.dtype)

  def _new_element(self, number, aval):
    value = self._scope.numbering.scalars.get(number)
    if value is not None:
      rational = _as_rational(value, aval.dtype)
      if rational is not None:
        return self.ring.constant(rational, aval.dtype)
      if not cmath.isfinite(compat.rounded(value, aval.dtype)):
        self._not_finite.add(number)
    self._types[number] = aval
    return self.ring.atom(number, aval.dtype, aval.shape)

  def number_of(self, element: Element, aval) -> int:
    """The number of the value of a type that is an element."""
    c, core = element
    known = self.ring.cores[core]
    if type(known) is Image:
      self._types.setdefault(core, cast(Map, known.map).out)
    if c == 1 and self._types.get(core) == aval:
      return core
    number = self._scope.of(("element", c, aval), core)
    self._elements[number] = element
    self._types[number] = aval
    return number

  def find(self, number: int) -> Element:
    """The element of a number; a number in no ring stands for itself."""
    return self._elements.get(number) or Element(1, number)


def _as_rational(value, dtype) -> int | Fraction | None:
  """The exact value of a scalar of a dtype.

  None if it is not real and finite, or is -0: rational numbers have one zero.
  """
  x = compat.rounded(value, dtype)
  if isinstance(x, complex):
    if x.imag:
      return None
    x = x.real
  if isinstance(x, int):
    return x
  if not math.isfinite(x) or (not x and math.copysign(1, x) < 0):
    return None
  return simple(Fraction(x))


def _converted(c, source, dtype) -> int | Fraction | None:
  """A constant of one dtype as another has it; None if it has not."""
  source = compat.real_dtype(source)
  value = scalars.constant(c, source)   # which wraps, or rounds
  exact = _as_rational(value, source)
  if exact is None or not compat.is_inexact(dtype):
    fits = (isinstance(exact, int) and compat.is_integer(dtype)
            and scalars.fits_integer(exact, dtype))
    return exact if fits else None
  converted = _as_rational(value, dtype)
  # Converted in two steps an integer or a float of 64 bits may round twice.
  rounds_once = compat.is_inexact(source) and compat.finfo(source).bits <= 32
  return converted if rounds_once or converted == exact else None


def _exact_scale(c, keeps_range) -> Coefficient:
  """A factor of a coefficient by which floats are multiplied exactly."""
  if keeps_range and c and _is_power_of_two(abs(c)):
    return c
  return -1 if c < 0 else 1


def _is_power_of_two(c):
  return c.numerator & (c.numerator - 1) == c.denominator & (
      c.denominator - 1) == 0


# The rules. Each takes the ring, the elements and types of the operands and the
# params, and returns the element and type of the result, or None.

def _type_of_two(avals):
  x, y = avals
  weak = x.weak_type and y.weak_type
  shape = x.shape if x.shape == y.shape else join(x.shape, y.shape)
  return x if (x.shape, x.weak_type) == (shape, weak) else (
      x.update(shape=shape, weak_type=weak))


def _of_two(operation: Callable):
  def rule(ring, operands, avals, params):
    if avals[0].dtype != avals[1].dtype or params.get("out_dtype") not in (
        None, avals[0].dtype):
      return None
    return operation(ring, *operands), _type_of_two(avals)
  return rule


def _neg(ring, operands, avals, params):
  return ring.neg(operands[0]), avals[0]


def _square(ring, operands, avals, params):
  return ring.mul(operands[0], operands[0]), avals[0]


def _one_minus_square(ring, operands, avals, params):
  return ring.sub(ring.constant(1, avals[0].dtype),
                  ring.mul(operands[0], operands[0])), avals[0]


def _integer_pow(ring, operands, avals, params):
  (x,), (aval,), y = operands, avals, params["y"]
  if y == 0:
    return ring.constant(1, aval.dtype), aval
  if abs(y) > _MAX_EXPONENT:
    return None
  if y < 0:
    if not _divides(ring, x, aval):
      return None
    x = ring.reciprocal(x)
  return ring.power(x, abs(y)), aval


def _div(ring, operands, avals, params):
  x, y = operands
  if avals[0].dtype != avals[1].dtype or not _divides(ring, y, avals[1]):
    return None
  return ring.mul(x, ring.reciprocal(y)), _type_of_two(avals)


def _divides(ring, x, aval):
  return bool(x.coefficient) and compat.is_inexact(aval.dtype)


def _broadcast(ring, operands, avals, params):
  x, *dynamic = avals
  if dynamic or x.shape or params.get("sharding") is not None:
    return None
  return operands[0], x.update(shape=tuple(params["shape"]))


def _convert(ring, operands, avals, params):
  (x,), (element,), dtype = avals, operands, params["new_dtype"]
  if params.get("sharding") is not None:
    return None
  if x.dtype != dtype:
    if not ring.is_constant(element):
      return None
    value = (_converted(element.coefficient, x.dtype, dtype)
             if is_in_ring(x.update(dtype=dtype)) else None)
    if value is None:
      return None
    element = ring.constant(value, dtype)
  return element, x.update(dtype=dtype, weak_type=params["weak_type"])


_BROADCAST = keys.plan_of(compat.broadcast_in_dim_p).number
_SUMS = {keys.plan_of(p).number
         for p in (compat.add_p, compat.add_any_p, compat.sub_p)}
_KEEP_CONSTANTS = {keys.plan_of(p).number for p in compat.KEEP_CONSTANTS}

_rules = {keys.plan_of(primitive).number: rule for primitive, rule in {
    compat.add_p: _of_two(Ring.add),
    compat.add_any_p: _of_two(Ring.add),
    compat.sub_p: _of_two(Ring.sub),
    compat.mul_p: _of_two(Ring.mul),
    compat.neg_p: _neg,
    compat.square_p: _square,
    compat.one_minus_square_p: _one_minus_square,
    compat.integer_pow_p: _integer_pow,
    compat.div_p: _div,
    compat.broadcast_in_dim_p: _broadcast,
    compat.convert_element_type_p: _convert,
}.items()}
