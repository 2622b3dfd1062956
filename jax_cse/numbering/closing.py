"""Closed expressions: what a loop computes in a step, apart from its operands.

An expression over values that vary from step to step is taken apart into a
core, in which they are bound, and what stands in its holes:

    add(mul(c, carry 0), element of xs), where carry 0 is the first of its kind
      core   add(mul(hole, bound 0), element of (hole))
      holes  c, xs

A core has no free values, so nothing is ever substituted in it, and no name is
captured. Outside of a loop it is one expression with the holes as its parts,
however large the body is.

A core is made of the cores of its parts, and of which of its holes each of
their holes is. Holes are in the order of first use. The operands of a
commutative operation are in the order of their cores, so two loops have one
core also if their carries stand in another order.

Limits: cores tell which of their holes are equal. That of `f(x, x)` is not that
of `f(x, y)`, though `y` may turn out to be `x`. Two operands of a commutative
operation with the same core are in the order of their numbers.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jax_cse.numbering.expressions import Expressions


class Closed(NamedTuple):
  """A core, and the numbers in its holes."""
  core: int
  holes: tuple[int, ...]


class Closing:
  """Closes expressions in the body of one loop.

  Attributes:
    streams: by leaf or expression that varies, an operation and its one operand
      outside of the loop, such as `("current",)` of a sequence.
  """

  def __init__(self, expressions: Expressions, leaves: Sequence[int],
               streams: Mapping[int, tuple[tuple, int]],
               roots: Sequence[int]):
    """`leaves` and `streams` vary, and so do the expressions in `roots` that
    are made of them."""
    self.streams = dict(streams)
    self._expressions = expressions
    self._hole = expressions.of("hole", ())
    self._varies = {*leaves, *streams}
    self._closed: dict[int, Closed] = {}   # of what has nothing bound in it
    first = min(self._varies, default=0)
    for n in sorted(expressions.reach(roots, first)) if self._varies else ():
      if not self._varies.isdisjoint(expressions.parts(n)):
        self._varies.add(n)

  def close(self, roots: Sequence[int], bound: Mapping[int, int]
            ) -> tuple[tuple, tuple[int, ...]]:
    """The cores of `roots` with which of all holes theirs are, and the numbers
    in these.

    `bound`: leaves to their places.
    """
    own = {n: Closed(self._expressions.of("bound", (), place), ())
           for n, place in bound.items()}
    # Of a stream nothing is gone through: its operand does not vary.
    is_known = lambda n: (n not in self._varies or n in bound
                          or n in self._closed)
    for n in self._expressions.below(roots, is_known):
      if n in self.streams:
        operation, operand = self.streams[n]
        self._closed[n] = Closed(
            self._expressions.of(operation, (self._hole,)), (operand,))
      else:
        parts = self._expressions.parts(n)
        known = self._closed if own.keys().isdisjoint(parts) else own
        known[n] = self._of_parts(n, [self._find(p, own) for p in parts])
    return _joined([self._find(n, own) for n in roots])

  def _find(self, n, own) -> Closed:
    return own.get(n) or self._closed.get(n) or Closed(self._hole, (n,))

  def _of_parts(self, n, parts) -> Closed:
    if n in self._expressions.commuting:
      parts.sort()
    cores, holes = _joined(parts)
    return Closed(self._expressions.closed(n, cores), holes)


def _joined(parts: Sequence[Closed]) -> tuple[tuple, tuple[int, ...]]:
  """Each core with the places of its holes among those of all."""
  places: dict[int, int] = {}
  cores = tuple([
      (core, *[places.setdefault(n, len(places)) for n in holes])
      for core, holes in parts])
  return cores, tuple(places)
