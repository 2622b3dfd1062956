"""Cores: an element of a ring is a coefficient times a core.

    one                       the unit; its multiples are the constants
    an atom                   anything that no sum or product made
    a sum                     of multiples of cores, with usual coefficients
    a product, a power        of cores
    an image                  of cores under a linear map; to sums and products
                              of it, an atom

A core has a number, by which others refer to it, and so have its parts:
`bottom_up` goes through them in topological order.
"""

from collections.abc import (
    Callable, Container, Hashable, Iterable, Iterator, Mapping, Sequence)
import math
from typing import Any, NamedTuple, Protocol, TypeVar

from jax_cse.ring.coefficients import Coefficient
from jax_cse.ring.polynomials import Monomial, Terms

_Node = TypeVar("_Node", bound=Hashable)

# The fixed cost of an equation, in computed elements.
EQUATION = 16


class Element(NamedTuple):
  """A coefficient times a core; zero is no multiple of one."""
  coefficient: Coefficient
  core: int


class Core:
  """The properties of a number.

  Attributes:
    domain: the ring that it is of; elements of two are never combined.
    shape: of the arrays that it stands for, axes of length 1 where it is the
      same all along.
    at_point: its value at the random point.
    degree: not less than its degree as a polynomial in the atoms.
    parts: the elements that it was first computed from. They have no axis that
      the core has not: an array that was added and subtracted is not in them.
  """
  __slots__ = ("domain", "shape", "at_point", "degree", "parts")

  def __init__(self, domain, shape, at_point, degree, parts=()):
    self.domain = domain
    self.shape = shape
    self.at_point = at_point
    self.degree = degree
    self.parts: tuple[Element, ...] = parts

  @property
  def size(self) -> int:
    return math.prod(self.shape)

  @property
  def children(self) -> Sequence[int]:
    """The numbers that it is a sum, product or power of; none of an atom."""
    return ()


class Saved(NamedTuple):
  """An image that is not computed, if nothing else needs it.

  Attributes:
    image: its number.
    cost: its cost beyond that of its replacement.
  """
  image: int
  cost: int


class Way(NamedTuple):
  """Another way to compute a core: as a sum of multiples of monomials.

  Attributes:
    terms: coefficients, with numbers and exponents.
    saved: the images that are not computed in this way.
    spent: the extra cost.
  """
  terms: tuple[tuple[Coefficient, Monomial], ...]
  saved: tuple[Saved, ...] = ()
  spent: int = 0


class LinearMap(Protocol):
  """A map that is linear in its operands, group by group.

  Attributes:
    number: equal maps have one number, and others another.
    groups: how many operands stand in each group. The map is linear in the
      operands of one group together, those of the others being fixed.
    operand_shapes: of the operands.
    domain, shape: of the result.
    cost: of an application: an equation, and the elements or the
      multiplications that it takes.
    is_index_map: whether the result has the elements of its only operand, each
      in another place: then products go through it as well as sums.
    keeps_order: whether it is an index map that changes nothing but the shape.
    sums: the axes that it sums over and removes, and does nothing else.
    fixed: the numbers of its other operands, by their places.
  """
  number: int
  groups: tuple[int, ...]
  operand_shapes: tuple[tuple[int, ...], ...]
  domain: Any
  shape: tuple[int, ...]
  cost: int
  is_index_map: bool
  keeps_order: bool
  sums: tuple[int, ...]
  fixed: Mapping[int, int]

  def through(self, axis: int
              ) -> "tuple[LinearMap, dict[int, int | None]] | None":
    """The map from summed operands to the sum over an axis of the result.

    Returns that map, and the axis over which each of these operands is summed,
    None for a scalar; None if there is no such map. An axis of length 1 is
    left.
    """

  def read_by(self, other: "LinearMap"
              ) -> "tuple[int, LinearMap | None] | None":
    """Where an index map of the result finds its elements, if in one operand
    alone: the place of that, and the index map of it that they are, None for
    the operand as it is."""


class One(Core):
  __slots__ = ()


class Atom(Core):
  __slots__ = ()


class Reciprocal(Atom):
  """One over its part."""
  __slots__ = ()


class Image(Atom):
  """Of its parts under a linear map."""
  __slots__ = ("map",)
  map: LinearMap


class Factor(Core):
  """An element that is taken for an atom; its part is that element."""
  __slots__ = ()


class Sum(Core):
  """`terms` are multiples of cores, none of them sums except long ones."""
  __slots__ = ("terms",)
  terms: Mapping[int, Coefficient]

  @property
  def children(self):
    return list(self.terms)


class Product(Core):
  """Of two cores, which are its parts."""
  __slots__ = ()

  @property
  def children(self):
    return [n for _, n in self.parts]

  @property
  def factors(self) -> Monomial:
    """Its factors, with exponents."""
    return tuple((n, 1) for _, n in self.parts)


class Power(Core):
  """A core to a positive exponent."""
  __slots__ = ("exponent",)
  exponent: int

  @property
  def children(self):
    return [self.parts[0].core]

  @property
  def factors(self) -> Monomial:
    return ((self.parts[0].core, self.exponent),)


def join(*shapes: tuple[int, ...]) -> tuple[int, ...]:
  """The shape that others broadcast to: of one rank, or without axes."""
  rank = max(map(len, shapes))
  full = [shape for shape in shapes if len(shape) == rank]
  return full[0] if len(set(full)) == 1 else tuple(
      next((n for n in axis if n != 1), 1) for axis in zip(*full))


def bottom_up(root: _Node, known: Container[_Node],
              below: Callable[[_Node], Iterable[_Node]]) -> Iterator[_Node]:
  """The nodes under `root` that are not `known`, each after those `below` it.

  The caller makes each node known before it asks for the next.
  """
  todo = [root]
  while todo:
    n = todo[-1]
    missing = [] if n in known else [m for m in below(n) if m not in known]
    if missing:
      todo += missing
    else:
      todo.pop()
      if n not in known:
        yield n


_MAX_FACTORS = 8


def factors(cores: Mapping[int, Core], n: int) -> Monomial:
  """The factors of a core, with exponents, in order; products in it are looked
  into as long as there are few."""
  found: dict[int, int] = {}
  todo = [(n, 1)]
  while todo:
    m, e = todo.pop()
    core = cores[m]
    if type(core) is Product and len(todo) + len(found) < _MAX_FACTORS:
      todo += [(x, e) for _, x in core.parts]
    elif type(core) is Power and type(cores[core.parts[0].core]) is not Sum:
      todo.append((core.parts[0].core, e * core.exponent))
    elif type(core) is not One:
      found[m] = found.get(m, 0) + e
  return tuple(sorted(found.items()))


def monomial(cores: Mapping[int, Core], n: int) -> Monomial:
  """A core as a product of powers: of itself, or of nothing for the unit."""
  return () if type(cores[n]) is One else ((n, 1),)


def terms(cores: Mapping[int, Core], n: int,
          monomial_of: Callable[[int], Monomial] | None = None) -> Terms:
  """A core as the sum or the product that it is of its children, or of
  itself. `monomial_of`: of a term of a sum, itself unless said."""
  core = cores[n]
  if type(core) is Sum:
    of = monomial_of or (lambda m: monomial(cores, m))
    return [(c, of(m)) for m, c in core.terms.items()]
  if isinstance(core, (Product, Power)):
    return [(1, core.factors)]
  return [(1, monomial(cores, n))]
