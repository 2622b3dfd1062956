"""The one module that touches `jax._src`: every private name enters here.

Written for JAX 0.10.2, 0.11.2 and 0.12.0.1. Where one differs from those
before, the branch stands here under a comment with the version and the change,
and nowhere else.
"""

from collections.abc import Callable
import contextlib
import functools
import os
import sys
import sysconfig
import types
from typing import Any

import jax
from jax._src import ad_checkpoint
from jax._src import ad_util
from jax._src import compute_on
from jax._src import config
from jax._src import core
from jax._src import custom_derivatives
from jax._src import debugging
from jax._src import dispatch
from jax._src import dtypes
from jax._src import effects
from jax._src import mesh as mesh_lib
from jax._src import linear_util as lu
from jax._src import pjit
from jax._src import shard_map
from jax._src import source_info_util
from jax._src import traceback_util
from jax._src import util
from jax._src.array import ArrayImpl
from jax._src.custom_derivatives import (
    custom_jvp_call_p, custom_vjp_call_p, linear_call_p)
from jax._src.interpreters import ad
from jax._src.interpreters import batching
from jax._src.interpreters import partial_eval as pe
from jax._src.lax import control_flow
from jax._src.lax import convolution
from jax._src.lax import fft
from jax._src.lax import lax
from jax._src.lax import linalg
from jax._src.lax import parallel
from jax._src.lax import slicing
from jax._src.lax import windowed_reductions
from jax._src.lax.control_flow import solves
from jax._src.lib import _jax
from jax._src.literals import TypedComplex, TypedFloat, TypedInt, TypedNdArray
from jax._src.random.prng import PRNGKeyArray
from jax._src.sharding_impls import (
    NamedSharding, PartitionSpec, SingleDeviceSharding, UNSPECIFIED)
from jax._src.state import discharge
from jax._src.state.types import AbstractRef
import numpy as np

from jax_cse.active import here

_VERSION = jax.__version_info__
if _VERSION >= (0, 11):
  from jax._src import flattree

# Types that a bind sees.
Primitive = core.Primitive
Jaxpr = core.Jaxpr
Literal = core.Literal
ShapedArray = core.ShapedArray
Tracer = core.Tracer
Zero = ad.Zero
SCALARS = {bool: bool, int: int, float: float, complex: complex,
           TypedInt: int, TypedFloat: float, TypedComplex: complex}
HOST_ARRAYS = TypedNdArray
KEY_ARRAYS = PRNGKeyArray

# Traces and their tracers.
EvalTrace, eval_trace = core.EvalTrace, core.eval_trace
DynamicJaxprTrace, DynamicJaxprTracer = (
    pe.DynamicJaxprTrace, pe.DynamicJaxprTracer)
JVPTrace, JVPTracer = ad.JVPTrace, ad.JVPTracer
LinearizeTrace, LinearizeTracer = ad.LinearizeTrace, ad.LinearizeTracer
BatchTrace, BatchTracer = batching.BatchTrace, batching.BatchTracer

typeof, eval_jaxpr = core.typeof, core.eval_jaxpr
saved_residuals = ad_checkpoint.saved_residuals
trace_context: Callable[[], tuple] = config.trace_context
jaxprs_in_params = core.jaxprs_in_params

jit_p = pjit.jit_p
add_p, mul_p, max_p, min_p = lax.add_p, lax.mul_p, lax.max_p, lax.min_p
and_p, or_p, xor_p, eq_p, ne_p = (
    lax.and_p, lax.or_p, lax.xor_p, lax.eq_p, lax.ne_p)
div_p, select_n_p, transpose_p = lax.div_p, lax.select_n_p, lax.transpose_p
sub_p, neg_p, square_p, integer_pow_p = (
    lax.sub_p, lax.neg_p, lax.square_p, lax.integer_pow_p)
# 0.11.0: 1 - x * x is a primitive, which nothing binds before.
one_minus_square_p = (Primitive("one_minus_square") if _VERSION < (0, 11)
                      else lax.one_minus_square_p)
broadcast_in_dim_p, convert_element_type_p = (
    lax.broadcast_in_dim_p, lax.convert_element_type_p)
tanh_p = lax.tanh_p
dot_general_p, reduce_sum_p, reshape_p, squeeze_p = (
    lax.dot_general_p, lax.reduce_sum_p, lax.reshape_p, lax.squeeze_p)
concatenate_p, stack_p = lax.concatenate_p, lax.stack_p
pad_p, copy_p, rev_p, tile_p = lax.pad_p, lax.copy_p, lax.rev_p, lax.tile_p
real_p, imag_p, complex_p, conj_p = (
    lax.real_p, lax.imag_p, lax.complex_p, lax.conj_p)
