"""What is never taken from a table, and why: named sets, a reason an entry.

A primitive that is not listed is merged when it is a function of its operands:
its abstract evaluation was declared free of effects, or its only effects are
those of jaxprs among its params, which are looked at one by one.

Limits: a primitive that declares itself free of effects and has some all the
same is believed, as JAX believes it under `jit`.
"""

from jax_cse import compat

_CALLBACK = "a callback fires once for every call"
_STATEFUL = "draws from a state that its operands do not show"
_BARRIER = "a barrier is there to keep computations apart"
_OPAQUE = "a foreign kernel is opaque"
_TOKEN = "a token stands for an effect"
_ALLOCATION = "every allocation is its own"
_ASYNC = "a start and its end belong together"
_GRID = "its value depends on the grid it runs in"
_STATE = "reads or writes a reference"
_RULE = "carries a rule of the user's that is not a value"

# Excluded everywhere.
NEVER: dict[str, str] = {
    "pure_callback": _CALLBACK,
    "io_callback": _CALLBACK,
    "debug_callback": _CALLBACK,
    "debug_print": _CALLBACK,
    "inspect_sharding": _CALLBACK,
    "rng_uniform": _STATEFUL,
    "rng_bit_generator": _STATEFUL,
    "optimization_barrier": _BARRIER,
    "remat2": "rematerialization computes again on purpose",
    "remat_opt": "rematerialization computes again on purpose",
    "tie": _BARRIER,
    "pin": _BARRIER,
    "unpin": _BARRIER,
    "ffi_call": _OPAQUE,
    "pallas_call": _OPAQUE,
    "mpmd_map": _OPAQUE,
    "core_map": _OPAQUE,
    "run_scoped": _OPAQUE,
    "cudnn_fusion": _OPAQUE,
    "create_token": _TOKEN,
    "after_all": _TOKEN,
    "empty": _ALLOCATION,
    "empty2": _ALLOCATION,
    "create_linear": _ALLOCATION,
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
    "custom_lin": _RULE,
    "call_hi_primitive_linearized": _RULE,
    "unreachable": "marks a point of the program, computes nothing",
    "stage": "lifts a value into a trace, computes nothing",
}

# Excluded where the result is a concrete array at once.
EAGER: dict[str, str] = {
    "copy": "asked for a buffer of its own",
    "device_put": "moves data rather than computing it",
}

# Evaluated equation by equation when eager: what runs inside must not be
# answered from outside, or the recomputation that it asks for is gone.
EVALUATED_BARRIERS = frozenset({"remat2", "remat_opt"})


def reason_against(primitive: compat.Primitive) -> str | None:
  """Why `primitive` is never merged, or None if it may be."""
  name = primitive.name
  if name in NEVER:
    return NEVER[name]
  if primitive.ref_primitive or primitive.ref_allocating:
    return _STATE
  if compat.effect_free(primitive) or primitive in compat.EFFECTS_IN_PARAMS:
    return None
  return "may have effects"
