"""Pullbacks without transposition, for functions of few numbers.

`vjp` linearizes a function and runs the linear program backwards, once for all
inputs. Forwards it gives one column of the Jacobian J at a time. For one input
the two are the same sum of products, since a number is its own transpose:

    J' c  =  sum_k c_k J_k

Where derivatives are nested it makes a difference. The backward pass adds
equations that the next level differentiates, backwards again: exponentially
many. Columns are what nested `jvp` computes, so the levels share them.

    cotangents(jaxpr, consts, inputs, wanted, [c])

Zeros and ones of the basis stay known as long as nothing but the basis enters,
so the column of an input meets no term of another.

Limits: real inputs, and results that have no fewer digits; no small floats, whose
gradients are scaled on purpose; nothing that is transposed by a rule of its
user's, that has effects or that names axes.
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
from jax_cse.rebuild.deferred import CseTracer

# A basis is kept as host arrays up to this many numbers.
_MAX_HOST = 256


class _Linear(NamedTuple):
  """A value that depends on the basis: known on the host, known to be zero, for
  which `x` is None, or computed."""
  x: Any


def size(jaxpr, wanted: Sequence[int]) -> int:
  """How many numbers the wanted inputs have."""
  return sum(math.prod(jaxpr.invars[i].aval.shape) for i in wanted)


def runs_forwards(jaxpr, wanted: Sequence[int]) -> bool:
  """Whether a linear program may be evaluated instead of transposed."""
  if jaxpr.effects or compat.has_mesh():
    return False
  ins = [jaxpr.invars[i].aval for i in wanted]
  outs = [v.aval for v in jaxpr.outvars]
  return all(is_in_ring(x) and not jnp.issubdtype(x.dtype, jnp.complexfloating)
             and all(compat.contains(y.dtype, x.dtype) for y in outs)
             for x in ins) and all(
                 map(_computes_its_transpose, counting.equations(jaxpr)))


def _computes_its_transpose(eqn) -> bool:
  return not eqn.effects and (
      eqn.primitive.name not in compat.TRANSPOSED_BY_RULE) and all(
          is_in_ring(v.aval) for v in eqn.outvars
          if compat.is_inexact(v.aval.dtype))


def cotangents(jaxpr, consts, inputs, wanted: Sequence[int], given
               ) -> list[Any]:
  """The cotangents of the wanted inputs; None where they are zero.

  Args:
    jaxpr: a linear program, as `vjp` makes it.
    consts: its constants.
    inputs: unknown, or the values of those that it is not linear in.
    wanted: the places of inputs.
    given: the cotangents of its results.
  """
  def column(i, j):
    """The cotangent of element `j` of input `i`."""
    seeds = [x if not compat.is_unknown(x) else _Linear(
        _unit(v.aval, j) if k == i else None)
             for k, (v, x) in enumerate(zip(jaxpr.invars, inputs))]
    outs = _evaluate(jaxpr, consts, seeds)
    terms = [_inner(c, _value(y, v.aval), jaxpr.invars[i].aval)
             for v, y, c in zip(jaxpr.outvars, outs, given)
             if type(c) is not compat.Zero and _is_moving(y)]
    return functools.reduce(lax.add, terms) if terms else None

  found = []
  for i in wanted:
    aval = jaxpr.invars[i].aval
    columns = [column(i, j) for j in range(math.prod(aval.shape))]
    found.append(None if all(x is None for x in columns) else
                 _together(columns, aval))
  return found


def _inner(c, y, aval):
  """The inner product of a cotangent and a tangent, as a number of a type."""
  shape = jnp.shape(y)
  if shape:
    axes = tuple(range(len(shape)))
    product = lax.dot_general(c, y, ((axes, axes), ((), ())),
                              precision=lax.Precision.HIGHEST)
  else:
    product = lax.mul(c, y)
  if jnp.iscomplexobj(product):
    product = lax.real(product)
  return lax.convert_element_type(product, aval.dtype)


def _together(columns, aval):
  """Numbers as an array, from which each can be taken again."""
  if not aval.shape:
    return columns[0]
  axis = max(range(len(aval.shape)), key=lambda k: aval.shape[k])
  shape = [1] * len(aval.shape)
  if math.prod(aval.shape) != aval.shape[axis]:
    axis, shape = 0, [1]
  zero = np.zeros((), aval.dtype)
  parts = [lax.broadcast_in_dim(zero if x is None else x, shape, ())
           for x in columns]
  whole = lax.concatenate(parts, axis) if len(parts) > 1 else parts[0]
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
  inner = _inlined(primitive, eqn.params)
  if inner is not None:
    return _evaluate(*jaxprs.open_jaxpr(inner), operands)
  known = _on_host(primitive, eqn, operands)
  return list(map(_Linear, bind() if known is None else known))


def _inlined(primitive, params):
  """The jaxpr of a call that is nothing but its jaxpr."""
  if primitive is compat.jit_p and compat.is_plainly_placed(params):
    return params["jaxpr"]
  return params["call_jaxpr"] if primitive is compat.closed_call_p else None


def _value(x, aval):
  """A value as JAX takes it."""
  if type(x) is not _Linear:
    return x
  x = x.x
  if x is None:
    return jnp.zeros(aval.shape, aval.dtype)
  if not isinstance(x, np.ndarray) or not x.ndim:
    return x
  first = x.flat[0] if x.size else None
  if np.all(x == first):   # a number, to the ring
    return jnp.full(x.shape, first, x.dtype)
  return _one_object(x.dtype, x.shape, x.tobytes())


@functools.lru_cache(1024)
def _one_object(dtype, shape, data):
  """The same object for the same array, which a traced program refers to."""
  return np.frombuffer(data, dtype).reshape(shape)


def _unit(aval, j):
  """The element `j` of the basis of a type."""
  x = np.zeros(aval.shape, aval.dtype)
  x.flat[j] = 1
  return x


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


def _slice(params, x):
  strides = params["strides"] or [1] * x.ndim
  return x[tuple(map(slice, params["start_indices"], params["limit_indices"],
                     strides))]


_ON_HOST: dict[Any, Callable[..., Any]] = {
    compat.broadcast_in_dim_p: _broadcast,
    compat.reshape_p: lambda params, x: x.reshape(params["new_sizes"]),
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
