"""Arrays, numbers and their types."""

from typing import Any

import jax
from jax._src import config
from jax._src import core
from jax._src import dtypes
from jax._src import source_info_util
from jax._src.array import ArrayImpl
from jax._src.interpreters import ad
from jax._src.lax import lax
from jax._src.lib import _jax
from jax._src.literals import TypedComplex, TypedFloat, TypedInt, TypedNdArray
from jax._src.sharding_impls import (
    NamedSharding, PartitionSpec, SingleDeviceSharding)
from jax._src.state.types import AbstractRef
import numpy as np

from jax_cse.compat.primitives import (
    broadcast_in_dim_p, mul, mul_p, neg_p, params_of_broadcast)
from jax_cse.compat.settings import VERSION
from jax_cse.compat.traces import (
    BatchTracer, DynamicJaxprTrace, DynamicJaxprTracer, JVPTracer, Tracer,
    Zero, eval_trace, stage)

# 0.10.2: `prng` is in the folder `random`.
if VERSION < (0, 10, 2):
  from jax._src import prng
else:
  from jax._src.random import prng

ShapedArray = core.ShapedArray
SCALARS = {bool: bool, int: int, float: float, complex: complex,
           TypedInt: int, TypedFloat: float, TypedComplex: complex}
HOST_ARRAYS = TypedNdArray
KEY_ARRAYS = prng.PRNGKeyArray
typeof, eval_jaxpr = core.typeof, core.eval_jaxpr


def shape_of(tracer) -> jax.ShapeDtypeStruct:
  """The type of an array, to trace a function with."""
  return jax.ShapeDtypeStruct(tracer.shape, tracer.dtype,
                              weak_type=tracer.weak_type)


def type_name(shape: jax.ShapeDtypeStruct) -> str:
  """A type as a jaxpr writes it, like `f32[2,3]`."""
  return core.ShapedArray(shape.shape, shape.dtype).str_short(
      short_dtypes=True)


def is_scalar(x) -> bool:
  """Whether a constant has no axes."""
  return type(x) in SCALARS or (
      isinstance(x, (np.ndarray, np.generic)) and x.ndim == 0)


def is_float(x) -> bool:
  """Whether a concrete scalar is a real floating-point number."""
  return dtypes.issubdtype(core.typeof(x).dtype, np.floating)


def is_number(dtype) -> bool:
  """Whether a dtype is of integers or floats, complex ones included."""
  return dtypes.issubdtype(dtype, np.number) and not is_extended(dtype)


def is_integer(dtype) -> bool:
  return dtypes.issubdtype(dtype, np.integer)


def is_inexact(dtype) -> bool:
  return dtypes.issubdtype(dtype, np.inexact)


def is_extended(dtype) -> bool:
  """Whether a dtype is JAX's own, as those of random keys are."""
  return isinstance(dtype, dtypes.ExtendedDType)


def is_complex(dtype) -> bool:
  return dtypes.issubdtype(dtype, np.complexfloating)


def real_dtype(dtype):
  """The dtype of the parts of complex numbers; any other as it is."""
  return finfo(dtype).dtype if is_inexact(dtype) else dtype


def has_range(dtype) -> bool:
  """Whether a dtype of floats has the exponents of float32, or more."""
  info = finfo(dtype)
  return (info.bits >= 16 and info.maxexp >= finfo(np.float32).maxexp
          and info.minexp <= finfo(np.float32).minexp)


def contains(wide, narrow) -> bool:
  """Whether `wide` has every number of `narrow`, both dtypes of floats."""
  a, b = finfo(wide), finfo(narrow)
  return (a.nmant >= b.nmant and a.maxexp >= b.maxexp and a.minexp <= b.minexp
          and is_complex(wide) >= is_complex(narrow))


def is_plain_type(aval: ShapedArray) -> bool:
  """Whether a type says nothing about placement."""
  # 0.11.1: a type may say how arrays lie in memory.
  return (aval.sharding.mesh.empty and aval.manual_axis_type.empty
          and aval.memory_space == core.MemorySpace.Device
          and (VERSION < (0, 11, 1) or aval.layout is core.AutoLayout))


def rounded(value, dtype):
  """A number of Python with the value that it has in a dtype."""
  with np.errstate(over="ignore"):   # infinite, as to XLA
    return np.asarray(value, dtype).item()


def weak_scalar(value, dtype):
  """A constant of a dtype that leaves the type of other operands as it is."""
  value = rounded(value, dtype)
  if is_complex(dtype):
    return TypedComplex(complex(value), dtype)
  if dtypes.issubdtype(dtype, np.integer):
    return TypedInt(value, dtype)
  return TypedFloat(float(value), dtype)


