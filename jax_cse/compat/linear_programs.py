"""The linear program of a `vjp`, and where its cotangents are accumulated."""

import os

import jax
from jax._src import dtypes
from jax._src import linear_util as lu
from jax._src.interpreters import ad
from jax._src.lax.control_flow import solves

from jax_cse.compat.settings import VERSION

# Primitives that are transposed as their user says, not as they compute, or not
# at all.
_TRANSPOSED_BY_RULE = frozenset({
    "custom_lin", "custom_transpose_call", "linear_call", "call_hi_primitive",
    "call_hi_primitive_linearized", "pure_callback", "io_callback"})
_JAX = os.path.dirname(jax.__file__) + os.sep


def has_transpose_of_its_own(eqn) -> bool:
  """Whether an equation is transposed by a rule that a user wrote; JAX wrote
  those of its own solvers."""
  if eqn.primitive is not solves.linear_solve_p:
    return eqn.primitive.name in _TRANSPOSED_BY_RULE
  rule = eqn.params["jaxprs"].transpose_solve
  return rule is None or _JAX not in (rule.jaxpr.debug_info.func_src_info or "")


def wanted_inputs(primals_in) -> list[int] | None:
  """The places of the inputs whose cotangents are wanted as values; None if
  one is to be added to a reference."""
  accumulators = [(i, x) for i, x in enumerate(primals_in)
                  if isinstance(x, ad.GradAccum)]
  if not all(isinstance(x, (ad.ValAccum, ad.NullAccum))
             for _, x in accumulators):
    return None
  return [i for i, x in accumulators
          if isinstance(x, ad.ValAccum) and x.aval.dtype != dtypes.float0]


def is_unknown(x) -> bool:
  """Whether an input of a linear program is one that it is linear in."""
  return isinstance(x, ad.GradAccum)


def accumulator(aval):
  """One of cotangents of a type, whose sum `freeze` returns."""
  return ad.ValAccum(aval)


def is_accumulator(x) -> bool:
  return isinstance(x, ad.ValAccum)


def with_inputs(jaxpr, inputs):
  """The same equations and results, of other inputs and no constants."""
  return jaxpr.replace(constvars=[], invars=inputs, debug_info=lu.DebugInfo(
      "linearize", "", None, None))


def forward_primitive(primitive):
  """What a primitive of a linear program is where nothing is transposed."""
  # 0.12.0: the linear calls and loops of a `vjp` are nodes.
  if VERSION >= (0, 12) and isinstance(primitive, ad.VJPNode):
    return primitive.prim
  return primitive


# 0.10.2: the operands of a function that JAX linearizes come as one tree.
PRIMALS = "primals" if VERSION < (0, 10, 2) else "primals_ft"


def operands_of(primals) -> list:
  """The flat operands of a function that JAX linearizes."""
  return list(primals if VERSION < (0, 10, 2) else primals[0])


def called_by(function, caller):
  """A function that JAX linearizes, whose operands and results pass through
  `caller(call)`, a function like `call`."""
  # 0.10.2: it is a function of trees, before a wrapped one of flat operands.
  if VERSION < (0, 10, 2):
    return lu.wrap_init(caller(function.call_wrapped),
                        debug_info=function.debug_info)
  return caller(function)