slice_p, dynamic_slice_p, dynamic_update_slice_p = (
    slicing.slice_p, slicing.dynamic_slice_p, slicing.dynamic_update_slice_p)
gather_p, scatter_add_p = slicing.gather_p, slicing.scatter_add_p
conv_general_dilated_p = convolution.conv_general_dilated_p
cumsum_p, reduce_window_sum_p = (
    control_flow.cumsum_p, windowed_reductions.reduce_window_sum_p)
fft_p, triangular_solve_p = fft.fft_p, linalg.triangular_solve_p
add_any_p = ad_util.add_jaxvals_p
device_put_p = dispatch.device_put_p
optimization_barrier_p = lax.optimization_barrier_p
# What is left of a `custom_vjp` function in a linear map.
custom_lin_p = ad.custom_lin_p
refuse_forward_mode = ad.raise_custom_vjp_error_on_jvp
# Element by element, for operands of one shape or scalars.
ELEMENTWISE = frozenset({
    add_p, add_any_p, lax.sub_p, mul_p, div_p, lax.neg_p, max_p, min_p,
    lax.integer_pow_p, lax.convert_element_type_p, lax.square_p, lax.sqrt_p,
    lax.exp_p, lax.log_p, lax.sin_p, lax.cos_p, lax.tanh_p, lax.real_p,
    lax.imag_p, lax.conj_p, lax.abs_p, lax.sign_p, one_minus_square_p,
})
# What JAX batches by rules of its own, and is elementwise too.
_ELEMENTWISE_BESIDE = frozenset({
    add_any_p, convert_element_type_p, select_n_p, ad_checkpoint.name_p})
# Primitives that are what the jaxprs among their params are: their effects are
# those of the jaxprs and the axes they name.
CARRIES_JAXPRS = frozenset({
    jit_p, lax.composite_p, linear_call_p, control_flow.scan_p,
    control_flow.while_p, control_flow.cond_p,
    solves.linear_solve_p, parallel.psum_p, parallel.psum_invariant_p,
    parallel.pmax_p, parallel.pmin_p, parallel.all_gather_p,
    parallel.all_gather_invariant_p, parallel.all_to_all_p,
    parallel.reduce_scatter_p, parallel.axis_index_p,
})
# Those whose results are known by what is inside.
remat_p, linear_solve_p = ad_checkpoint.remat_p, solves.linear_solve_p
scan_p, while_p, cond_p = (
    control_flow.scan_p, control_flow.while_p, control_flow.cond_p)
# 0.11.0: `call` and `closed_call` are one, `eval_jaxpr`.
call_p, closed_call_p = core.call_p, core.closed_call_p
STRUCTURED = frozenset({
    jit_p, call_p, closed_call_p, custom_jvp_call_p, custom_vjp_call_p,
    remat_p, linear_solve_p, scan_p, while_p, cond_p,
})
# Primitives that are bound with functions of Python for operands. In a jaxpr
# they carry jaxprs.
CALLS_OF_FUNCTIONS = frozenset({custom_jvp_call_p, custom_vjp_call_p})
# 0.11.0: a call is bound with its jaxpr, no longer with a function.
if _VERSION < (0, 11):
  CALLS_OF_FUNCTIONS |= {call_p, closed_call_p}
else:
  CARRIES_JAXPRS |= {closed_call_p}

# 0.11.0: `compute_on` wraps a function, and is no longer a context.
computing_on = (compute_on.compute_on if _VERSION < (0, 11)
                else compute_on.extend_compute_type)


class UserContext:
  """A value that is part of the key of every trace and compilation cache."""

  def __init__(self):
    setting = config.make_user_context(None)._obj
    # On this thread; what `get` returns may be `set` again.
    self.get: Callable[[], Any] = setting.get_local
    self.set: Callable[[Any], None] = setting.set_local
    self.set_global: Callable[[Any], None] = setting.set_global


user_context = UserContext()


def is_elementwise(primitive: Primitive) -> bool:
  """Whether each element of the result follows from the elements at its place,
  of operands that have one shape or are scalars."""
  batcher = batching.fancy_primitive_batchers.get(primitive)
  return primitive in _ELEMENTWISE_BESIDE or (
      isinstance(batcher, functools.partial) and batcher.func in (
          batching.vectorized_batcher, batching.broadcast_batcher))


