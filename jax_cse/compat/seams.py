"""Where JAX is patched."""

from collections.abc import Callable

import jax
from jax._src import api
from jax._src import core
from jax._src.interpreters import ad
from jax._src.interpreters import batching
from jax._src.interpreters import partial_eval as pe

from jax_cse.compat.settings import VERSION

# The patched methods: the one that every ordinary bind goes through, that of
# `Primitive.bind` and the traces' own alike; the one that stages an equation;
# and the three by which results leave a transformation.
BIND = (core.Primitive, "bind_with_trace")
STAGE = (pe.DynamicJaxprTrace, "emit_eqn")
# `shard_map` has a `bind_with_trace` of its own, and each trace its own way.
SHARD = (pe.DynamicJaxprTrace, "process_shard_map")
# 0.12.0: the linear calls and loops of a `vjp` are bound as nodes, which stage
# themselves in a jaxpr and are the primitive `prim` everywhere else.
NODES = () if VERSION < (0, 12) else ((ad.VJPNode, "bind_with_trace"),)
EXITS = (
    (ad.JVPTrace, "to_primal_tangent_pair"),
    (ad.LinearizeTrace, "to_primal_tangent_pair"),
    (batching.BatchTrace, "to_batch_info"),
)
# The functions that `vjp` and `linearize` are made of.
LINEARIZE, TRANSPOSE = (ad, "linearize"), (ad, "backward_pass3")
# Functions with rules of the user's under `vmap`.
BATCHED_JVP = (batching.BatchTrace, "process_custom_jvp_call")
BATCHED_VJP = (batching.BatchTrace, "process_custom_vjp_call")
# By which `grad`, `jacfwd`, `jacrev` and `hessian` take derivatives, and the
# names that users call.
REVERSE = ((api, "vjp"), (jax, "vjp"))
FORWARD = ((api, "_jvp"),)
LINEAR = ((jax, "linearize"),)
# Whether this JAX was patched to ask at these places (`patches/`).
IS_PATCHED = hasattr(core, "cse")


def ask(answer: Callable | None) -> None:
  """Makes a patched JAX ask, or go on without."""
  core.cse = answer


def note_toggle(value: bool | str) -> None:
  """Sets `core.enable_cse` of a patched JAX to the state in force."""
  if IS_PATCHED:
    core.enable_cse = core._followed = value
