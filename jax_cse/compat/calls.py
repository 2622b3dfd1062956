"""Primitives that are calls: their params, and rules that users wrote."""

from typing import Any

import jax
from jax._src import ad_checkpoint
from jax._src import core
from jax._src import custom_derivatives
from jax._src import linear_util as lu
from jax._src import pjit
from jax._src import shard_map
from jax._src import util
from jax._src.custom_derivatives import (
    custom_jvp_call_p, custom_vjp_call_p, linear_call_p)
from jax._src.interpreters import ad
from jax._src.lax import control_flow
from jax._src.lax import lax
from jax._src.lax import parallel
from jax._src.lax.control_flow import solves
from jax._src.sharding_impls import (
    UNSPECIFIED)

from jax_cse.compat.settings import VERSION

jit_p = pjit.jit_p
refuse_forward_mode = ad.raise_custom_vjp_error_on_jvp
# Primitives without effects of their own: they have those of the jaxprs among
# their params, and name axes.
CARRIES_JAXPRS = frozenset({
    jit_p, lax.composite_p, linear_call_p, control_flow.scan_p,
    control_flow.while_p, control_flow.cond_p,
    solves.linear_solve_p, parallel.psum_p, parallel.psum_invariant_p,
    parallel.pmax_p, parallel.pmin_p, parallel.all_gather_p,
    parallel.all_gather_invariant_p, parallel.all_to_all_p,
    parallel.reduce_scatter_p, parallel.axis_index_p, shard_map.shard_map_p,
})
# Primitives whose results are numbered by the jaxprs inside.
remat_p, linear_solve_p = ad_checkpoint.remat_p, solves.linear_solve_p
scan_p, while_p, cond_p = (
    control_flow.scan_p, control_flow.while_p, control_flow.cond_p)
# 0.11.0: `call` and `closed_call` are one, `eval_jaxpr`.
call_p, closed_call_p = core.call_p, core.closed_call_p
STRUCTURED = frozenset({
    jit_p, call_p, closed_call_p, custom_jvp_call_p, custom_vjp_call_p,
    remat_p, linear_solve_p, scan_p, while_p, cond_p, shard_map.shard_map_p,
})
# Primitives bound with Python functions as operands. In a jaxpr they carry
# jaxprs.
CALLS_OF_FUNCTIONS = frozenset({custom_jvp_call_p, custom_vjp_call_p})
# 0.11.0: a call is bound with its jaxpr, no longer with a function.
if VERSION < (0, 11):
  CALLS_OF_FUNCTIONS |= {call_p, closed_call_p}
else:
  CARRIES_JAXPRS |= {closed_call_p}
# The param `inline` of a `jit` that JAX inlines when it stages it out.
# 0.11.0: there are several ways to inline; `True` is one that stages a call.
INLINE = True if VERSION < (0, 11) else jax.Inline.JAX_EARLY


def is_inline_call(params: dict[str, Any]) -> bool:
  """Whether JAX itself inlines a `jit` when it stages it out."""
  return params["inline"] == INLINE and is_plainly_placed(params)


def is_plainly_placed(params: dict[str, Any]) -> bool:
  """Whether a `jit` says nothing about placement and compilation."""
  # `count` compares by identity first, in C: this runs for every `jnp` call.
  ins, outs = params["in_shardings"], params["out_shardings"]
  ways_in, ways_out = params["in_layouts"], params["out_layouts"]
  return (not params["compiler_options_kvs"]
          and ins.count(UNSPECIFIED) == len(ins)
          and outs.count(UNSPECIFIED) == len(outs)
          and ways_in.count(None) == len(ways_in)
          and ways_out.count(None) == len(ways_out))


def body_of_plain_call(primitive, params: dict[str, Any]):
  """The jaxpr of a call that is nothing but its jaxpr; None for others."""
  if primitive is jit_p:
    return params["jaxpr"] if is_plainly_placed(params) else None
  return params["call_jaxpr"] if primitive is closed_call_p else None


def placements_in(params: dict[str, Any]) -> list:
  """The sharding and layout of each operand of a `jit`; None if unspecified."""
  return [None if sharding is UNSPECIFIED and layout is None
          else (sharding, layout) for sharding, layout
          in zip(params["in_shardings"], params["in_layouts"])]


def placements_out(params: dict[str, Any]) -> list:
  """The same for each result."""
  return [None if sharding is UNSPECIFIED and layout is None
          else (sharding, layout) for sharding, layout
          in zip(params["out_shardings"], params["out_layouts"])]


def constants_and_carries(params: dict[str, Any]) -> tuple[int, int]:
  """The number of constants and the number of carries of a `scan`."""
  if VERSION < (0, 11):
    return params["num_consts"], params["num_carry"]
  consts, carries, _ = params["ft_in"].unpack()
  return len(consts), len(carries)


# JAX's wrapper of an argument that it passes to a rule as it is.
Unhashable = util.Unhashable


def has_rule_of_its_own(primitive) -> bool:
  """Whether a primitive calls a function with a rule that the user wrote."""
  return primitive in (custom_jvp_call_p, custom_vjp_call_p)


shard_map_p = shard_map.shard_map_p
# The param of a `shard_map` with the axes that it makes manual.
# 0.10.2: `shard_map` has `newly_manual_axes`, before `manual_axes`.
MANUAL_AXES = "manual_axes" if VERSION < (0, 10, 2) else "newly_manual_axes"
MAKES_REFERENCE = frozenset({core.ref_p})


def _generator(transformation):
  """The function that a transformation enters in `transforms`."""
  nothing = lu.DebugInfo("custom_jvp", "", (), None)
  wrapped, _ = transformation(
      lu.wrap_init(lambda: None, debug_info=nothing), *"1234")
  return wrapped.transforms[0][0]


flatten_jvp = _generator(custom_derivatives._flatten_jvp)


def forget_call(wrapped) -> None:
  """Lets a wrapped function be called once more, or be replaced by another."""
  for store in wrapped.stores:
    if store is not None:
      store.reset()


WrappedFun, custom_jvp = lu.WrappedFun, custom_derivatives.custom_jvp


def jvp_rule(primitive):
  """What derives a primitive in forward mode, or None."""
  return ad.primitive_jvps.get(primitive)


def rule_inside(fun):
  """The wrapped rule that a function of JAX's holds, or None.

  JAX makes such a function to stage a `custom_jvp` call out, to take it from a
  jaxpr again, and to leave out dead results. It holds the rule in its closure
  and nowhere else.
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
