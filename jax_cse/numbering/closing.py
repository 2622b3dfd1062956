"""Closed expressions: what a loop computes in a step, apart from its operands.

An expression over values that vary from step to step is taken apart into a
core, in which they are bound and the rest are holes, and what stands in the
holes:

    add(mul(c, carry 0), element of xs), where carry 0 is the first of its kind
      core   add(mul(hole 0, bound 0), element of (hole 1))
      holes  c, xs

A core is a name. Nothing is substituted in it, and no name is captured. So what
is outside of a loop sees one expression with the holes as its parts, however
large the body is.

Holes are numbered in the order of their first use, and a commutative operation
uses first the operand that is built first by a hash of its structure: two
loops have one core also if their carries stand in another order.

Limits: two holes that only differ in what stands in them have the order of
their numbers under a commutative operation.
"""

from collections.abc import Mapping, Sequence

from jax_cse.numbering.expressions import Expressions


class Closing:
  """Closes expressions in the body of one loop.

  Attributes:
    streams: by leaf or expression that varies, an operation and its one operand
      outside of the loop, such as `("current",)` of a sequence.
  """

  def __init__(self, expressions: Expressions, leaves: Sequence[int],
               streams: Mapping[int, tuple[tuple, int]],
               roots: Sequence[int]):
    """`leaves` and `streams` vary; so does what of `roots` is made of them."""
    self.streams = dict(streams)
    self._expressions = expressions
    self._varies = {*leaves, *streams}
    first = min(self._varies, default=0)
    for n in sorted(expressions.reach(roots, first)) if self._varies else ():
      if not self._varies.isdisjoint(expressions.parts(n)):
        self._varies.add(n)

  def varies(self, number: int) -> bool:
    return number in self._varies

  def close(self, roots: Sequence[int], bound: Mapping[int, int]
            ) -> tuple[tuple[int, ...], list[int]]:
    """The core of each of `roots`, and the numbers in the holes of all.

    `bound`: leaves to their places.
    """
    e = self._expressions
    nodes = self._below(roots, bound)
    holes = self._holes(roots, bound, nodes)

    def hole(n):
      return e.of("hole", (), holes[n])

    new: dict[int, int] = {}
    for n in nodes:
      if n in bound:
        new[n] = e.of("bound", (), bound[n])
      elif n in self.streams:
        operation, operand = self.streams[n]
        new[n] = e.of(operation, (hole(operand),))
      else:
        new[n] = e.with_parts(n, [new[p] if p in new else hole(p)
                                  for p in e.parts(n)])
    return tuple([new[n] if n in new else hole(n) for n in roots]), list(holes)

  def _below(self, roots, bound) -> list[int]:
    """What varies in `roots`, parts first."""
    parts, varies = self._expressions.parts, self._varies
    todo, found = list(roots), set()
    while todo:
      n = todo.pop()
      if n in varies and n not in found:
        found.add(n)
        if n not in bound and n not in self.streams:
          todo.extend(parts(n))
    return sorted(found)

  def _holes(self, roots, bound, nodes) -> dict[int, int]:
    """What stands in holes, in the order of first use."""
    e, streams = self._expressions, self.streams
    marks: dict[int, int] = {}   # of what varies, by its structure
    for n in nodes:
      if n in bound:
        marks[n] = hash(("bound", bound[n]))
      elif n in streams:
        marks[n] = hash(streams[n][0])
      else:
        below = [marks.get(p, 0) for p in e.parts(n)]
        if n in e.commuting:
          below.sort()
        marks[n] = hash((e.kind(n), *below))
    holes: dict[int, int] = {}
    todo, seen = list(reversed(roots)), set()
    while todo:
      n = todo.pop()
      if n in seen or n in bound:
        continue
      seen.add(n)
      if n in streams:
        holes.setdefault(streams[n][1], len(holes))
      elif n not in marks:
        holes.setdefault(n, len(holes))
      else:
        parts = list(e.parts(n))
        if n in e.commuting:
          parts.sort(key=lambda p: marks.get(p, 0))
        todo.extend(reversed(parts))
    return holes
