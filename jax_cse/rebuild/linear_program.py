"""Pullbacks without transposition, for functions of few numbers.

`vjp` linearizes a function and runs the linear program backwards, once for all
inputs. Forwards it gives one column of the Jacobian J at a time. For one input
the two are the same sum of products, since a number is its own transpose:

    J' c  =  sum_k c_k J_k

Where derivatives are nested it makes a difference. The backward pass adds
equations that the next level differentiates, backwards again: exponentially
many. Columns are what nested `jvp` computes, so the levels share them.

A function of a batch, row by row, has few inputs too. J is made of a block for
each row, so a tangent of ones in all rows gives one column of each block. Where
rows meet, as in a sum of losses, it is transposed from there on (see `rows`).

    cotangents(jaxpr, values, wanted, [c], transpose)

Zeros and ones of the basis stay known as long as nothing but the basis enters,
so the column of an input meets no term of another.

Limits: real inputs, and results that have no fewer digits; no small floats,
whose gradients are scaled on purpose; nothing that is transposed by a rule of
its user's, that has effects or that names axes. Rows are those of axis 0.
"""

from collections.abc import Callable, Sequence
import functools
import math
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.foundation import counting
from jax_cse.numbering.linear_maps import is_in_ring
from jax_cse.rebuild import rows
from jax_cse.rebuild.deferred import CseTracer

# Inputs for which the columns may be computed one by one.
FEW = 4
# A basis is kept as host arrays up to this many numbers.
_MAX_HOST = 256


class _Linear(NamedTuple):
  """A value that depends on the basis: known on the host, known to be zero, for
  which `x` is None, or computed."""
  x: Any


def columns(avals) -> tuple[int, bool]:
  """How many numbers there are in inputs of these types: in all, or, if those
  are more than `FEW`, in each row, if they have rows. And whether in rows."""
  count = sum(math.prod(x.shape) for x in avals)
  lengths = {x.shape[:1] for x in avals}
  if count <= FEW or len(lengths) != 1 or lengths == {()}:
    return count, False
  return sum(math.prod(x.shape[1:]) for x in avals), True


def forwards(jaxpr, avals):
  """A linear program that may be evaluated instead of transposed, its calls
  inlined; None if it may not. `avals`: the types of the wanted inputs."""
  if jaxpr.effects or compat.has_mesh():
    return None
  outs = [v.aval for v in jaxpr.outvars]
  if not (all(is_in_ring(x) and not compat.is_complex(x.dtype)
              and all(compat.contains(y.dtype, x.dtype) for y in outs)
              for x in avals)
          and all(map(_computes_its_transpose, counting.equations(jaxpr)))):
    return None
  jaxpr = jaxprs.with_calls_inlined(
      jaxpr, lambda eqn: compat.body_of_plain_call(
          compat.forward_primitive(eqn.primitive), eqn.params))
  return None if any(map(_has_node_inside, jaxpr.eqns)) else jaxpr


def _has_node_inside(eqn) -> bool:
  """Whether a body has nodes, which can be transposed and not evaluated."""
  return any(compat.forward_primitive(inner.primitive) is not inner.primitive
             for inner in jaxprs.inner_equations(eqn.params))


def _computes_its_transpose(eqn) -> bool:
  return not eqn.effects and (
      not compat.has_transpose_of_its_own(eqn)) and all(
          is_in_ring(v.aval) for v in eqn.outvars
          if compat.is_inexact(v.aval.dtype))


