"""Congruence of loop carries: those that start equal and stay equal are one.

All carries that start equal are assumed equal, and the assumption is refined
until the body of the loop keeps it: the greatest fixpoint.

    greatest_fixpoint("aab", lambda c: [c[1], c[0], c[2]])  ==  [0, 0, 1]
    greatest_fixpoint("aab", lambda c: [c[2], c[0], c[2]])  ==  [0, 1, 2]

Starting from the opposite end, all different until shown equal, two carries
that depend on each other or on themselves would never be found. Where the
assumption does not hold `refinement` says at once which classes do, as far as
loops in the loop let it see: what they compute of `x, x` and of `x, y` is not
built alike, although `y` may turn out to be `x`.

`sequences` gives the carries of different loops comparable names. A carry is
the sequence of the values that it takes, which is known by where it starts and
by the step, closed (see `closing`). The carries in a cycle of dependences are
named by all of the cycle, as a system, in an order that does not depend on how
they stand in the loop: that in which a walk meets the carries, from one whose
mark stands out, or else from each, by which it is named itself. A mark is
refined by the marks of the carries that a step is made of, until no more of
them differ.

Source: Alpern, Wegman and Zadeck 1988, Detecting equality of variables in
programs.

Limits: carries that are equal for another reason than being computed alike,
`n + n` and `2 * n`, are not found. More than `_MAX_WALKS` carries of which none
stands out have names that depend on their order; so have those that differ in
their starts alone, and are operands of one sum.
"""

from collections.abc import Callable, Hashable, Sequence

from jax_cse.numbering.closing import Closing
from jax_cse.numbering.expressions import Expressions

# Carries that part one by one take as many passes as there are carries. In 23
# programs, differentiated six times, two passes were enough.
_MAX_PASSES = 3

# From so many members of a component a walk is made each, if no one stands out.
_MAX_WALKS = 8


def index(keys: Sequence[Hashable]) -> list[int]:
  """Equal keys to equal small numbers, in order of first appearance."""
  numbers: dict[Hashable, int] = {}
  return [numbers.setdefault(k, len(numbers)) for k in keys]


def greatest_fixpoint(start: Sequence[Hashable],
                      step: Callable[[list[int]], Sequence[Hashable]],
                      kept: Sequence[int] = ()) -> list[int]:
  """The coarsest classes of equal starts that `step` keeps together.

  Args:
    start: a key for the start of each member.
    step: from the class of each member to a key for each after a step.
    kept: classes that the step is known to keep, maybe finer ones. If they are
      given they are taken after `_MAX_PASSES`.
  """
  classes, passes = index(start), 0
  while classes != kept:
    refined = index(list(zip(classes, step(classes))))
    if max(refined, default=0) == max(classes, default=0):
      return classes
    classes, passes = refined, passes + 1
    if kept and passes == _MAX_PASSES:
      return list(kept)
  return classes


def sequences(expressions: Expressions, starts: Sequence[int],
              leaves: Sequence[int], steps: Sequence[int], closing: Closing
              ) -> list[int]:
  """Numbers for the carries of a loop, no two of which are congruent.

  Args:
    expressions: those that numbers belong to.
    starts: the number that each carry starts as.
    leaves: the leaf that stands for each carry in the steps.
    steps: the number of each carry after a step.
    closing: of the loop. Gets the sequences as streams.

  Returns:
    The number of each carry as a sequence.
  """
  if not leaves:
    return []
  named: dict[int, int] = {}
  for component in _components(_uses(expressions, leaves, steps)):
    orders = _orders(expressions, component, leaves, steps)
    for order in orders:
      cores, holes = closing.close(
          [steps[i] for i in order],
          {leaves[i]: position for position, i in enumerate(order)})
      system = expressions.of(
          "system", (*[starts[i] for i in order], *holes), cores)
      for position, i in enumerate(order if len(orders) == 1 else order[:1]):
        named[i] = expressions.of("sequence", (system,), position)
    for i in component:
      closing.streams[leaves[i]] = ("current",), named[i]
  return [named[i] for i in range(len(leaves))]


