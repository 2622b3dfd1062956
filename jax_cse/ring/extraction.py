"""Extraction: which sums and products to compute, and in which way.

A core has several candidates: as it was written, the sum of its terms with
common factors taken out, its normal form. None is best everywhere: expanding
all explodes, expanding nothing misses terms that cancel.

The cores that are needed are looked at in reverse topological order, and each
takes the candidate that adds the least cost: its own, and that of operands that
nothing else needs so far. The cost of an equation is `EQUATION`, plus the
number of elements that it computes. Ties go to the core as it was written. The
order of operands sees to the elements as well: scalars are multiplied before
arrays.

A way that saves images of linear maps (see `collapse`) is taken beforehand if
the saved images that nothing else needs so far cost more than it does.

Limits: it is a heuristic. The cost of operands is counted as written, and up to
`_MAX_LOOK` equations, or `_MAX_LOOK_AT_IMAGES` where there are images: the sum
over many directions is as long as all of them.
"""

from collections.abc import Callable, Iterable, Sequence
import heapq
import math
from typing import NamedTuple

from jax_cse.ring import factoring
from jax_cse.ring import rewrites
from jax_cse.ring.coefficients import Coefficient
from jax_cse.ring.collapse import Collapse
from jax_cse.ring.cores import (
    EQUATION, Element, Factor, Image, One, Power, Product, Reciprocal, Sum)
from jax_cse.ring.factoring import Tree
from jax_cse.ring.normal_form import NormalForms
from jax_cse.ring.rewrites import Site
from jax_cse.ring.ring import Ring

_MAX_LOOK, _MAX_LOOK_AT_IMAGES = 96, 2048


class Choice(NamedTuple):
  """How a core is computed: as a multiple of a tree.

  The tree is None for an atom, which is not for the ring to compute.
  """
  number: int
  multiple: tuple[Coefficient, Tree] | None
  wanted: list[Coefficient]    # the multiples of it that are needed


class Circular(Exception):
  """A choice that would be computed from itself."""