def cotangents(jaxpr, values, wanted: Sequence[int], given,
               transpose: Callable[..., Any]) -> list[Any]:
  """The cotangents of the wanted inputs, each with its columns one by one; None
  where it is zero.

  Args:
    jaxpr: a linear program, of `forwards`.
    values: of its constants and inputs, except of those it is linear in.
    wanted: the places of inputs among these.
    given: the cotangents of its results.
    transpose: JAX's own backward pass for the given cotangents, of a jaxpr,
      constants and inputs.
  """
  binders = [*jaxpr.constvars, *jaxpr.invars]
  avals = [binders[i].aval for i in wanted]
  _, in_rows = columns(avals)
  if in_rows:
    rest, axes = rows.split(jaxpr, [binders[i] for i in wanted])
    outvars = list(axes)
    known = {v: x for i, (v, x) in enumerate(zip(binders, values))
             if i not in wanted}
    given = transpose(
        compat.with_inputs(rest, [*known, *outvars]), [],
        [*known.values(),
         *(compat.accumulator(v.aval.to_ct_aval()) for v in outvars)])
  else:
    outvars, axes = jaxpr.outvars, {}

  def column(i, j):
    """The cotangent of element `j` of input `i`, or of each of its rows."""
    seeds = [x if not compat.is_unknown(x) else _Linear(
        _unit(v.aval, j, in_rows) if k == i else None)
             for k, (v, x) in enumerate(zip(binders, values))]
    n = len(jaxpr.constvars)
    outs = _evaluate(jaxpr.replace(outvars=outvars), seeds[:n], seeds[n:])
    terms = [_inner(c, _value(y, v.aval), axes.get(v), binders[i].aval.dtype)
             for v, y, c in zip(outvars, outs, given)
             if type(c) is not compat.Zero and _is_moving(y)]
    return functools.reduce(lax.add, terms) if terms else None

  found = []
  for i, aval in zip(wanted, avals):
    row = aval.shape[1:] if in_rows else aval.shape
    parts = [column(i, j) for j in range(math.prod(row))]
    found.append(None if all(x is None for x in parts) else (compat.convert(
        _together(parts, aval, in_rows), aval), parts))
  return found


def parts(whole, in_rows: bool) -> list[Any]:
  """The elements of an array one by one, or those of all of its rows."""
  rows = whole.shape[:1] if in_rows else ()
  count = whole.size // max(math.prod(rows), 1)
  flat = lax.reshape(whole, (*rows, count))
  return [lax.index_in_dim(flat, j, len(rows), keepdims=False)
          for j in range(count)]


def _inner(c, y, axis, dtype):
  """The inner product of a cotangent and a tangent, for each place of an axis
  if there is one."""
  product = lax.mul(c, y)
  axes = [k for k in range(jnp.ndim(y)) if k != axis]
  single = [k for k in axes if product.shape[k] == 1]
  if len(single) < len(axes):
    product = lax.reduce_sum(product, [k for k in axes if k not in single])
    single = [k - sum(m < k and m not in single for m in axes) for k in single]
  product = lax.squeeze(product, single)
  if jnp.iscomplexobj(product):
    product = lax.real(product)
  return (product if product.dtype == dtype
          else lax.convert_element_type(product, dtype))


def _together(parts, aval, in_rows):
  """Numbers, or columns, as an array from which each can be taken again."""
  if not aval.shape:
    return parts[0]
  rows = aval.shape[:1] if in_rows else ()
  row = aval.shape[len(rows):]
  axis = max(range(len(row)), key=row.__getitem__, default=0)
  if math.prod(row) == math.prod(row[axis:axis + 1]):
    shape = (*rows, *[1] * len(row))
  else:
    axis, shape = 0, (*rows, 1)
  zero = jnp.zeros(rows, aval.dtype)
  parts = [lax.broadcast_in_dim(zero if x is None else x, shape,
                                tuple(range(len(rows)))) for x in parts]
  whole = (lax.concatenate(parts, len(rows) + axis) if len(parts) > 1
           else parts[0])
  return whole if whole.shape == aval.shape else lax.reshape(whole, aval.shape)


# Evaluation.

def _evaluate(jaxpr, consts, operands) -> list[Any]:
  return jaxprs.interpret(compat.closed(jaxpr, consts), operands,
                          lambda x: x, lambda literal: literal.val, _results)


def _is_moving(x) -> bool:
  return type(x) is _Linear and x.x is not None


def _results(eqn, operands) -> list[Any]:
  primitive = compat.forward_primitive(eqn.primitive)
  linear = [type(x) is _Linear for x in operands]
  bind = lambda: compat.bind_later(
      primitive, [_value(x, v.aval) for x, v in zip(operands, eqn.invars)],
      eqn.params, eqn.ctx, compat.source_of(eqn))
  if not any(linear):
    return bind()
  if not any(map(_is_moving, operands)):
    return [_Linear(None)] * len(eqn.outvars)
  if primitive is compat.add_any_p and not all(map(_is_moving, operands)):
    return [next(filter(_is_moving, operands))]
  known = _on_host(primitive, eqn, operands)
  return list(map(_Linear, bind() if known is None else known))