def _uses(expressions, leaves, steps) -> list[list[int]]:
  """Which leaves each step is made of, by their places."""
  sets = {leaf: 1 << i for i, leaf in enumerate(leaves)}   # as bits
  for n in sorted(expressions.reach(steps, min(leaves))):
    if n not in sets:
      union = 0
      for part in expressions.parts(n):
        union |= sets.get(part, 0)
      sets[n] = union
  return [[i for i in range(len(leaves)) if sets.get(s, 0) >> i & 1]
          for s in steps]


def _orders(expressions, component, leaves, steps):
  """One order of the members of a component, by which all are named, or one for
  each, by which its first is. None depends on their places in the loop, except
  where many of them are built alike."""
  if len(component) == 1:
    return [component]
  marks = _marks(expressions, component, leaves, steps)
  alike: dict[int, list[int]] = {}
  for i in component:
    alike.setdefault(marks[i], []).append(i)
  fewest = alike[min(alike, key=lambda mark: (len(alike[mark]), mark))]
  if len(fewest) > 1 and len(component) <= _MAX_WALKS:
    fewest = component
  elif len(fewest) > 1:
    fewest = fewest[:1]
  return _walks(expressions, component, fewest, leaves, steps)


def _marks(expressions, component, leaves, steps):
  """A mark for each member, by the marks of all that its step is made of;
  refined until no more of them differ. Marks are numbers of expressions, so
  they are the same for what is built alike in another loop."""
  nodes = sorted(expressions.reach([steps[i] for i in component], min(leaves)))
  none = expressions.of("mark", ())
  marks = dict.fromkeys(component, none)
  count = 0
  while count < len(set(marks.values())) < len(component):
    count = len(set(marks.values()))
    found = {leaves[i]: expressions.of("member", (m,))
             for i, m in marks.items()}
    for n in nodes:
      parts = expressions.parts(n)
      if n not in found and not found.keys().isdisjoint(parts):
        below = [found.get(p, none) for p in parts]
        if n in expressions.commuting:
          below.sort()
        found[n] = expressions.of(("marked", expressions.kind(n)), below)
    marks = {i: expressions.of("mark", (m, found.get(steps[i], none)))
             for i, m in marks.items()}
  return marks


def _walks(expressions, component, roots, leaves, steps):
  """From each root, in the order in which the steps use the members."""
  owner = {leaves[i]: i for i in component}
  uses = {i: [owner[n] for n in expressions.reach([steps[i]], min(owner))
              if n in owner] for i in component}
  orders = []
  for i in roots:
    order = dict.fromkeys([i])
    todo = [i]
    for j in todo:
      todo += [k for k in uses[j] if k not in order]
      order.update(dict.fromkeys(uses[j]))
    orders.append(list(order))
  return orders


def _components(uses: Sequence[Sequence[int]]) -> list[list[int]]:
  """Strongly connected components, those used before those that use them.

  Source: Tarjan 1972, Depth-first search and linear graph algorithms.
  """
  place: dict[int, int] = {}   # in the order of the search
  low: dict[int, int] = {}     # the first that is reached, and is open
  still_open: dict[int, None] = {}
  components: list[list[int]] = []
  for root in range(len(uses)):
    todo = [] if root in place else [root]
    below = {root: iter(uses[root])}
    while todo:
      i = todo[-1]
      if i not in place:
        place[i] = low[i] = len(place)
        still_open[i] = None
      k = next((k for k in below[i] if k not in place or k in still_open), None)
      if k is None:
        todo.pop()
        if low[i] == place[i]:
          members = [still_open.popitem()[0]]
          while members[-1] != i:
            members.append(still_open.popitem()[0])
          components.append(sorted(members))
        elif todo:
          low[todo[-1]] = min(low[todo[-1]], low[i])
      elif k in place:
        low[i] = min(low[i], place[k])
      else:
        todo.append(k)
        below[k] = iter(uses[k])
  return components
