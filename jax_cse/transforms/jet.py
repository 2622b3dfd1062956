"""`jet`: derivatives along a curve, with the interface of JAX's own."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_cse import compat
from jax_cse.foundation import inputs
from jax_cse.rebuild import curves
from jax_cse.rebuild import reverse_mode

# A leaf of the primals: the value, and the terms of its series.
_Curve = tuple[Any, list[Any]]


def jet(fun: Callable[..., Any], primals: Sequence[Any], series: Sequence[Any],
        factorial_scaled: bool = True, **_: Any) -> tuple[Any, Any]:
  """Taylor-mode derivatives of `fun` along a curve.

      f0, (f1, f2) = jax_cse.jet(fun, (x0,), ((x1, x2),))

  A drop-in for `jax.experimental.jet.jet`, for whatever JAX differentiates.
  The rules are those of `derivatives`: JAX's own, with each value derived once
  at each order, and the result simplified as a whole. It composes with itself,
  `jit`, `vmap`, `grad` and the others.

  Args:
    fun: a function of as many arguments as there are primals, each any pytree
      of arrays. Its result is any pytree of arrays.
    primals: a tuple or list of the arguments at which `fun` is expanded.
    series: a tuple or list with a series for each of them: a tuple or list of
      terms, each like the argument, or an array whose rows are the terms. All
      have as many terms, the order. The series of a pytree may also be written
      as `jet` returns it: like the pytree, with a list of terms for each leaf.
      A term is converted to the dtype of its primal; a scalar is broadcast.
    factorial_scaled: whether the k-th term is the k-th derivative. If not, it
      is the coefficient of t**k, the derivative over k!.
    **_: ignored, as JAX's ignores it.

  Returns:
    A pair: `fun(*primals)`, and a tree of its structure with a list of terms
    for each leaf: those of `fun(x(t))` at 0, where `x(t)` has the given
    series. Terms of an integer or boolean result are zeros of the default
    floating-point dtype.

    An integer or boolean primal is the number that it is while all of its terms
    are known to be zero. Otherwise `fun` gets it as a real number, of the
    default floating-point dtype.

  Raises:
    ValueError: the series differ in length or in number from the primals; one
      does not have the structure or the shape of its primal; or it may be read
      in two ways, as that of a list of as many arrays as there are terms.
    TypeError: `fun` is not callable; primals or series are of another type; or
      a series is complex and its primal is not.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: Bettencourt, Johnson and Duvenaud 2019, and `jax.experimental.jet`,
  for the interface; `derivatives` names the others.
  """
  inputs.require_callable(fun, "jet")
  trees, leaves, order = _curves_of(primals, series)
  store: list[Any] = []

  def flat(*operands: Any) -> list[Any]:
    given = iter(operands)
    outs, structure = jax.tree.flatten(fun(*(
        jax.tree.unflatten(tree, [next(given) for _ in range(tree.num_leaves)])
        for tree in trees)))
    store.append(structure)
    return outs

  levels = curves.derive(
      reverse_mode.reordered("ring")(flat), [x for x, _ in leaves],
      [terms for _, terms in leaves], order, not factorial_scaled)
  values, *derived = ([*map(_as_float, outs)] if k else outs
                      for k, outs in enumerate(levels))
  structure = store[0]
  return jax.tree.unflatten(structure, values), jax.tree.unflatten(
      structure, [[outs[i] for outs in derived] for i in range(len(values))])


def _as_float(term):
  return jnp.zeros(term.shape, float) if compat.is_float0(term) else term


# The arguments.

def _curves_of(primals, series) -> tuple[list[Any], list[_Curve], int]:
  """The structures of the arguments, their leaves on curves, and the order."""
  primals, series = _listed(primals, "primals"), _listed(series, "series")
  if len(primals) != len(series):
    raise ValueError("jet needs a series for each primal; got "
                     f"{len(series)} for {len(primals)}")
  trees, leaves = [], []
  for i, (x, terms) in enumerate(zip(primals, series)):
    xs, tree = jax.tree.flatten(x)
    trees.append(tree)
    leaves += [(i, x, by_leaf)
               for x, by_leaf in zip(xs, _by_leaf(i, tree, terms))]
  orders = sorted({len(terms) for _, _, terms in leaves})
  if len(orders) != 1:
    raise ValueError(
        "jet terms have inconsistent lengths for different arguments; got "
        f"{orders}")
  return trees, [_curve(*leaf) for leaf in leaves], orders[0]


def _listed(x, name) -> list[Any]:
  if not isinstance(x, list | tuple) and not _is_array(x):
    raise TypeError(f"{name} of jet must be a tuple or list; got "
                    f"{type(x).__name__}")
  return list(x)


def _is_array(x):
  return isinstance(x, jax.Array | np.ndarray) and x.ndim > 0


def _is_series(x):
  return isinstance(x, list | tuple) or _is_array(x)


def _by_leaf(i, tree, terms) -> list[list[Any]]:
  """The series of each leaf of the i-th primal."""
  if jax.tree_util.treedef_is_leaf(tree) and tree.num_leaves:
    terms = _listed(terms, f"series {i}")
    for j, term in enumerate(terms):
      if not jax.tree_util.all_leaves([term]):
        raise ValueError(f"term {j} for argument {i} is not an array; got "
                         f"{jax.tree.structure(term)}")
    return [terms]
  is_listed = _is_series(terms) and all(
      jax.tree.structure(term) == tree for term in terms)
  try:
    leaves = tree.flatten_up_to(terms)
  except ValueError:
    leaves = []
  is_nested = len(leaves) == tree.num_leaves > 0 and all(
      isinstance(leaf, list) or _is_array(leaf) for leaf in leaves)
  if is_listed and is_nested and terms:
    raise ValueError(
        f"series {i} may be read as terms like the primal, and as one series "
        "for each of its leaves: make the primal a tuple, or a dict")
  if is_listed:
    return [list(leaf) for leaf in zip(*map(jax.tree.leaves, terms))] or [
        [] for _ in range(tree.num_leaves)]
  if is_nested:
    return [list(leaf) for leaf in leaves]
  raise ValueError(
      f"series {i} must be a list of terms, each of structure {tree}, or of "
      "that structure with a list of terms for each leaf; got "
      f"{jax.tree.structure(terms)}")


def _curve(i, x, terms) -> _Curve:
  """A leaf and its terms, up to the last that is not known to be zero."""
  numbers = list(map(compat.known_number, terms))
  while numbers and numbers[-1] == 0:
    numbers.pop()
  if numbers and not jnp.issubdtype(compat.typeof(x).dtype, jnp.inexact):
    x = float(x) if type(x) in (int, bool) else jnp.asarray(x, float)
  aval = compat.typeof(x)
  for j, term in enumerate(terms):
    shape = compat.typeof(term).shape
    if shape not in ((), aval.shape):
      raise ValueError(f"term {j} for argument {i} is of shape {shape}, and "
                       f"the primal of {aval.shape}")
  return x, [_term(i, j, term, aval) if number is None else number
             for j, (term, number) in enumerate(zip(terms, numbers))]


def _term(i, j, term, aval):
  shape, dtype = compat.typeof(term).shape, compat.typeof(term).dtype
  if jnp.issubdtype(dtype, jnp.complexfloating) and not jnp.issubdtype(
      aval.dtype, jnp.complexfloating):
    raise TypeError(f"term {j} for argument {i} is of dtype {dtype}, and the "
                    f"primal of {aval.dtype}")
  if dtype != aval.dtype:
    term = jnp.asarray(term, aval.dtype)
  return term if shape == aval.shape else jnp.broadcast_to(term, aval.shape)
