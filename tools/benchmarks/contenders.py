"""Ways to the same derivative, each from the package that it is named for.

A way is a function of the arguments. Two are made of plain code by whoever
measures: `memo`, the same inside of `enabled()`, and `enzyme`, which has
Enzyme-JAX optimize the StableHLO that the code is lowered to. A way that has no
rule, or whose package is missing, raises, and the row says what.
"""

from collections.abc import Callable
from importlib import util
import math

import jax
import jax.numpy as jnp

from benchmarks.frame import BEHIND, SLOWER, Ratio, middle
import jax_cse
from jax_cse.orders import order_counts

# Names of ways, of this project and others, in the order in which they are
# printed. A contest says which of them it has no form of.
OURS = ("memo", "explicit", "derivatives", "laplacian")
OTHERS = ("jet", "jet-array", "Enzyme-JAX", "folx")

_MODULES = {"jet-array": "jet_array", "Enzyme-JAX": "enzyme_ad",
            "folx": "folx"}


def is_installed(way: str) -> bool:
  return way not in _MODULES or bool(util.find_spec(_MODULES[way]))


def marks(way: str, ratios: dict[str, Ratio | float]) -> str:
  """What there is to say against a way, given the ratios of all of them."""
  if not is_ours(way):
    return ""
  found = middle(ratios[way])
  best = min((middle(other) for name, other in ratios.items()
              if name != "plain" and not is_ours(name)), default=float("inf"))
  return SLOWER * (found > 1) + BEHIND * (found > best)


def is_ours(way: str) -> bool:
  """Of these, and "inside", the gradient of what `cse` makes of a function."""
  return way in OURS or way == "inside"


def jet_array(fun: Callable, order: int) -> Callable:
  """The derivative of a function of one number by the package jet-array."""
  def derivative(t):
    import jet_array
    series = jnp.zeros(order).at[0].set(1.0)
    return (jet_array.jet(fun, (jnp.asarray(t),), (series,))[1][order - 1]
            * math.factorial(order))
  return derivative


def _by_derivatives(fun, order):
  return lambda t: jax_cse.derivatives(fun, order)(t)[-1]


def _explicit(fun, order):
  return jax_cse.cse(order_counts.nested_jvp(fun, order))


# Of a function of one number and an order; "memo" and "Enzyme-JAX" are "plain".
DERIVATIVE: dict[str, Callable[[Callable, int], Callable]] = {
    "plain": order_counts.nested_jvp,
    "explicit": _explicit,
    "derivatives": _by_derivatives,
    "jet": order_counts.taylor,
    "jet-array": jet_array,
}


def enzyme(fun: Callable) -> Callable:
  """`fun`, its StableHLO optimized by Enzyme-JAX's whole pipeline.

  By `hlo_call`. The package's decorator `enzyme_jax_ir` gives the same program,
  but has XLA compile the plain one as well, twice.
  """
  def optimized(*args):
    from enzyme_ad.jax import full_optimization_pass_pipeline, hlo_call
    leaves, tree = jax.tree.flatten(args)
    traced = jax.jit(lambda *xs: fun(*jax.tree.unflatten(tree, xs)),
                     keep_unused=True).trace(*map(_struct, leaves))
    results = hlo_call(*leaves, source=traced.lower().as_text(),
                       passes=full_optimization_pass_pipeline())
    return jax.tree.unflatten(jax.tree.structure(traced.out_info), results)
  return optimized


def _struct(x):
  return jax.ShapeDtypeStruct(jnp.shape(x), jnp.result_type(x))