def runs_compiled(primitive: Primitive) -> bool:
  """Whether an eager bind is a call of what JAX compiles, and no more."""
  impl = primitive.impl
  return (type(primitive) is Primitive
          and not {"is_high", "bind_with_trace"} & vars(primitive).keys()
          and isinstance(impl, functools.partial) and not impl.keywords
          and impl.func is dispatch.apply_primitive
          and impl.args == (primitive,))


def compiled(primitive: Primitive, params: dict[str, Any]) -> Callable:
  """What JAX compiles for an eager application of one primitive."""
  return plainly(
      lambda: dispatch.xla_primitive_callable(primitive, **params), ())


def plainly(run: Callable, args):
  """Runs what JAX compiled for one primitive as it runs without CSE.

  There is nothing to merge in one primitive, so what was compiled outside of
  CSE serves inside, and no bind of a compilation is looked up.
  """
  if config.disable_jit.value:
    with config.disable_jit(False):
      return plainly(run, args)
  cell = here.cell
  memo, before = cell.memo, user_context.get()
  try:
    cell.memo = None
    user_context.set(None)
    # 0.11.0: while something is bound no trace is current. It was the one that
    # evaluates, which now makes itself current.
    if _VERSION < (0, 11):
      return run(*args)
    with core.set_current_trace(core.eval_trace):
      return run(*args)
  finally:
    user_context.set(before)
    cell.memo = memo


# Makes frames of this package JAX's own, not the user's.
traceback_util.register_exclusion(os.path.dirname(__file__) + os.sep)
source_info_util.register_exclusion(os.path.dirname(__file__) + os.sep)


def effect_free(primitive: Primitive) -> bool:
  """Whether the abstract evaluation was declared to have no effects."""
  name = getattr(primitive.abstract_eval, "__qualname__", "")
  return name == core._effect_free_abstract_eval(None).__qualname__


def benign(effects) -> bool:
  """Whether `effects` say no more than which axes are named."""
  return all(isinstance(e, core.NamedAxisEffect) for e in effects)


def checks_every_result() -> bool:
  """Whether JAX is told to look at the result of every eager operation."""
  return (config.debug_nans.value or config.debug_infs.value
          or config.debug_key_reuse.value)


def checks_key_reuse() -> bool:
  """Whether JAX is told to count how often a random key is consumed."""
  return config.debug_key_reuse.value


def outside_transformations() -> bool:
  """Whether what is bound now is evaluated at once, by no transformation."""
  # 0.11.0: none is current while something is bound.
  return core.trace_ctx.trace in (None, core.eval_trace)


def is_staging() -> bool:
  """Whether what is bound now is an equation of a jaxpr."""
  return isinstance(core.trace_ctx.trace, DynamicJaxprTrace)


def shape_of(tracer) -> jax.ShapeDtypeStruct:
  """A stand-in for an array, to trace a function with again."""
  return jax.ShapeDtypeStruct(tracer.shape, tracer.dtype,
                              weak_type=tracer.weak_type)


def type_name(shape: jax.ShapeDtypeStruct) -> str:
  """As a jaxpr writes it, like `f32[2,3]`."""
  return core.ShapedArray(shape.shape, shape.dtype).str_short(
      short_dtypes=True)


def has_64_bits() -> bool:
  """Whether numbers have 64 bits where JAX is not told how many."""
  return config.enable_x64.value


def folds_constants() -> bool:
  """Whether JAX is told to evaluate what depends on no tracer at once."""
  return config.eager_constant_folding.value


def guards_host_transfers() -> bool:
  """Whether JAX is told to say something when a host value is transferred."""
  return config.transfer_guard_host_to_device.value not in (None, "allow")


_INLINE_DEFAULTS = (("in_shardings", UNSPECIFIED),
                    ("out_shardings", UNSPECIFIED),
                    ("in_layouts", None), ("out_layouts", None))
# What `jit` is given as `inline` to be inlined when it is staged out.
# 0.11.0: there are several ways to inline; `True` is one that stages a call.
INLINE = True if _VERSION < (0, 11) else jax.Inline.JAX_EARLY


def is_inline_call(params: dict[str, Any]) -> bool:
  """Whether a `jit` is one that JAX itself inlines when it stages it out."""
  return params["inline"] == INLINE and is_plainly_placed(params)


def is_plainly_placed(params: dict[str, Any]) -> bool:
  """Whether a `jit` says nothing about placement and compilation."""
  # `count` compares by identity first, in C: this runs for every `jnp` call.
  return not params["compiler_options_kvs"] and all(
      params[name].count(default) == len(params[name])
      for name, default in _INLINE_DEFAULTS)


