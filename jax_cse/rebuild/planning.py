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
    kinds = [((f is not None, i > 0), f, collapse)
             for f in (None, *forms) for i, collapse in enumerate(collapses)]
    kinds = [k for k in kinds if k[0] in self._worth] or kinds
    plans = [Extraction(ring, f, collapse).choose(
        wanted, there.__contains__, operands) for _, f, collapse in kinds]
    if len(plans) == 1:
      self._cheapest.add(kinds[0][0])
      return plans[0]
    prices = [price(ring, plan, there) / (
        1 if self.rewrites or not has_forms else _MUCH_LESS)
              for ((has_forms, _), _, _), plan in zip(kinds, plans)]
    best = prices.index(min(prices))
    self._cheapest.add(kinds[best][0])
    return plans[best]
