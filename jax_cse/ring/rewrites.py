"""Rewrites: the candidates for computing a core, each found by one function.

    written        2*x + x*(y + z)           as it was first computed
    collected      (2 + y + z)*x             like terms in few variables
    of_terms       x*(2 + (y + z))           with common factors taken out
    normal_form    x*(2 + y + z)             in atoms, expanded where short
    saving         L(x + y), not L(x) + L(y) where images go (see `collapse`)

A rewrite takes a `Site`, a core and what is known around it, and yields
candidates: multiples of trees. `extraction` takes the one that adds the least
cost. To add a rewrite, write a function and enter it in `REWRITES`.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

from jax_cse.ring import factoring
from jax_cse.ring.coefficients import Coefficient
from jax_cse.ring.collapse import Collapse
from jax_cse.ring.cores import Core, Power, Product, Saved, Sum, monomial
from jax_cse.ring.cores import terms as terms_of
from jax_cse.ring.factoring import Tree
from jax_cse.ring.normal_form import NormalForms
from jax_cse.ring.polynomials import Monomial, Terms
from jax_cse.ring.ring import Ring

_MAX_EXPANDED = 4

Candidate = tuple[Coefficient, Tree]


class Site(NamedTuple):
  """Where a core stands.

  Attributes:
    ring: the ring.
    forms: the normal forms to choose from, if any.
    collapse: a finder of ways that save images, if any.
    number: of the core.
    is_free: whether a number is computed anyway.
  """
  ring: Ring
  forms: NormalForms | None
  collapse: Collapse | None
  number: int
  is_free: Callable[[int], bool]

  @property
  def core(self) -> Core | None:
    """None for a number in no ring."""
    return self.ring.cores.get(self.number)

  @property
  def is_exact(self) -> bool:
    assert self.core is not None
    return self.ring.is_exact(self.core.domain)

  def total(self, terms: Terms, expands: bool = False) -> Candidate:
    """A sum with common factors taken out."""
    return factoring.total(factoring.factored(
        terms, self.is_exact, self._expanded if expands else None),
                           self.is_exact)

  def monomial(self, n: int) -> Monomial:
    """A term as a product, unless it is computed anyway."""
    core = self.ring.cores[n]
    if isinstance(core, (Product, Power)) and not self.is_free(n):
      return core.factors
    return monomial(self.ring.cores, n)

  def _expanded(self, n: int) -> Terms:
    """The terms of a core that nothing needs by itself so far."""
    core = self.ring.cores[n]
    if type(core) is Sum and len(core.terms) <= _MAX_EXPANDED and (
        not self.is_free(n)):
      return terms_of(self.ring.cores, n, self.monomial)
    return [(1, self.monomial(n))]

  def is_before(self, terms: Terms) -> bool:
    """Whether the core may be computed from all numbers in `terms`."""
    own = place(self.collapse, self.number)
    return all(place(self.collapse, m) > own for _, factors in terms
               for m, _ in factors)


def place(collapse: Collapse | None, n: int) -> tuple:
  """The key that sorts a core into reverse topological order; it may be
  computed from those that sort after it."""
  return (-n,) if collapse is None else (*collapse.place(n), -n)


def candidates(site: Site) -> Iterator[Candidate]:
  """The candidates for a core, the first as it was written; where images can be
  saved, only those that save them."""
  saves = False
  for candidate in saving(site):
    saves = True
    yield candidate
  if not saves:
    for rewrite in REWRITES:
      yield from rewrite(site)


def saves_images(site: Site) -> bool:
  """Whether there is a way that saves more in images than it costs."""
  return any(_ways(site))


def saving(site: Site) -> Iterator[Candidate]:
  for way in _ways(site):
    for expands in (False, True):
      yield site.total(way.terms, expands)


def _ways(site):
  if site.collapse is None or site.core is None:
    return
  for way in site.collapse.ways(site.number):
    if (_cost_of_saved(way.saved, site.is_free) > way.spent
        and site.is_before(way.terms)):
      yield way


def _cost_of_saved(saved: tuple[Saved, ...], is_free) -> int:
  """The cost of saved images, except of those computed anyway."""
  return sum(cost for n, cost in dict(reversed(saved)).items()
             if not is_free(n))


def written(site: Site) -> Iterator[Candidate]:
  core = site.core
  if isinstance(core, (Product, Power)):
    yield 1, factoring.Times(core.factors)
  else:
    assert core is not None
    yield factoring.total([(c, factoring.leaf(site.ring, n))
                           for c, n in core.parts], site.is_exact)


def collected(site: Site) -> Iterator[Candidate]:
  terms = site.collapse and site.collapse.collected(site.number)
  if terms and site.is_before(terms):
    yield site.total(terms)


def of_terms(site: Site) -> Iterator[Candidate]:
  if type(site.core) is Sum:
    terms = terms_of(site.ring.cores, site.number, site.monomial)
    for expands in (False, True):
      yield site.total(terms, expands)


def normal_form(site: Site) -> Iterator[Candidate]:
  if site.forms is not None and not _has_saving_factor(site):
    form = site.forms.of(site.number)
    if site.number not in form.factors and site.forms.keeps_digits(form):
      yield factoring.of_form(form, site.is_exact)


def _has_saving_factor(site: Site) -> bool:
  """Whether a factor is a sum that is computed with fewer images; in a normal
  form its terms would stand by themselves."""
  core = site.core
  return isinstance(core, (Product, Power)) and any(
      saves_images(site._replace(number=n)) for n, _ in core.factors)


# In this order: the first is the core as written, and of equally cheap ones the
# last of those with a normal form is taken.
REWRITES: tuple[Callable[[Site], Iterator[Candidate]], ...] = (
    written, collected, of_terms, normal_form)