def has_mesh() -> bool:
  """Whether a mesh is set, which is then a part of every type."""
  return not mesh_lib.get_abstract_mesh().empty


def placements_in(params: dict[str, Any]) -> list:
  """What a `jit` says about the placement of each operand; None: nothing."""
  return [None if sharding is UNSPECIFIED and layout is None
          else (sharding, layout) for sharding, layout
          in zip(params["in_shardings"], params["in_layouts"])]


def placements_out(params: dict[str, Any]) -> list:
  """The same for each result."""
  return [None if sharding is UNSPECIFIED and layout is None
          else (sharding, layout) for sharding, layout
          in zip(params["out_shardings"], params["out_layouts"])]


def current_source():
  """Where the user's program is: traceback and name stack."""
  return source_info_util.current()


def line_of(eqn) -> str:
  """The line of the user's program that an equation comes from."""
  return source_info_util.summarize(eqn.source_info)


def user_frame(eqn) -> tuple[str, int, str] | None:
  """File, line and function of the user's that an equation comes from."""
  frame = source_info_util.user_frame(eqn.source_info.traceback)
  return frame and (frame.file_name, frame.start_line, frame.function_name)


def calling_frame() -> tuple[str, int, str] | None:
  """File, line and function of the user's that called what runs now.

  What is installed is passed over, unless there is nothing else. (What JAX
  knows of the stack ends where the function that it traces begins.)
  """
  frame: types.FrameType | None = sys._getframe()
  found = None
  installed = tuple(sysconfig.get_paths()[x] for x in ("purelib", "platlib"))
  while frame is not None:
    code = frame.f_code
    if source_info_util.is_user_filename(code.co_filename):
      place = code.co_filename, frame.f_lineno, code.co_name
      found = found or place
      if not code.co_filename.startswith(installed):
        return place
    frame = frame.f_back
  return found


def current_eqn_context():
  """What JAX stamps on an equation that is bound now; interned."""
  return core.current_jaxpr_eqn_context()


def literal_tracer(trace, literal, source):
  """A tracer for a literal that stands in a jaxpr."""
  return DynamicJaxprTracer(trace, literal.aval, literal, source)


def emit(trace, eqn, tracers, source, narrowed=None):
  """Stages an equation of a call that `source` makes, on `tracers`.

  Constants are folded and the equation keeps its context, as when JAX inlines.
  If it was narrowed, that is what `tracers` are the operands of.
  """
  if narrowed is not None:
    eqn = eqn.replace(outvars=[eqn.outvars[i] for i in narrowed.results],
                      params=narrowed.params, effects=narrowed.effects)
  inner = eqn.source_info.name_stack
  if inner:
    source = source.replace(name_stack=source.name_stack + inner)
  out_avals = [v.aval for v in eqn.outvars]
  folded = pe.try_constant_folding(eqn.primitive, tracers, eqn.params,
                                   out_avals)
  if folded is not None:
    return [trace.new_const(c, source_info=source, aval=aval)
            for c, aval in zip(folded, out_avals)]
  return trace.emit_eqn(tracers, out_avals, eqn.primitive, eqn.params,
                        eqn.effects, source, eqn.ctx)


def evaluate_inline(trace, closed_jaxpr, args):
  """Binds the equations of `closed_jaxpr` one by one under `trace`."""
  with core.set_current_trace(trace):
    return core.eval_jaxpr(closed_jaxpr.jaxpr, closed_jaxpr.consts, *args,
                           propagate_source_info=False)


# 0.11.0: there is one class of jaxprs, which have constants or none.
ClosedJaxpr: Any = core.ClosedJaxpr if _VERSION < (0, 11) else core.Jaxpr


def closed(jaxpr, consts):
  """A jaxpr with its constants; the same if it has them."""
  if ClosedJaxpr is not Jaxpr:
    return ClosedJaxpr(jaxpr, consts)
  return jaxpr if consts is jaxpr.consts or not (
      consts or jaxpr.consts) else jaxpr.with_consts(consts)


# What JAX's dead-code elimination is made of.
Var, dce_jaxpr = core.Var, pe.dce_jaxpr


def drop_dead(eqn, keep: list[bool]):
  """Drops results that are not kept, by JAX's rule for the primitive.

  Returns which operands are read then, and the equation or None.
  """
  rule = pe.dce_rules.get(eqn.primitive, pe._default_dce_rule)
  # 0.12.0: a rule is told which of the operands, if they are references, are
  # read afterwards.
  alive = () if _VERSION < (0, 12) else ([True] * len(eqn.invars),)
  used, new = rule(keep, *alive, eqn)
  if _VERSION < (0, 11) or new is None or new is eqn:
    return used, new
  # 0.11.0: a `scan` tells its operands and results by trees, which remember
  # what was dropped, so they would grow as the operands do without CSE, and
  # look otherwise each time even if nothing is dropped. 0.12.0: if nothing is,
  # rules return the equation itself.
  if _VERSION < (0, 12) and _size(new) == _size(eqn):
    return used, eqn
  if eqn.primitive is scan_p:
    new = new.replace(params=_forget_dropped(new.params))
  return used, new


