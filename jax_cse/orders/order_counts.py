"""Equations against the order of differentiation, three ways.

    plain    nested `jvp`, without CSE: n + 1 values in 2^n copies
    cse      the same, in `enabled()`
    jet      `jax.experimental.jet`, which propagates Taylor coefficients

The derivative is the one along a direction, of any function of a pytree of
arrays. Counts are of one trace for each order, inner jaxprs included, and
nothing is run.

Limits: the more equations, the longer the count takes, so plain nesting takes
exponentially long. A bound on the number of equations ends a way before the
order that would pass it. That order is foreseen from the two orders before it;
of orders 1 and 2 nothing is foreseen.
"""

from collections import Counter
from collections.abc import Callable, Sequence
import contextlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from jax_cse.foundation import inputs
from jax_cse.foundation import modes
from jax_cse.foundation.counting import count_primitives
from jax_cse.memo.contexts import disabled, enabled


def nested_jvp(fun: Callable, order: int, v: Any = 1.0) -> Callable:
  """The derivative of the given order along `v`, of the first argument."""
  for _ in range(order):
    fun = _derivative(fun, v)
  return fun


def _derivative(fun, v):
  return lambda x, *args: jax.jvp(lambda y: fun(y, *args), (x,), (v,))[1]


def taylor(fun: Callable, order: int, v: Any = 1.0) -> Callable:
  """The same derivative by `jet`; a list if `fun` has several results."""
  from jax.experimental import jet

  def derivative(x, *args):
    leaves, structure = jax.tree.flatten(x)
    directions = jax.tree.leaves(v)
    series = [[d] + [d * 0] * (order - 1) for d in directions]
    flat = lambda *ys: jax.tree.leaves(
        fun(jax.tree.unflatten(structure, ys), *args))
    terms = [t[-1] for t in jet.jet(flat, leaves, series)[1]]
    return terms[0] if len(terms) == 1 else terms

  return derivative


# The ways by name, and the derivative of an order by each.
WAYS: dict[str, Callable] = {"plain": nested_jvp, "cse": nested_jvp,
                             "jet": taylor}
TITLES = {"plain": "nested jvp, without CSE", "cse": "nested jvp, with CSE",
          "jet": "jax.experimental.jet"}


def title(way: str, mode: str) -> str:
  """The title above the counts of a way."""
  if way != "cse":
    return TITLES[way]
  if modes.from_environment()[1]:
    return f"{TITLES[way]} (off by {modes.VARIABLE})"
  return TITLES[way] + (f", {mode!r}" if mode != modes.DEFAULT else "")


def context(way: str, mode: str | None = None
            ) -> contextlib.AbstractContextManager:
  """The context in which a way is traced; a mode of None as `enabled` has it.
  """
  return enabled(mode) if way == "cse" else disabled()


def count(way: str, fun: Callable, order: int, v: Any, args: Sequence[Any]
          ) -> Counter[str]:
  """The primitives of one way at one order, counted in its `context`."""
  return count_primitives(WAYS[way](fun, order, v))(*args)


class OrderCounts(NamedTuple):
  """The counts of one way.

  Attributes:
    title: the way, in words.
    by_order: order to counts by primitive name.
    ended: why there is no further order; None if there is every one.
    itself: the number of equations of the function itself, its order 0.
  """
  title: str
  by_order: dict[int, Counter[str]]
  ended: str | None = None
  itself: int = 0

  @property
  def totals(self) -> dict[int, int]:
    """Order to the number of equations."""
    return {n: counts.total() for n, counts in self.by_order.items()}


def validate_order(order: Any, least: int = 1) -> int:
  """Returns `order` if it is a whole number of `least` or more.

  Raises:
    ValueError: it is not.
  """
  if isinstance(order, bool) or not isinstance(order, int) or order < least:
    raise ValueError(f"order must be a whole number of {least} or more; got "
                     f"{order!r}")
  return order


def validate_bound(max_equations: Any) -> int | None:
  """Returns the bound if it is None or a whole number of 1 or more.

  Raises:
    ValueError: it is neither.
  """
  if max_equations is not None and (
      isinstance(max_equations, bool) or not isinstance(max_equations, int)
      or max_equations < 1):
    raise ValueError("max_equations must be None or a whole number of 1 or "
                     f"more; got {max_equations!r}")
  return max_equations


def direction(x: Any, v: Any = None) -> Any:
  """`v`, or ones like the point `x`.

  Raises:
    TypeError: `x` is not of real or complex numbers.
  """
  for leaf in jax.tree.leaves(x):
    inputs.require_dtype(
        leaf, jnp.inexact, "the first argument must be of real or complex "
        "numbers (dtypes that are sub-dtypes of np.inexact)")
  # Outside of any trace: made under one, ones would be an equation.
  return v if v is not None else jax.tree.map(
      lambda leaf: 1.0 if isinstance(leaf, float) else jnp.ones_like(leaf), x)


def count_orders(fun: Callable, order: int, mode: str, v: Any,
                 max_equations: int | None, args: Sequence[Any]
                 ) -> list[OrderCounts]:
  """The counts of each way at orders 1 to `order`, as far as they come.

  Errors of nested `jvp` are raised; where `jet` refuses, its counts end, with
  the error.
  """
  v = direction(args[0], v)
  return [_counts_of(way, fun, order, mode, v, max_equations, args)
          for way in WAYS]


def _counts_of(way, fun, order, mode, v, max_equations, args):
  by_order: dict[int, Counter[str]] = {}
  ended = None
  with context(way, mode):
    itself = count_primitives(lambda *args: fun(*args))(*args).total()
    for n in range(1, order + 1):
      ended = _beyond(max_equations, n, by_order)
      if ended is None:
        try:
          by_order[n] = count(way, fun, n, v, args)
        except Exception as e:  # of any kind: the figure names it
          if way != "jet":
            raise
          ended = f"refuses order {n}: {_in_one_line(e)}"
      if ended is not None:
        break
  return OrderCounts(title(way, mode), by_order, ended, itself)


def _beyond(bound, n, by_order) -> str | None:
  """Why order `n` is not tried, if it is not."""
  if bound is None or n < 3:
    return None
  last, before = (by_order[m].total() for m in (n - 1, n - 2))
  foreseen = round(last * max(last / before, 1)) if before else last
  if foreseen <= bound:
    return None
  return (f"order {n}: about {foreseen:,} equations, above the bound of "
          f"{bound:,}")


def _in_one_line(e: Exception) -> str:
  text = " ".join(str(e).split())
  return type(e).__name__ + (f": {text}" if text else "")
