"""Primitives by name, and properties of them that JAX knows."""

import functools
from typing import Any

from jax._src import ad_checkpoint
from jax._src import ad_util
from jax._src import core
from jax._src import callback
from jax._src import debugging
from jax._src import dispatch
from jax._src.interpreters import ad
from jax._src.interpreters import batching
from jax._src.lax import control_flow
from jax._src.lax import convolution
from jax._src.lax import fft
from jax._src.lax import lax
from jax._src.lax import linalg
from jax._src.lax import slicing
from jax._src.lax import special
from jax._src.lax import windowed_reductions

from jax_cse.compat.settings import VERSION

# Types that a bind sees.
Primitive = core.Primitive
add_p, mul_p, max_p, min_p = lax.add_p, lax.mul_p, lax.max_p, lax.min_p
and_p, or_p, xor_p, eq_p, ne_p = (
    lax.and_p, lax.or_p, lax.xor_p, lax.eq_p, lax.ne_p)
div_p, select_n_p, transpose_p = lax.div_p, lax.select_n_p, lax.transpose_p
sub_p, neg_p, square_p, integer_pow_p = (
    lax.sub_p, lax.neg_p, lax.square_p, lax.integer_pow_p)
# 0.11.2: 1 - x * x is a primitive, which nothing binds before.
one_minus_square_p = (Primitive("one_minus_square") if VERSION < (0, 11, 2)
                      else lax.one_minus_square_p)
broadcast_in_dim_p, convert_element_type_p = (
    lax.broadcast_in_dim_p, lax.convert_element_type_p)
# If all elements of the operand are one number, so are those of the result.
KEEP_CONSTANTS = (broadcast_in_dim_p, convert_element_type_p)
tanh_p, iota_p = lax.tanh_p, lax.iota_p
dot_general_p, reduce_sum_p, reshape_p, squeeze_p = (
    lax.dot_general_p, lax.reduce_sum_p, lax.reshape_p, lax.squeeze_p)
concatenate_p, split_p = lax.concatenate_p, lax.split_p
# 0.10.1: a stack is a primitive, which nothing binds before.
stack_p = Primitive("stack") if VERSION < (0, 10, 1) else lax.stack_p
unstack_p = Primitive("unstack") if VERSION < (0, 10, 1) else lax.unstack_p
pad_p, copy_p, rev_p, tile_p = lax.pad_p, lax.copy_p, lax.rev_p, lax.tile_p
real_p, imag_p, complex_p, conj_p = (
    lax.real_p, lax.imag_p, lax.complex_p, lax.conj_p)
slice_p, dynamic_slice_p, dynamic_update_slice_p = (
    slicing.slice_p, slicing.dynamic_slice_p, slicing.dynamic_update_slice_p)
gather_p, scatter_p, scatter_add_p = (
    slicing.gather_p, slicing.scatter_p, slicing.scatter_add_p)
conv_general_dilated_p = convolution.conv_general_dilated_p
cumsum_p, reduce_window_sum_p = (
    control_flow.cumsum_p, windowed_reductions.reduce_window_sum_p)
fft_p, triangular_solve_p = fft.fft_p, linalg.triangular_solve_p
add_any_p = ad_util.add_jaxvals_p
device_put_p = dispatch.device_put_p
optimization_barrier_p = lax.optimization_barrier_p
# The remainder of a `custom_vjp` function in a linear map.
custom_lin_p = ad.custom_lin_p
# Element by element, for operands of one shape or scalars.
ELEMENTWISE = frozenset({
    add_p, add_any_p, lax.sub_p, mul_p, div_p, lax.neg_p, max_p, min_p,
    lax.integer_pow_p, lax.convert_element_type_p, lax.square_p, lax.sqrt_p,
    lax.exp_p, lax.log_p, lax.sin_p, lax.cos_p, lax.tanh_p, lax.real_p,
    lax.imag_p, lax.conj_p, lax.abs_p, lax.sign_p, one_minus_square_p,
})
# JAX's own operations on arrays: no primitive of a package or a user's, no
# callback and no kernel.
OF_LAX = frozenset(
    x for module in (ad_util, control_flow, convolution, fft, lax, linalg,
                     slicing, special, windowed_reductions)
    for x in vars(module).values() if isinstance(x, Primitive))
# Elementwise as well, though JAX batches them by rules of their own.
_ELEMENTWISE_BESIDE = frozenset({
    add_any_p, convert_element_type_p, select_n_p, ad_checkpoint.name_p})


def is_elementwise(primitive: Primitive) -> bool:
  """Whether each element of the result depends on the elements at its place
  alone, for operands that have one shape or are scalars."""
  batcher = batching.fancy_primitive_batchers.get(primitive)
  return primitive in _ELEMENTWISE_BESIDE or (
      isinstance(batcher, functools.partial) and batcher.func in (
          batching.vectorized_batcher, batching.broadcast_batcher))


def runs_compiled(primitive: Primitive) -> bool:
  """Whether an eager bind only calls the program that JAX compiles for it."""
  impl = primitive.impl
  return (type(primitive) is Primitive
          and not {"is_high", "bind_with_trace"} & vars(primitive).keys()
          and isinstance(impl, functools.partial) and not impl.keywords
          and impl.func is dispatch.apply_primitive
          and impl.args == (primitive,))


def effect_free(primitive: Primitive) -> bool:
  """Whether the abstract evaluation was declared to have no effects."""
  name = getattr(primitive.abstract_eval, "__qualname__", "")
  return name == core._effect_free_abstract_eval(None).__qualname__


mul = functools.partial(mul_p.bind, out_dtype=None)


def abstract_evaluation(primitive, avals, params):
  """Types of the results and effects."""
  out, effects = primitive.abstract_eval(*avals, **params)
  return (list(out) if primitive.multiple_results else [out]), effects


def params_of_sum(axes: tuple[int, ...]) -> dict[str, Any]:
  return {"axes": axes, "out_sharding": None}


def params_of_broadcast(shape: tuple[int, ...], dimensions: tuple[int, ...]
                        ) -> dict[str, Any]:
  return {"shape": shape, "broadcast_dimensions": dimensions, "sharding": None}


# Primitives that call a function of the user's.
CALL_BACK = frozenset({callback.pure_callback_p, callback.io_callback_p})
# Primitives for debugging: they see values, and nothing of derivatives.
LOOKS_ON = frozenset({debugging.debug_callback_p, debugging.debug_print_p})