def _size(eqn) -> int:
  """How much there is to drop, inside too."""
  return 1 + len(eqn.invars) + len(eqn.outvars) + sum(
      map(_size, (e for j in jaxprs_in_params(eqn.params) for e in j.eqns)))


def _forget_dropped(params):
  plain = lambda tree: flattree.pack(tuple(
      flattree.nones(len(kind)) for kind in tree.unpack()))
  return params | {name: plain(params[name]) for name in ("ft_in", "ft_out")}


def constants_and_carries(params: dict[str, Any]) -> tuple[int, int]:
  """How many of the operands of a `scan` are constants, and carries."""
  if _VERSION < (0, 11):
    return params["num_consts"], params["num_carry"]
  consts, carries, _ = params["ft_in"].unpack()
  return len(consts), len(carries)


new_jaxpr_eqn = core.new_jaxpr_eqn
join_effects = core.join_effects
JaxprInputEffect = effects.JaxprInputEffect


def is_scalar(x) -> bool:
  """Whether a constant has no axes."""
  return type(x) in SCALARS or (
      isinstance(x, (np.ndarray, np.generic)) and x.ndim == 0)


def is_float(x) -> bool:
  """Whether a concrete scalar is a real floating-point number."""
  return dtypes.issubdtype(core.typeof(x).dtype, np.floating)


def is_number(dtype) -> bool:
  """Whether a dtype is of integers or floats, complex ones included."""
  return dtypes.issubdtype(dtype, np.number) and not isinstance(
      dtype, dtypes.ExtendedDType)


def is_integer(dtype) -> bool:
  return dtypes.issubdtype(dtype, np.integer)


def is_inexact(dtype) -> bool:
  return dtypes.issubdtype(dtype, np.inexact)


def real_dtype(dtype):
  """The dtype of the parts of complex numbers; any other as it is."""
  return finfo(dtype).dtype if is_inexact(dtype) else dtype


def has_range(dtype) -> bool:
  """Whether a dtype of floats has the exponents of float32, or more."""
  info = finfo(dtype)
  return (info.bits >= 16 and info.maxexp >= finfo(np.float32).maxexp
          and info.minexp <= finfo(np.float32).minexp)


def contains(wide, narrow) -> bool:
  """Whether every number of a dtype of floats is one of another."""
  a, b = finfo(wide), finfo(narrow)
  is_complex = lambda dtype: dtypes.issubdtype(dtype, np.complexfloating)
  return (a.nmant >= b.nmant and a.maxexp >= b.maxexp and a.minexp <= b.minexp
          and is_complex(wide) >= is_complex(narrow))


def is_plain_type(aval: ShapedArray) -> bool:
  """Whether a type says nothing about placement."""
  # 0.11.0: it may say how arrays lie in memory.
  return (aval.sharding.mesh.empty and aval.manual_axis_type.empty
          and aval.memory_space == core.MemorySpace.Device
          and (_VERSION < (0, 11) or aval.layout is core.AutoLayout))


def rounded(value, dtype):
  """A number of Python with the value that it has in a dtype."""
  return np.asarray(value, dtype).item()


def weak_scalar(value, dtype):
  """A constant of a dtype that leaves the type of what it meets as it is."""
  value = rounded(value, dtype)
  if dtypes.issubdtype(dtype, np.complexfloating):
    return TypedComplex(complex(value), dtype)
  if dtypes.issubdtype(dtype, np.integer):
    return TypedInt(value, dtype)
  return TypedFloat(float(value), dtype)


finfo, iinfo = dtypes.finfo, dtypes.iinfo


def convert(x, aval):
  """A value with the shape and the weak type of `aval`, of the same dtype."""
  if type(aval) is not ShapedArray:
    return x
  if type(x) in SCALARS and not aval.weak_type:
    x = TypedNdArray(np.asarray(x, aval.dtype),
                     aval=ShapedArray((), aval.dtype))
  have = core.typeof(x)
  if have.shape != aval.shape:
    axes = range(len(aval.shape)) if have.shape else ()
    x = broadcast_in_dim_p.bind(x, shape=aval.shape, sharding=None,
                                broadcast_dimensions=tuple(axes))
  if have.weak_type != aval.weak_type:
    x = lax._convert_element_type(x, aval.dtype, aval.weak_type)
  return x


