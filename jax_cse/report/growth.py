"""Laws of growth: how a size grows with the order of differentiation.

Two laws are fitted to sizes s(n) by least squares in the logarithm, so that
each order counts by its ratio to the curve and not by its size:

    exponential    a * b**n    a straight line over n, with log s upright
    polynomial     a * n**k    a straight line over log n

    >>> fits = fit({n: 3 * 2**n for n in range(1, 9)})
    >>> print(fits.better)
    3 * 2**n
    >>> print(fit({n: 5 * n**2 for n in range(1, 9)}).better)
    5 * n**2

The better one leaves less between the logarithms. A size that never changes is
both, b = 1 and k = 0, and is called polynomial.

A law is a statement about large orders, and what is there without any
differentiation hides it: by orders 1 to 8, 60 + n**3 looks exponential. So what
is fitted is the `upper_half` of what each order has `beyond` order 0:

    >>> sizes = {n: 60 + n**3 for n in range(1, 9)}
    >>> print(fit(sizes).better)
    36 * 1.4**n
    >>> print(fit(upper_half(beyond(60, sizes))).better)
    1 * n**3

Limits: a fit describes the orders that it was given. By orders 1 to 8, 4 of 40
functions whose derivatives grow as polynomials with CSE are taken to grow
exponentially; more orders tell better. The exponent of a polynomial with terms
of lower order is approached from below.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

LEAST_ORDERS = 3   # two points lie on a curve of either law
_ROUNDING = 1e-9   # between logarithms, of sizes that follow a law exactly


class Law(NamedTuple):
  """A fitted law; prints as its formula.

  Attributes:
    kind: "exponential" or "polynomial".
    factor: a.
    rate: b of an exponential, k of a polynomial.
    deviation: root of the mean square of what is left between the logarithms:
      0.1 is about 10% of the size.
  """
  kind: str
  factor: float
  rate: float
  deviation: float

  def __call__(self, orders):
    """Sizes at orders, an array."""
    n = np.asarray(orders, float)
    return self.factor * (self.rate ** n if self.kind == "exponential"
                          else n ** self.rate)

  def __str__(self) -> str:
    return "{} * {}**{}".format(*self.formula)

  @property
  def formula(self) -> tuple[str, str, str]:
    """The factor, the base and the exponent, in digits that tell something."""
    factor = f"{self.factor:,.0f}" if self.factor >= 100 else (
        f"{self.factor:.2g}")
    rate = f"{round(self.rate, 2) + 0.0:g}"
    return ((factor, rate, "n") if self.kind == "exponential"
            else (factor, "n", rate))


class Fits(NamedTuple):
  """Both laws, fitted to the same sizes."""
  exponential: Law
  polynomial: Law

  @property
  def better(self) -> Law:
    """The one that leaves less, the polynomial if neither does."""
    exponential, polynomial = self
    return (exponential if exponential.deviation + _ROUNDING
            < polynomial.deviation else polynomial)

  @property
  def worse(self) -> Law:
    return self[self.better is self.exponential]


def beyond(itself: float, sizes: Mapping[int, float]) -> dict[int, float]:
  """What each order has more than `itself`, where it has more."""
  return {n: size - itself for n, size in sizes.items() if size > itself}


def upper_half(sizes: Mapping[int, float]) -> dict[int, float]:
  """The sizes at the upper half of the orders, of three at least."""
  highest = sorted(sizes)[-max(LEAST_ORDERS, len(sizes) // 2 + 1):]
  return {n: sizes[n] for n in highest}


def fit(sizes: Mapping[int, float]) -> Fits:
  """Fits both laws to sizes by order.

  Raises:
    ValueError: there are fewer than three orders, or an order or a size is not
      positive.
  """
  if len(sizes) < LEAST_ORDERS:
    raise ValueError(f"a fit needs {LEAST_ORDERS} orders or more; got "
                     f"{len(sizes)}")
  for n, size in sizes.items():
    if n <= 0 or size <= 0:
      raise ValueError("a fit needs positive orders and sizes; got "
                       f"{size} at order {n}")
  orders = np.array(list(sizes), float)
  logs = np.log(np.array(list(sizes.values()), float))

  def law(kind, x):
    slope, intercept = np.polyfit(x, logs, 1)
    left = logs - (slope * x + intercept)
    return Law(kind, float(np.exp(intercept)),
               float(np.exp(slope) if kind == "exponential" else slope),
               float(np.sqrt(np.mean(left**2))))

  return Fits(law("exponential", orders), law("polynomial", np.log(orders)))