def constant_tracer(trace, scalar, aval, source, context):
  """A tracer for a scalar as a type has it; an array is an equation."""
  if not aval.weak_type:
    scalar = TypedNdArray(np.asarray(scalar, aval.dtype),
                          aval=ShapedArray((), aval.dtype))
  own = core.typeof(scalar)
  tracer = DynamicJaxprTracer(trace, own, core.Literal(scalar, own), source)
  if not aval.shape:
    return tracer
  out, = stage(trace, broadcast_in_dim_p, [tracer],
               params_of_broadcast(aval.shape, ()), [aval], context, source)
  return out


def multiple_tracer(trace, x, scalar, source, context):
  """A tracer for the product of one and a weakly typed scalar, by an
  equation."""
  if scalar == -1:
    out, = stage(trace, neg_p, [x], {}, [x.aval], context, source)
    return out
  factor = constant_tracer(trace, scalar, core.typeof(scalar), source, context)
  out, = stage(trace, mul_p, [x, factor], mul.keywords, [x.aval], context,
               source)
  return out


def is_zero_literal(literal) -> bool:
  """Whether a literal is the number 0, of either sign."""
  return literal.aval.shape == () and not np.any(np.asarray(literal.val))


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
  """The sharding that a value is committed to, and its shape there; None if it
  is committed to none, or if that is not known yet."""
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
  """A value as a result of a trace: a tracer of the trace, or an array.

  Args:
    x: the value; a number or a host array if it is a constant.
    trace: the trace.
    where: the `placement` of the result, if `x` itself has none.
  """
  aval = core.typeof(x)
  if isinstance(x, Tracer) or type(aval) is not ShapedArray or (
      aval.dtype == dtypes.float0):
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
  """A sharding of an array of one shape, for an array of another."""
  if shape == wanted or sharding.is_fully_replicated or not isinstance(
      sharding, NamedSharding):
    return sharding
  return NamedSharding(sharding.mesh, PartitionSpec())


def zero_tangent(x):
  """A tangent of zeros; of dtype `float0` where `x` has no derivative."""
  aval = core.typeof(x)
  # Only `x` tells the devices of its mesh.
  if is_inexact(aval.dtype) and not aval.sharding.mesh.empty:
    return lax.full_like(x, 0)
  return ad.instantiate_zeros(Zero(aval.to_tangent_aval()))


def full_like(x, number):
  """A number in the type of `x`, placement and manual axes included."""
  return lax.full_like(x, number)


def varying(x, aval):
  """A value that varies along the manual axes of `aval`, as a call takes it.

  A jaxpr may be called on values that vary along fewer axes than its operands.
  """
  have = core.typeof(x)
  if have is aval or type(have) is not ShapedArray is type(aval):
    return x
  return core.pvary(x, tuple(sorted(
      aval.manual_axis_type.varying - have.manual_axis_type.varying)))


def generator_of(dtype) -> str:
  """The name of the generator of a type of random keys."""
  return dtype._impl.name


def is_float0(x) -> bool:
  """Whether a value is a tangent of dtype `float0`."""
  return core.typeof(x).dtype == dtypes.float0


ShardingTypeError = core.ShardingTypeError


def is_reference(aval) -> bool:
  return isinstance(aval, AbstractRef)


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
  host = _on_host(x)
  return None if host is None else TypedNdArray(host, aval=aval)


def _on_host(x):
  """What `x` is on the host; None if JAX raises where it is read.

  It does if a computation failed, as a use of the value will, and if the array
  was made while tracebacks were off and they are on now.
  """
  try:
    with config.transfer_guard_device_to_host("allow"):
      return x._value
  except (_jax.JaxRuntimeError, ValueError):
    return None


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

  On CPUs the copy is ready on return, if `x` is. Otherwise an operation would
  wait for it, run later than in plain JAX, and might find that a host buffer
  among its operands was changed. The runtime copies on another thread, which
  takes 13 us for a scalar and 134 for 400 kB; by way of the host, on this one,
  it takes 3 and 10.
  """
  sharding = x.sharding
  devices = sharding._internal_device_list
  is_there = devices[0].platform == "cpu" and x.is_ready()
  if is_there and len(devices) == 1:
    host = _on_host(x)
    # As it lies on the device, by default.
    if host is not None and host.flags.c_contiguous:
      with config.transfer_guard_host_to_device("allow"):
        return _jax.batched_device_put(x.aval, sharding, [host], [devices[0]],
                                       x._committed, True)
  with config.transfer_guard_device_to_device("allow"):
    copy = _jax.batched_copy_array_to_devices_with_sharding(
        [x], [devices], [sharding], [_jax.ArrayCopySemantics.ALWAYS_COPY])[0]
  return copy.block_until_ready() if is_there else copy


def frozen_host_array(x, bits: bytes):
  """A read-only host array, with the type of `x` in JAX."""
  return TypedNdArray(np.ndarray(x.shape, x.dtype, bits), aval=core.typeof(x))