def placement(x):
  """Where a value must be, and of which shape it is there; None if nobody said,
  or if it is not known yet."""
  while isinstance(x, (JVPTracer, BatchTracer)):
    x = x.primal if type(x) is JVPTracer else x.val
  if not isinstance(x, ArrayImpl) or not x.committed:
    return None
  return x.sharding, x.shape


def destinations(params) -> list:
  """The sharding of each result of a `device_put`; None if it stays."""
  return [SingleDeviceSharding(x) if isinstance(x, jax.Device) else
          x if isinstance(x, jax.sharding.Sharding) else None
          for x in params["devices"]]


def as_result(x, trace, where):
  """A value as what a trace gives for it: a tracer of it, or an array.

  Args:
    x: the value; a number or a host array if it is a constant.
    trace: whose result it is.
    where: a placement that it has, unless it has one by itself.
  """
  aval = core.typeof(x)
  if isinstance(x, Tracer) or aval.dtype == dtypes.float0:
    return x
  if type(trace) is DynamicJaxprTrace:
    return trace.to_jaxpr_tracer(dtypes.canonicalize_value(x),
                                 source_info_util.current())
  with core.set_current_trace(eval_trace):
    if not isinstance(x, jax.Array):
      x = lax._convert_element_type(x, aval.dtype, aval.weak_type)
    if where is not None and not x.committed:
      x = jax.device_put(x, _for_shape(*where, aval.shape))
  return x


def _for_shape(sharding, shape, wanted):
  """A sharding of an array of a shape, for one of another."""
  if shape == wanted or sharding.is_fully_replicated or not isinstance(
      sharding, NamedSharding):
    return sharding
  return NamedSharding(sharding.mesh, PartitionSpec())


def zero_tangent(x):
  """A tangent of zeros, of dtype `float0` for what is not differentiated."""
  aval = core.typeof(x)
  # Of a mesh whose devices are known from `x` alone.
  if is_inexact(aval.dtype) and not aval.sharding.mesh.empty:
    return lax.full_like(x, 0)
  return ad.instantiate_zeros(Zero(aval.to_tangent_aval()))


def ones_like(x):
  """Ones of the type of `x`, placement and manual axes included."""
  return lax.full_like(x, 1)


def trace_to_jaxpr(fun, avals, debug_info):
  """The closed jaxpr of a function of flat operands."""
  jaxpr, _, consts = pe.trace_to_jaxpr_dynamic(
      lu.wrap_init(fun, debug_info=debug_info), avals)
  return closed(jaxpr, consts)


mul = functools.partial(mul_p.bind, out_dtype=None)

Trace = core.Trace
take_current_trace, set_current_trace = (
    core.take_current_trace, core.set_current_trace)
to_concrete_value = core.to_concrete_value


@contextlib.contextmanager
def at(context, source):
  """What is bound inside is bound in a context and at a place in the source."""
  with (source_info_util.user_context(source.traceback,
                                      name_stack=source.name_stack),
        context.manager):
    yield


def source_of(eqn):
  """Where an equation was, inside of where it is evaluated."""
  source = eqn.source_info
  return source.replace(
      name_stack=source_info_util.current_name_stack() + source.name_stack)


# How JAX wraps an argument that a rule is given as it is.
Unhashable = util.Unhashable


def has_rule_of_its_own(primitive) -> bool:
  """Whether it is a call of a function that the user wrote a rule for."""
  return primitive in (custom_jvp_call_p, custom_vjp_call_p)


def jvp_of_equation(eqn):
  """A closed jaxpr of the operands of an equation, and of the tangents of those
  that have one, with its results, and with those of its `jvp`."""
  avals = [v.aval for v in eqn.invars]
  moving = [i for i, aval in enumerate(avals) if is_inexact(aval.dtype)]

  def apply(*operands):
    results = eqn.primitive.bind(
        *operands, **eqn.primitive.get_bind_params(eqn.params))
    return list(results) if eqn.primitive.multiple_results else [results]

  def both(operands, tangents):
    def of_moving(*primals):
      xs = list(operands)
      for i, x in zip(moving, primals):
        xs[i] = x
      return apply(*xs)
    again, _ = jax.jvp(of_moving, [operands[i] for i in moving], tangents)
    return [*apply(*operands), *again]

  return jax.make_jaxpr(both)(avals, [avals[i] for i in moving])


