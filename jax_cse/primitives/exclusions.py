"""The binds that are never taken from a table: named sets, a reason an entry.

A primitive that is not listed is merged when it is a function of its operands:
its abstract evaluation was declared free of effects, or its only effects are
those of jaxprs among its params. Those are looked into: a call, a loop or a
branch is excluded with the first excluded primitive inside it.

Limits: a primitive that wrongly declares itself free of effects is believed, as
JAX believes it under `jit`.
"""

from typing import Any
import weakref

from jax_cse import compat

CALLBACK = "a callback fires once for every call"
EFFECTS = "has effects"
_STATEFUL = "draws from a state that its operands do not show"
_BARRIER = "a barrier is there to keep computations apart"
_OPAQUE = "a foreign kernel is opaque"
_TOKEN = "a token stands for an effect"
_ALLOCATION = "every allocation is its own"
_ASYNC = "a start and its end belong together"
_GRID = "its value depends on the grid it runs in"
_STATE = "reads or writes a reference"
KEYS = "a check of key reuse counts how often a key is consumed"
RULE = "carries a rule of the user's that is not a value"

# Why a bind is made as if there were no table, whatever the primitive.
PARTIALLY_EVALUATED = "in partial evaluation, and is looked up when bound again"
LARGE = "large, and not in a nested derivative"
UNKNOWN_TRACE = "under a trace of a kind that is not known"
NO_NUMBER = "an operand has no number"
NO_KEY = "a param has no key"
COTANGENTS = "keeps the order in which cotangents add up"
CHECKED = "JAX is told to check every result"
FOLDED = "is evaluated while it is traced"
GUARDED = "JAX is told to guard host transfers"
COMPILED = "an eager jit runs compiled"
REFERENCES = "has references for operands"
DONATES = "donates its operands"
ENTERED_INSIDE = "the transformation began outside of enabled()"
LOWERED = "is part of how JAX lowers a primitive"
INSIDE_BARRIER = "is part of what a barrier computes again"

# Excluded everywhere.
NEVER: dict[str, str] = {
    "pure_callback": CALLBACK,
    "io_callback": CALLBACK,
    "debug_callback": CALLBACK,
    "debug_print": CALLBACK,
    "inspect_sharding": CALLBACK,
    "rng_uniform": _STATEFUL,
    "rng_bit_generator": _STATEFUL,
    "prng_random_bits": _STATEFUL,
    "prng_split": _STATEFUL,
    "prng_join": _STATEFUL,
    "random_bits": KEYS,
    "random_clone": KEYS,
    "random_fold_in": KEYS,
    "random_seed": KEYS,
    "random_split": KEYS,
    "random_unwrap": KEYS,
    "random_wrap": KEYS,
    "optimization_barrier": _BARRIER,
    "remat2": "rematerialization computes again on purpose",
    "remat_opt": "rematerialization computes again on purpose",
    "tie": _BARRIER,
    "pin": _BARRIER,
    "unpin": _BARRIER,
    "ffi_call": _OPAQUE,
    "pallas_call": _OPAQUE,
    "tpu_custom_call": _OPAQUE,
    "mosaic_gpu_p": _OPAQUE,
    "matmul_lhs_fifo": _OPAQUE,
    "mpmd_map": _OPAQUE,
    "core_map": _OPAQUE,
    "compute_on": _OPAQUE,   # since 0.10.1 it says that it may have effects
    "run_scoped": _OPAQUE,
    "cudnn_fusion": _OPAQUE,
    "create_token": _TOKEN,
    "after_all": _TOKEN,
    "empty": _ALLOCATION,
    "empty2": _ALLOCATION,
    "create_linear": _ALLOCATION,
    "get_barrier_semaphore": _ALLOCATION,
    "get_global": _ALLOCATION,
    "accum_grad_in_ref": _STATE,
    "semaphore_read": _STATE,
    "program_id": _GRID,
    "num_programs": _GRID,
    "all_gather_done": _ASYNC,
    "all_to_all_done": _ASYNC,
    "pbroadcast_done": _ASYNC,
    "ppermute_done": _ASYNC,
    "psum_done": _ASYNC,
    "reduce_scatter_done": _ASYNC,
    "custom_lin": RULE,
    "call_hi_primitive_linearized": RULE,
    "unreachable": "marks a point of the program, computes nothing",
    "stage": "lifts a value into a trace, computes nothing",
}

# Excluded where the result is at once a concrete array.
EAGER: dict[str, str] = {
    "copy": "asked for a buffer of its own",
    "device_put": "moves data rather than computing it",
}

# Evaluated equation by equation when eager: results from outside must not
# answer inside, or nothing is computed again.
EVALUATED_BARRIERS = frozenset({"remat2", "remat_opt"})


def reason_against(primitive: compat.Primitive) -> str | None:
  """Why `primitive` is never merged, or None if it may be."""
  if primitive in compat.CALLS_OF_FUNCTIONS:
    return RULE
  return _reason_in_itself(primitive)


def _reason_in_itself(primitive) -> str | None:
  name = primitive.name
  if name in NEVER:
    return NEVER[name]
  if primitive.ref_primitive or primitive.ref_allocating:
    return _STATE
  if compat.effect_free(primitive) or primitive in compat.CARRIES_JAXPRS:
    return None
  return "may have effects"


_inside: weakref.WeakKeyDictionary[compat.Jaxpr, str | None] = (
    weakref.WeakKeyDictionary())


def reason_inside(jaxpr: compat.Jaxpr) -> str | None:
  """Why a call of `jaxpr` is not merged, or None if it may be."""
  try:
    return _inside[jaxpr]
  except KeyError:
    reason = _inside[jaxpr] = _look_inside(jaxpr)
    return reason


def _look_inside(jaxpr):
  if not compat.benign(jaxpr.effects):
    return EFFECTS
  for eqn in jaxpr.eqns:
    if eqn.primitive not in compat.CALLS_OF_FUNCTIONS:
      reason = _reason_in_itself(eqn.primitive)
      if reason is not None:
        return reason
    for inner in compat.jaxprs_in_params(eqn.params):
      reason = reason_inside(inner)
      if reason is not None:
        return reason
  return None


def against_call(is_jit: bool, params: dict[str, Any]) -> str | None:
  """Why a primitive that carries jaxprs is not merged, or None if it may be."""
  if is_jit and True in params["donated_invars"]:
    return DONATES
  for jaxpr in compat.jaxprs_in_params(params):
    reason = reason_inside(jaxpr)
    if reason is not None:
      return reason
  return None
