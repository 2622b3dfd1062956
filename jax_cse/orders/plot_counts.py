"""`plot_counts`: the equations of a function's derivatives, as a figure.

    jax_cse.plot_counts(f)(1.1).savefig("counts.png")

It needs the extra `plot`: pip install 'jax_cse[plot]'.
"""

from collections.abc import Callable
from typing import Any

from jax_cse.findings import naming
from jax_cse.foundation import modes
from jax_cse.orders import order_counts

MAX_EQUATIONS = 20_000   # seconds to trace


def _order_figure() -> Any:
  try:
    from jax_cse.orders import order_figure
  except ModuleNotFoundError as e:
    if (e.name or "").partition(".")[0] != "matplotlib":
      raise
    raise ImportError(
        "plot_counts needs matplotlib, which is missing. To install it: "
        "pip install 'jax_cse[plot]'") from e
  return order_figure


def plot_counts(fun: Callable, order: int = 8, *, mode: str = "exact",
                v: Any = None, max_equations: int | None = MAX_EQUATIONS
                ) -> Callable[..., Any]:
  """The thread's figure of any function: equations against order.

      jax_cse.plot_counts(jax.nn.gelu, 6)(1.1).savefig("counts.png")

  Equations of the derivatives of `fun` by primitive, log scale, with a panel
  for nested `jvp` without CSE, one for nested `jvp` with CSE, and one for
  `jax.experimental.jet`; where that refuses, its panel says with which error.
  The function is traced and not run, and the mode in force makes no difference.

  Without CSE the equations, and the time to trace them, grow exponentially with
  the order. So a panel ends, and says so, before an order that would have more
  than `max_equations`, as foreseen from the growth between the two before it.

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
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.
    TypeError: when called, if the first argument is not of real or complex
      numbers, or `v` has not its structure or dtypes; where it has not the
      shapes, it is a ValueError, both as raised by `jvp`.

  Source: the figures of the thread, github.com/jax-ml/jax/issues/520.
  """
  order_counts.validate_order(order)
  order_counts.validate_bound(max_equations)
  modes.validate(mode)
  order_figure = _order_figure()

  def plot(x: Any, *args: Any) -> Any:
    ways = order_counts.count_orders(fun, order, mode, v, max_equations,
                                     (x, *args))
    return order_figure.draw_counts(
        order_figure.plain(naming.name_of(fun)), ways)

  return plot
