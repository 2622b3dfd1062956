"""Planning: whole plans for the wanted values, and the cheapest of them.

An extraction looks at one core at a time and misses shared operands. So plans
are made with each kind of normal form and without, with collapse and without.
What is planned again, when a program was simplified and is looked at once more,
has plans of those kinds only that were the cheapest before.
"""

from collections.abc import Callable, Mapping, Sequence

from jax_cse.ring.collapse import Collapse
from jax_cse.ring.cores import Element
from jax_cse.ring.emission import price
from jax_cse.ring.extraction import Choice, Extraction
from jax_cse.ring.normal_form import NormalForms
from jax_cse.ring.ring import Ring

# Of what was not to be rebuilt, sums and products are only where they cost so
# much less: at 0.9 the eighth derivative of a network had twice the equations.
_MUCH_LESS = 0.7


class Planning:
  """Makes plans, and notes which kinds were the cheapest, of ties the first.

  Attributes:
    rewrites: whether sums and products are rebuilt, or are computed as they are
      written unless that is much dearer.
  """

  def __init__(self, rewrites: bool = True):
    self.rewrites = rewrites
    self._worth: set[tuple[bool, bool]] = set()
    self._cheapest: set[tuple[bool, bool]] = set()

  def again(self) -> None:
    """From now on only kinds are made that were the cheapest so far."""
    self._worth, self._cheapest = self._cheapest, set()

  def choose(self, ring: Ring, forms: Sequence[NormalForms],
             collapses: Sequence[Collapse | None], wanted: Sequence[Element],
             there: Mapping[int, Mapping],
             operands: Callable[[int], Sequence[Element]]) -> list[Choice]:
    """The choices of the cheapest plan.

    Args:
      ring: of the elements.
      forms: the kinds of normal forms.
      collapses: the ways that are always taken, and those that are looked for
        if there are any.
      wanted: the elements that are needed.
      there: the multiples of cores that have been computed.
      operands: as in `Extraction.choose`.
    """
    kinds = {(f is not None, i > 0): (f, collapse)
             for f in (None, *forms) for i, collapse in enumerate(collapses)}
    if not self._worth.isdisjoint(kinds):
      kinds = {kind: kinds[kind] for kind in self._worth if kind in kinds}
    plans: dict[tuple[bool, bool], list[Choice]] = {}
    # One with collapse differs only if that finds something.
    for kind, (f, collapse) in sorted(kinds.items(), key=lambda k: k[0][1]):
      if collapse is None or not kind[1] or not plans or any(
          collapse.finds(choice.number)
          for plan in plans.values() for choice in plan):
        plans[kind] = Extraction(ring, f, collapse).choose(
            wanted, there.__contains__, operands)
    best = self._best(ring, plans, there)
    self._cheapest.add(best)
    return plans[best]

  def _best(self, ring, plans, there) -> tuple[bool, bool]:
    """The kind of the cheapest plan; of ties, the simplest."""
    if len(plans) == 1:
      return next(iter(plans))
    def cost(kind):
      much_less = kind[0] and not self.rewrites
      return price(ring, plans[kind], there) / (
          _MUCH_LESS if much_less else 1)
    return min(sorted(plans), key=cost)