class Extraction:
  """Choices for cores of a ring."""

  def __init__(self, ring: Ring, forms: NormalForms | None,
               collapse: Collapse | None = None):
    """`forms`: the normal forms to choose from, if any; `collapse`: a finder
    of ways that save images, if any."""
    self._ring = ring
    self._forms = forms
    self._collapse = collapse
    self._weights: dict[int, tuple[int, int, list[int]]] = {}

  def choose(self, wanted: Iterable[Element],
             is_there: Callable[[int], bool],
             operands: Callable[[int], Sequence[Element]]) -> list[Choice]:
    """The choices for `wanted`, in topological order.

    Args:
      wanted: the elements that are needed.
      is_there: whether a core has been computed before.
      operands: those of an atom that has not been computed; one object for
        all results of one call.

    Raises:
      Circular: an operand of an atom has a larger number than the atom, and
        was to be computed from it.
    """
    wanted = list(wanted)
    needed: dict[int, list[Coefficient]] = {}
    todo: list[tuple[int, ...]] = []
    expected = self._expected(wanted, is_there, operands)
    # A common factor of many sums is paid once, so it counts for none.
    shared = self._collapse.coefficients if self._collapse else ()

    place = lambda n: rewrites.place(self._collapse, n)

    def need(c, n):
      if type(self._ring.cores.get(n)) is One:
        return
      if n not in needed:
        needed[n] = []
        heapq.heappush(todo, place(n))
      if c not in needed[n]:
        needed[n].append(c)

    def is_free(n):
      return n in needed or n in expected or n in shared or is_there(n)

    for c, n in wanted:
      need(c, n)
    chosen: list[Choice] = []
    met: dict[int, tuple] = {}   # the first place of operands, by their ids
    is_in_order = True
    while todo:
      n = -heapq.heappop(todo)[-1]
      site = Site(self._ring, self._forms, self._collapse, n, is_free)
      core = site.core
      multiple = None
      if is_there(n):
        pass
      elif type(core) in (Sum, Product, Power, Factor) or (
          rewrites.saves_images(site)):
        multiple = self._best(site, core)
        for c, leaf in _multiples(multiple[1]):
          need(c, leaf)
      elif type(core) is Reciprocal:
        need(*core.parts[0])
      else:
        below = operands(n)
        if id(below) not in met:
          met[id(below)] = min((place(leaf) for _, leaf in below),
                               default=place(-1))
          for c, leaf in below:
            need(c, leaf)
        is_in_order = is_in_order and met[id(below)] > place(n)
      chosen.append(Choice(n, multiple, needed[n]))
    return chosen[::-1] if is_in_order else self._in_order(
        chosen, is_there, operands)

  def _in_order(self, chosen, is_there, operands) -> list[Choice]:
    """Choices sorted by what they are computed from."""
    by_number = {choice.number: choice for choice in chosen}

    def below(n):
      multiple, core = by_number[n].multiple, self._ring.cores.get(n)
      found = (factoring.leaves(multiple[1]) if multiple else
               [] if is_there(n) else
               [m for _, m in core.parts] if type(core) is Reciprocal else
               [m for _, m in operands(n)])
      return iter([m for m in found if m in by_number])

    ordered: dict[int, Choice] = {}
    for choice in reversed(chosen):
      path = {choice.number: below(choice.number)}
      while path:
        n, rest = next(reversed(path.items()))
        m = next((m for m in rest if m not in ordered), None)
        if m in path:
          raise Circular
        if m is None:
          path.pop(n)
          ordered.setdefault(n, by_number[n])
        else:
          path[m] = below(m)
    return list(ordered.values())

  def _expected(self, wanted, is_there, operands) -> set[int]:
    """Operands of the atoms under `wanted`: needed however the rest is
    computed, except for atoms that cancel, and images that a way saves."""
    cores, seen, expected = self._ring.cores, set(), set()
    todo, before = [n for _, n in wanted], None
    while todo:
      n = todo.pop()
      core = cores.get(n)
      if n in seen or is_there(n) or type(core) is One:
        continue
      seen.add(n)
      if core is not None and core.parts and type(core) is not Image:
        todo += [m for _, m in core.parts]
      else:
        found = operands(n)
        if found is before:
          continue
        before, below = found, [m for _, m in found]
        if type(core) is not Image or self._collapse is None:
          expected.update(below)
        todo += below
    return expected

  def _best(self, site, core):
    best, least = None, math.inf
    weight, is_free = EQUATION + core.size, site.is_free
    for multiple in rewrites.candidates(site):
      leaves = factoring.leaves(multiple[1])
      if best is not None and not self._ring.within(core.shape, leaves):
        continue   # an array that cancels, and would leave its shape
      cost = sum(EQUATION + math.prod(shape) for shape in
                 factoring.operations(multiple, self._shape_of))
      if cost <= least:
        cost += self._beneath(leaves, is_free, least + 1 - cost)
      # The normal form comes last and takes a tie: in it scalars meet.
      is_last = best is not None and self._forms is not None
      if best is None or cost < least or (cost == least and is_last):
        best, least = multiple, cost
      if least <= weight:
        break   # the least there is
    return best

  def _shape_of(self, number):
    return self._ring.cores[number].shape

  def _beneath(self, numbers, is_free, limit):
    """The cost of `numbers` as they were written, without what is needed
    anyway; counted up to `limit`, and to so many equations."""
    seen, total, weights = set(), 0, self._weights
    looks = _MAX_LOOK if self._collapse is None else _MAX_LOOK_AT_IMAGES
    todo = list(numbers)
    while todo and total < limit and looks > 0:
      n = todo.pop()
      if n in seen or is_free(n):
        continue
      seen.add(n)
      count, cost, below = weights.get(n) or self._weight(n)
      looks -= count
      total += cost
      todo += below
    return total

  def _weight(self, n) -> tuple[int, int, list[int]]:
    """The equations of a core as it was written, their cost, and what they
    read; kept, since many sums are looked beneath."""
    cores = self._ring.cores
    core, count, cost = cores.get(n), 0, 0
    below = []
    if core is not None and core.parts:
      below = [m for _, m in core.parts]
      count = 1
      if type(core) is Sum:
        count += sum(abs(c) != 1 and type(cores[m]) is not One
                     for c, m in core.parts)
      cost = (core.map.cost if type(core) is Image
              else count * (EQUATION + core.size))
    self._weights[n] = count, cost, below
    return self._weights[n]


def _multiples(tree):
  """The numbers in a tree, with the multiple of each that is taken."""
  found: list[tuple[Coefficient, int]] = []
  todo: list[tuple[Coefficient, Tree]] = [(1, tree)]
  while todo:
    c, t = todo.pop()
    if isinstance(t, int):
      found.append((c, t))
    elif isinstance(t, factoring.Plus):
      todo += [(1 if abs(k) == 1 else k, x) for k, x in t.terms]
    else:
      todo += [(1, x) for x, _ in t.factors]
  return found
