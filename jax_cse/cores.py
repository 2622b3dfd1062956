"""Cores: what an element of a ring is a multiple of.

    one                       the unit; its multiples are the constants
    an atom                   anything that no sum or product made
    a sum                     of multiples of cores, with usual coefficients
    a product, a power        of cores

A core has a number, by which others refer to it, and so has what it is made of:
`bottom_up` is the order to go through them.
"""

from collections.abc import Callable, Container, Iterable, Iterator
from typing import NamedTuple

from jax_cse.coefficients import Coefficient


class Element(NamedTuple):
  """A coefficient times a core; zero is no multiple of one."""
  coefficient: Coefficient
  core: int


class Core:
  """What is known of a number.

  Attributes:
    domain: the ring that it is of; elements of two are never combined.
    shape: of the arrays that it stands for, axes of length 1 where it is the
      same all along.
    at_point: its value at the random point.
    degree: not less than its degree as a polynomial in the atoms.
    parts: what it was first computed from. It has no axis that the core has
      not: an array that was added and subtracted again is not in it.
  """
  __slots__ = ("domain", "shape", "at_point", "degree", "parts")

  def __init__(self, domain, shape, at_point, degree, parts=()):
    self.domain = domain
    self.shape = shape
    self.at_point = at_point
    self.degree = degree
    self.parts: tuple[Element, ...] = parts


class One(Core):
  __slots__ = ()


class Atom(Core):
  __slots__ = ()


class Reciprocal(Atom):
  """One over its part."""
  __slots__ = ()


class Factor(Core):
  """What is taken for an atom; its part is what it is."""
  __slots__ = ()


class Sum(Core):
  """`terms` are multiples of cores that are no sums, but for long ones."""
  __slots__ = ("terms",)


class Product(Core):
  """Of two cores, which are its parts."""
  __slots__ = ()

  @property
  def factors(self) -> tuple[tuple[int, int], ...]:
    """What it is a product of, with exponents."""
    return tuple((n, 1) for _, n in self.parts)


class Power(Core):
  """A core to a positive exponent."""
  __slots__ = ("exponent",)

  @property
  def factors(self) -> tuple[tuple[int, int], ...]:
    return ((self.parts[0].core, self.exponent),)


def join(*shapes: tuple[int, ...]) -> tuple[int, ...]:
  """The shape that others broadcast to: of one rank, or without axes."""
  rank = max(map(len, shapes))
  shapes = [shape for shape in shapes if len(shape) == rank]
  return shapes[0] if len(set(shapes)) == 1 else tuple(
      next((n for n in axis if n != 1), 1) for axis in zip(*shapes))


def bottom_up(root: int, known: Container[int],
              below: Callable[[int], Iterable[int]]) -> Iterator[int]:
  """What is under `root` and not `known`, each after what is `below` it.

  Whoever iterates makes each number known before asking for the next.
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