def _value(x, aval):
  """A value as JAX takes it."""
  if type(x) is not _Linear:
    return x
  x = x.x
  if x is None:
    return jnp.zeros(aval.shape, aval.dtype)
  if not isinstance(x, np.ndarray):
    return x
  if not x.ndim:
    return compat.weak_scalar(x.item(), x.dtype) if aval.weak_type else x
  if x.size and np.all(x == x.flat[0]):   # a number, to the ring
    return jnp.full(x.shape, x.flat[0], x.dtype)
  return _one_object(x.dtype, x.shape, x.tobytes())


@functools.lru_cache(1024)
def _one_object(dtype, shape, data):
  """The same object for the same array, which a traced program refers to."""
  return np.frombuffer(data, dtype).reshape(shape)


def _unit(aval, j, in_rows):
  """The element `j` of the basis of a type, or of each of its rows."""
  if not in_rows:
    x = np.zeros(aval.shape, aval.dtype)
    x.flat[j] = 1
    return x
  row = aval.update(shape=aval.shape[1:])
  return lax.broadcast_in_dim(
      _value(_Linear(_unit(row, j, False)), row), aval.shape,
      tuple(range(1, len(aval.shape))))


def _on_host(primitive, eqn, operands) -> list[np.ndarray] | None:
  """The results of an equation that only moves what is known, on the host."""
  rule = _ON_HOST.get(primitive)
  if rule is None or any(
      math.prod(v.aval.shape) > _MAX_HOST for v in eqn.outvars):
    return None
  xs = []
  for x, v in zip(operands, eqn.invars):
    if type(x) is _Linear and x.x is None:
      x = np.zeros(v.aval.shape, v.aval.dtype)
    else:
      x = x.x if type(x) is _Linear else _constant(x)
    if not isinstance(x, np.ndarray):
      return None
    xs.append(x.astype(v.aval.dtype))
  with np.errstate(all="ignore"):
    found = rule(eqn.params, *xs)
  return found if primitive.multiple_results else [found]


def _constant(x) -> np.ndarray | None:
  """A value that is known now, as an array on the host."""
  if isinstance(x, CseTracer):
    x = x._trace.constant_of(x)
  elif isinstance(x, compat.DynamicJaxprTracer):
    x = x.val.val if type(x.val) is compat.Literal else (
        compat.constant_behind(x))
  return np.asarray(x) if compat.is_scalar(x) or isinstance(
      x, np.ndarray) else None


def _broadcast(params, x):
  shape = [1] * len(params["shape"])
  for k, axis in enumerate(params["broadcast_dimensions"]):
    shape[axis] = x.shape[k]
  return np.broadcast_to(x.reshape(shape), params["shape"])


def _reshape(params, x):
  order = params["dimensions"]
  return (x if order is None else x.transpose(order)).reshape(
      params["new_sizes"])


def _slice(params, x):
  strides = params["strides"] or [1] * x.ndim
  return x[tuple(map(slice, params["start_indices"], params["limit_indices"],
                     strides))]


_ON_HOST: dict[Any, Callable[..., Any]] = {
    compat.broadcast_in_dim_p: _broadcast,
    compat.reshape_p: _reshape,
    compat.squeeze_p: lambda params, x: x.squeeze(tuple(params["dimensions"])),
    compat.transpose_p: lambda params, x: x.transpose(params["permutation"]),
    compat.slice_p: _slice,
    compat.concatenate_p: lambda params, *xs: np.concatenate(
        xs, params["dimension"]),
    compat.stack_p: lambda params, *xs: np.stack(xs, params["axis"]),
    compat.unstack_p: lambda params, x: [
        x.take(i, params["axis"]) for i in range(x.shape[params["axis"]])],
    compat.convert_element_type_p: lambda params, x: x.astype(
        params["new_dtype"]),
    compat.neg_p: lambda params, x: -x,
    compat.mul_p: lambda params, x, y: x * y,
    compat.div_p: lambda params, x, y: x / y,
    compat.copy_p: lambda params, x: x,
    compat.reduce_sum_p: lambda params, x: x.sum(tuple(params["axes"])),
}
