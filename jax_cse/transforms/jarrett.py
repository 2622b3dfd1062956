"""`jarrett`: an elementwise function as one operation to differentiate.

Reverse mode keeps, for the way back, the factors of every operation: of

    y = 0.5 * x * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 * x**3)))

half a dozen arrays of the size of `x`. But an element of `y` depends on one
element of `x`, so the derivative is one array of factors, dy/dx, which forward
mode gives in one pass with 1 for the tangent of every element.
"""

from collections.abc import Callable
import functools
from typing import Any, ParamSpec, TypeVar

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.foundation import inputs
from jax_cse.primitives import elementwise

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def jarrett(fun: Callable[_P, _Result]) -> Callable[_P, _Result]:
  """`fun`, differentiated as one operation with one derivative per input.

      gelu = jax_cse.jarrett(jax.nn.gelu)

  For a function that is elementwise in its arguments, as a whole: an element of
  a result may depend only on the element of an argument that broadcasting puts
  at its place. Inside, the function may do anything. The derivative of each
  result with respect to each argument is computed with the results, and
  tangents and cotangents are multiplied by it. The same goes for derivatives of
  derivatives. It composes with `jit`, `vmap`, `jvp`, `grad` and `cse`.

  It saves memory in reverse mode: of a chain of any length it keeps one array
  for each argument and each result that depends on it, where plain JAX keeps
  one or two for each operation. It costs where that is more, with several
  arguments and results and few operations, as `x * y`. The derivatives take one
  pass for each argument that is differentiated, together with the results,
  where plain JAX would put off a part of that work. For a complex argument two
  arrays are kept for each result if the function is not holomorphic. The
  factors of a chain are multiplied before a tangent or a cotangent is, so they
  overflow where their product does. Forward mode gives the factors, so reverse
  mode goes through a `while` loop too.

  Args:
    fun: a function of pytrees of arrays, real or complex where it is to be
      differentiated, with any pytree of arrays for a result. An argument that
      is no array, float or complex number (an option, an index) is passed on as
      it is. Values that it closes over are differentiated too, as ever,
      elementwise or not.

  Returns:
    A function with the signature and the values of `fun`.

  Raises:
    ValueError: when differentiated, if `fun` is not elementwise; names the
      argument and the operation that mixes its elements.
    TypeError: `fun` is not callable; when differentiated, if there is a
      `custom_vjp` function inside, which has no forward mode.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: the thread, github.com/jax-ml/jax/issues/520, and #525 there.
  """
  inputs.require_callable(fun, "jarrett")

  @functools.wraps(fun)
  def as_one(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
    if compat.outside_transformations():
      return fun(*args, **kwargs)
    paths, structure = jax.tree_util.tree_flatten_with_path((args, kwargs))
    fixed = [None if _is_array(leaf) else (leaf,) for _, leaf in paths]
    operands = [leaf for _, leaf in paths if _is_array(leaf)]
    names = [("args", "kwargs")[path[0].idx] + jax.tree_util.keystr(path[1:])
             for path, leaf in paths if _is_array(leaf)]

    def flat(*operands):
      rest = iter(operands)
      args, kwargs = jax.tree.unflatten(
          structure, [next(rest) if f is None else f[0] for f in fixed])
      return fun(*args, **kwargs)

    flat.__name__ = getattr(fun, "__name__", "jarrett")   # for jaxprs
    captured, flat = _closed_over(flat, operands)
    return _as_one(flat, names)(*operands, *captured)

  return as_one


def _is_array(x) -> bool:
  return isinstance(x, (float, complex)) or hasattr(x, "dtype")


def _closed_over(fun, leaves):
  """The tracers that a function closes over, and it as one of these too."""
  jaxpr, shapes = jax.make_jaxpr(fun, return_shape=True)(*leaves)
  jaxpr, constants = jaxprs.open_jaxpr(jaxpr)
  captured = [c for c in constants if isinstance(c, compat.Tracer)]
  if not captured:
    return [], fun
  # The function of the operation holds no tracer, since JAX may keep it.
  constants = [None if isinstance(c, compat.Tracer) else c for c in constants]
  jaxpr, _ = jaxprs.open_jaxpr(compat.closed(jaxpr, constants))
  structure, num_leaves = jax.tree.structure(shapes), len(leaves)

  def converted(*operands):
    rest = iter(operands[num_leaves:])
    outs = compat.eval_jaxpr(
        jaxpr, [next(rest) if c is None else c for c in constants],
        *operands[:num_leaves])
    return jax.tree.unflatten(structure, outs)

  converted.__name__ = fun.__name__
  return captured, converted


def _as_one(fun, names):
  """`fun` of elementwise operands, one for each name, and of any others."""
  as_one = jax.custom_jvp(fun)

  @functools.partial(as_one.defjvp, symbolic_zeros=True)
  def _(primals, tangents):
    moves = [type(t) is not jax.custom_derivatives.SymbolicZero
             for t in tangents]
    first = [i for i, name in enumerate(names) if moves[i]]
    rest = [i for i in range(len(names), len(primals)) if moves[i]]
    outs, slopes = _as_one(_with_slopes(fun, names, first), names)(*primals)
    leaves, structure = jax.tree.flatten(outs)
    terms: list[list] = [[] for _ in leaves]
    for i, by_direction in zip(first, slopes):
      parts = _parts(jnp.asarray(tangents[i]), by_direction)
      for t, slopes_along in zip(parts, by_direction):
        for sum_of, slope in zip(terms, slopes_along):
          if slope is not None:
            sum_of.append(_times(t, slope))
    if rest:
      _, moved = jax.jvp(
          lambda *xs: jax.tree.leaves(fun(*_with(primals, rest, xs))),
          [primals[i] for i in rest], [tangents[i] for i in rest])
      for sum_of, t in zip(terms, moved):
        sum_of.append(t)
    return outs, jax.tree.unflatten(structure, map(_sum, terms, leaves))

  return as_one


def _with_slopes(fun, names, which):
  """Results, and their derivatives along each of the operands in `which`.

  For each of these there is a list for the direction 1 and, if they are needed,
  one for the imaginary unit, with an entry for each result; None if that does
  not depend on the operand.
  """
  def with_slopes(*operands):
    outs, slopes = None, []
    for i in which:
      alone = lambda x, i=i: fun(*_with(operands, [i], [x]))
      outs, linear = jax.linearize(alone, operands[i])
      one = jnp.ones_like(operands[i])
      depends, is_complex_linear = _check(linear, one, names[i])
      directions = [one]
      if jnp.iscomplexobj(one) and not is_complex_linear:
        directions.append(jnp.full_like(one, 1j))
      slopes.append([
          [s if d else None for s, d in zip(
              jax.tree.leaves(linear(direction)), depends)]
          for direction in directions])
    return fun(*operands) if outs is None else outs, slopes
  return with_slopes


def _check(linear, one, name):
  """How the results depend on an operand; raises if not elementwise."""
  try:
    return elementwise.check(jax.make_jaxpr(linear)(one))
  except elementwise.NotElementwise as error:
    eqn = error.eqn
    line = compat.line_of(eqn)
    where = f"in the derivative with respect to {name}, of shape {one.shape}"
    at = f" at {line}" if line else ""
    if eqn.primitive is compat.custom_lin_p:
      raise TypeError(
          "jarrett differentiates in forward mode, which a custom_vjp function "
          f"does not have; got one {where}{at}") from None
    raise ValueError(
        "jarrett takes functions that are elementwise in their arguments, "
        f"which may be broadcast as by NumPy; {where}, {eqn.primitive.name} "
        f"mixes elements or moves axes{at}. What mixes them can stay outside "
        "of the function") from None


def _with(operands, which, values):
  operands = list(operands)
  for i, value in zip(which, values):
    operands[i] = value
  return operands


def _parts(t, directions):
  """The multipliers of the derivatives along 1 and the imaginary unit."""
  return [t] if len(directions) == 1 else [lax.real(t), lax.imag(t)]


def _times(t, slope):
  # In the wider type: where `t` was broadcast, cotangents are summed in it.
  dtype = jnp.promote_types(t.dtype, slope.dtype)
  if t.shape != slope.shape:
    t = jnp.broadcast_to(t, slope.shape)
  return _as(lax.mul(_as(t, dtype), _as(slope, dtype)), slope.dtype)


def _as(x, dtype):
  return x if x.dtype == dtype else lax.convert_element_type(x, dtype)


def _sum(terms, like) -> Any:
  if not jnp.issubdtype(jnp.result_type(like), jnp.inexact):
    return np.zeros(jnp.shape(like), jax.dtypes.float0)
  return functools.reduce(lax.add, terms) if terms else jnp.zeros_like(like)