def bind_later(primitive, operands, params, context, source):
  """Binds at the current trace what was bound elsewhere with this context."""
  with at(context, source):
    results = primitive.bind(*operands, **primitive.get_bind_params(params))
  return list(results) if primitive.multiple_results else [results]


def stage(trace, primitive, operands, params, out_avals, context, source):
  """Stages an equation as it is, which has no effects."""
  tracers = [trace.to_jaxpr_tracer(x, source) for x in operands]
  return trace.emit_eqn(tracers, out_avals, primitive, params, no_effects,
                        source, context)


def varying(x, aval):
  """A value as a call takes it, that varies along the manual axes of `aval`.

  A jaxpr may be called on what varies along fewer than its operand says.
  """
  have = core.typeof(x)
  if have is aval or type(have) is not ShapedArray is type(aval):
    return x
  return core.pvary(x, tuple(sorted(
      aval.manual_axis_type.varying - have.manual_axis_type.varying)))


def abstract_evaluation(primitive, avals, params):
  """Types of the results and effects."""
  out, effects = primitive.abstract_eval(*avals, **params)
  return (list(out) if primitive.multiple_results else [out]), effects


def params_of_sum(axes: tuple[int, ...]) -> dict[str, Any]:
  return {"axes": axes, "out_sharding": None}


def params_of_broadcast(shape: tuple[int, ...], dimensions: tuple[int, ...]
                        ) -> dict[str, Any]:
  return {"shape": shape, "broadcast_dimensions": dimensions, "sharding": None}


# What is raised where Python wants to know a value that is not known yet.
WANTS_VALUES = (
    jax.errors.ConcretizationTypeError, jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError)
# What looks at values only: of a derivative it sees nothing.
LOOKS_ON = frozenset({debugging.debug_callback_p, debugging.debug_print_p})


def looks_on(effect) -> bool:
  """Whether an effect is that of a debug callback."""
  return isinstance(
      effect, (debugging.DebugEffect, debugging.OrderedDebugEffect))


def generator_of(dtype) -> str:
  """The name of the generator of a type of random keys."""
  return dtype._impl.name


def is_float0(x) -> bool:
  """Whether a value is a tangent of what is not differentiated."""
  return core.typeof(x).dtype == dtypes.float0


ShardingTypeError = core.ShardingTypeError
shard_map_p, no_effects = shard_map.shard_map_p, core.no_effects
MAKES_REFERENCE = frozenset({core.ref_p})


def is_reference(aval) -> bool:
  return isinstance(aval, AbstractRef)


def without_references(primitive, params: dict[str, Any], avals, which):
  """One application of a primitive, as a closed jaxpr in which some operands
  are values in place of the references that they are.

  It takes what these hold, and returns after the results what they hold then,
  but of those that are gone. A result that is a reference is what it holds.
  """
  def apply(*operands):
    results = primitive.bind(*operands, **primitive.get_bind_params(params))
    return results if primitive.multiple_results else [results]

  nothing = lu.DebugInfo("references", "", None, None)
  return discharge.discharge_state(trace_to_jaxpr(apply, avals, nothing),
                                   should_discharge=which)


def stages(trace) -> bool:
  """Whether what is bound at a trace ends in a jaxpr, so no value of its is
  known before that runs."""
  while trace is not None and not isinstance(trace, DynamicJaxprTrace):
    trace = getattr(trace, "parent_trace", None)
  return trace is not None


def host_address(x) -> tuple:
  """Where a host array lies in memory, and how."""
  interface = x.__array_interface__
  return interface["data"][0], interface["strides"]


def read_scalar(x):
  """A host array with the bits and type of a concrete scalar array.

  None if it is not simply on a device of this process, or has no value.
  """
  if type(x) is not ArrayImpl or x.is_deleted():
    return None
  aval = x.aval
  if (not x.is_fully_addressable or not x.is_fully_replicated
      or not aval.sharding.mesh.empty
      or aval.memory_space != core.MemorySpace.Device):
    return None
  try:
    with config.transfer_guard_device_to_host("allow"):
      return TypedNdArray(x._value, aval=aval)
  except _jax.JaxRuntimeError:
    return None  # a computation that failed; whoever uses the value will see


_nbytes_of_type: dict[int, tuple[Any, int]] = {}


def nbytes(x) -> int:
  """`x.nbytes`, without computing it anew for every array of one type."""
  aval = x.aval
  known = _nbytes_of_type.get(id(aval))
  if known is None:
    if len(_nbytes_of_type) >= 4096:
      _nbytes_of_type.clear()
    known = _nbytes_of_type[id(aval)] = (aval, x.nbytes)
  return known[1]


