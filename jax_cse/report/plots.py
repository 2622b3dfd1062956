"""Pictures of a function: what its derivatives count, and how a memo fills.

    jax_cse.plot_counts(f)(1.1).savefig("counts.png")
    jax_cse.plot_growth(f)(1.1)      # in a notebook, shows as the cell's value
    jax_cse.plot_hits(f)(1.1)

They need the extra `plot`: pip install 'jax_cse[plot]'.
"""

from collections.abc import Callable
from typing import Any

from jax_cse.foundation import modes
from jax_cse.foundation import versions
from jax_cse.foundation.active import here
from jax_cse.memo import eager_table
from jax_cse.memo.contexts import enabled
from jax_cse.report import growth
from jax_cse.report import history
from jax_cse.report import naming
from jax_cse.report import order_counts

MAX_EQUATIONS = 20_000   # seconds to trace


def drawing(what: str) -> Any:
  """The module that draws, for `what` needs it.

  Raises:
    ImportError: matplotlib is missing; names the extra that brings it.
  """
  try:
    from jax_cse.report import pictures
  except ModuleNotFoundError as e:
    if (e.name or "").partition(".")[0] != "matplotlib":
      raise
    raise ImportError(f"{what} needs matplotlib, which is missing. To install "
                      "it: pip install 'jax_cse[plot]'") from e
  return pictures


def _over_orders(draw: str, least: int, fun: Callable, order: int, mode: str,
                 v: Any, max_equations: int | None) -> Callable[..., Any]:
  order_counts.validate_order(order, least)
  order_counts.validate_bound(max_equations)
  modes.validate(mode)
  versions.check()
  pictures = drawing(f"plot_{draw}")

  def plot(x: Any, *args: Any) -> Any:
    ways = order_counts.count_orders(fun, order, mode, v, max_equations,
                                     (x, *args))
    return getattr(pictures, f"draw_{draw}")(
        pictures.plain(naming.name_of(fun)), ways)

  return plot


def plot_counts(fun: Callable, order: int = 8, *, mode: str = "exact",
                v: Any = None, max_equations: int | None = MAX_EQUATIONS
                ) -> Callable[..., Any]:
  """The thread's figure of any function: equations against order.

      jax_cse.plot_counts(jax.nn.gelu, 6)(1.1).savefig("counts.png")

  Equations of the derivatives of `fun` by primitive, log scale, with a panel
  for nested `jvp` without CSE, one for nested `jvp` with CSE, and one for
  `jax.experimental.jet`; where that refuses, its panel says with which error.
  The function is traced and not run, and whatever mode one is in makes no
  difference.

  Without CSE the equations, and the time to trace them, grow exponentially with
  the order. So a panel ends, and says so, before the order that would have more
  than `max_equations` by the growth between the two orders before.

  Args:
    fun: a function whose first argument is a pytree of arrays of real or
      complex numbers. Its result is any pytree of arrays.
    order: the highest order, 1 or more.
    mode: of the panel with CSE: "exact", "reassociate" or "ring".
    v: the direction of all derivatives, like the first argument; elementwise 1
      if not given.
    max_equations: the bound; None for none.

  Returns:
    A function of the arguments of `fun` that returns a `matplotlib` figure.
    Derivatives are with respect to the first argument, at constant others.

  Raises:
    ValueError: `order`, `mode` or `max_equations` is out of range.
    ImportError: matplotlib is missing; the extra `plot` brings it.
    UnsupportedJaxVersion: the JAX installed is not one that this works on.
    TypeError: when called, if the first argument is not of real or complex
      numbers, or `v` has not its structure or dtypes; where it has not the
      shapes, it is a ValueError, both as raised by `jvp`.

  Source: the figures of the thread, github.com/jax-ml/jax/issues/520.
  """
  return _over_orders("counts", 1, fun, order, mode, v, max_equations)


def plot_growth(fun: Callable, order: int = 8, *, mode: str = "exact",
                v: Any = None, max_equations: int | None = MAX_EQUATIONS
                ) -> Callable[..., Any]:
  """How the equations of derivatives grow with the order, with fitted laws.

      jax_cse.plot_growth(jax.nn.gelu)(1.1)

  The equations that each order has beyond those of `fun` itself, twice: with a
  log scale, where exponential growth a * b**n is a straight line, and with two
  of them, where polynomial growth a * n**k is one. Both laws are fitted to the
  upper half of the orders, by least squares in the logarithm; the legend has
  the better one, the other is dotted. The more orders, the surer; see
  `jax_cse/report/growth.py`.

  Args:
    fun: see `plot_counts`.
    order: the highest order, 3 or more, since two points tell no law.
    mode: see `plot_counts`.
    v: see `plot_counts`.
    max_equations: see `plot_counts`.

  Returns:
    A function of the arguments of `fun` that returns a `matplotlib` figure.

  Raises:
    ValueError, ImportError, UnsupportedJaxVersion, TypeError: as `plot_counts`.
  """
  return _over_orders("growth", growth.LEAST_ORDERS, fun, order, mode, v,
                      max_equations)


def plot_hits(fun: Callable, mode: str = "exact", *,
              max_bytes: int | None = None) -> Callable[..., Any]:
  """How a memo fills while a function runs: hits and misses over time.

      jax_cse.plot_hits(lambda x: jax.jvp(f, (x,), (1.0,)))(1.1)

  `fun` runs once inside of an `enabled()` of its own, and what it returns is
  dropped. Time is counted in lookups, of which some are hits, some are misses
  and some are bypassed, as in `memo.stats`. If results are held for eager
  evaluation, a second panel has their size and, if some left for the budget,
  the budget. The totals are sampled at 1,024 points at most.

  Args:
    fun: any function, such as a step of a training; `jax.make_jaxpr(f)` for
      what tracing `f` looks up.
    mode: "exact", "reassociate" or "ring".
    max_bytes: budget in bytes for results that are held; see `enabled`.

  Returns:
    A function of the arguments of `fun` that returns a `matplotlib` figure.

  Raises:
    ValueError: `mode` or `max_bytes` is out of range.
    ImportError: matplotlib is missing; the extra `plot` brings it.
    UnsupportedJaxVersion: the JAX installed is not one that this works on.

  Limits: what was traced in this mode before, and what runs compiled, is not
  looked up; `jax.clear_caches()` forgets both. Where `JAX_CSE` switches every
  `enabled()` off nothing is.
  """
  modes.validate(mode)
  max_bytes = eager_table.validate_max_bytes(max_bytes)
  versions.check()
  pictures = drawing("plot_hits")

  def plot(*args: Any, **kwargs: Any) -> Any:
    return pictures.draw_hits(
        pictures.plain(naming.name_of(fun)), mode,
        _recorded(fun, mode, max_bytes, args, kwargs), max_bytes)

  return plot


def _recorded(fun: Callable, mode: str, max_bytes: int | None, args: tuple,
              kwargs: dict[str, Any]) -> history.History:
  with enabled(mode, max_bytes=max_bytes):
    memo = here.cell.memo
    record = history.History(lambda: memo.nbytes)
    if memo is not None:   # unless `JAX_CSE` switches it off
      memo.stats = record
    try:
      fun(*args, **kwargs)
    finally:
      record.finish()
  return record