def copy_array(x):
  """A new array with the bits, type, placement and commitment of `x`.

  On CPUs it is there when this returns, if `x` is. What waits for an operand
  runs later than it would in plain JAX, and may find that a host buffer among
  the others was changed meanwhile. The runtime copies on another thread, which
  takes 13 us for a scalar and 134 for 400 kB; by way of the host, on this one,
  it takes 3 and 10.
  """
  sharding = x.sharding
  devices = sharding._internal_device_list
  is_there = devices[0].platform == "cpu" and x.is_ready()
  if is_there and len(devices) == 1:
    with (config.transfer_guard_device_to_host("allow"),
          config.transfer_guard_host_to_device("allow")):
      host = x._value
      if host.flags.c_contiguous:   # as it lies on the device, by default
        return _jax.batched_device_put(x.aval, sharding, [host], [devices[0]],
                                       x._committed, True)
  with config.transfer_guard_device_to_device("allow"):
    copy = _jax.batched_copy_array_to_devices_with_sharding(
        [x], [devices], [sharding], [_jax.ArrayCopySemantics.ALWAYS_COPY])[0]
  return copy.block_until_ready() if is_there else copy


def constant_behind(tracer):
  """The value of a `DynamicJaxprTracer` that stands for a constant, or None.

  A literal answers with its value; a constvar with what it closes over.
  """
  return tracer._trace.frame.constvar_to_val.get(tracer.val)


def tracer_of_variable(trace, var, eqn):
  """A tracer for a variable that a live equation of `trace` computes."""
  return trace.var_to_tracer(var, eqn.source_info, eqn)


def frozen_host_array(x, bits: bytes):
  """A host array that nobody can write to, with the type of `x` in JAX."""
  return TypedNdArray(np.ndarray(x.shape, x.dtype, bits), aval=core.typeof(x))


def _generator(transformation):
  """The function that stands in the `transforms` of what it transformed."""
  nothing = lu.DebugInfo("custom_jvp", "", (), None)
  wrapped, _ = transformation(
      lu.wrap_init(lambda: None, debug_info=nothing), *"1234")
  return wrapped.transforms[0][0]


flatten_jvp = _generator(custom_derivatives._flatten_jvp)


def forget_call(wrapped) -> None:
  """Lets a wrapped function be called once more, or another in its stead."""
  for store in wrapped.stores:
    if store is not None:
      store.reset()


def rule_inside(fun):
  """The wrapped rule of which JAX made a function of its own, or None.

  It makes one to stage a `custom_jvp` call out, one to take it from a jaxpr
  again, and one to leave out what nobody reads. They hold the rule in their
  closures and nowhere else.
  """
  for maker, name in (("_memoize", "fn"), ("process_custom_jvp_call", "jvp"),
                      ("lift_jvp", "jvp_jaxpr_fun"),
                      ("_custom_jvp_call_dce", "jvp_jaxpr_fun")):
    if f".{maker}.<locals>." in f".{getattr(fun, '__qualname__', '')}":
      free = dict(zip(fun.__code__.co_freevars, fun.__closure__))
      if "used_outs" in free and not all(free["used_outs"].cell_contents):
        return None   # a rule for some of the results
      fun = free[name].cell_contents
      if isinstance(fun, lu.WrappedFun):
        return fun
  return None


# What is patched: the one place through which every ordinary bind goes,
# `Primitive.bind` and the traces' own calls alike; where an equation is staged;
# and the three through which results leave a transformation.
BIND = (core.Primitive, "bind_with_trace")
STAGE = (pe.DynamicJaxprTrace, "emit_eqn")
# 0.12.0: the linear calls and loops of a `vjp` are bound as nodes, which stage
# themselves in a jaxpr and are what they stand for, `prim`, everywhere else.
NODES = () if _VERSION < (0, 12) else ((ad.VJPNode, "bind_with_trace"),)
EXITS = (
    (ad.JVPTrace, "to_primal_tangent_pair"),
    (ad.LinearizeTrace, "to_primal_tangent_pair"),
    (batching.BatchTrace, "to_batch_info"),
)


# Whether this JAX was patched to ask what to do at these places (`patches/`).
IS_PATCHED = hasattr(core, "cse")


def ask(answer: Callable | None) -> None:
  """Makes a patched JAX ask, or go on without."""
  core.cse = answer


def note_toggle(value: bool | str) -> None:
  """Makes `core.enable_cse` of a patched JAX say what holds already."""
  if IS_PATCHED:
    core.enable_cse = core._followed = value
