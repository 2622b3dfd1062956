"""JAX's version and configuration, and the keys of its trace caches.

Where a version differs from those before, the branch stands under a comment
with the version and the change, here and in the files beside.
"""

from collections.abc import Callable
import itertools
from typing import Any

import jax
from jax._src import compute_on
from jax._src import config
from jax._src import core
from jax._src import debugging
from jax._src import effects
from jax._src import mesh as mesh_lib
from jax._src import util
from jax._src.interpreters import ad
from jax._src.lax import lax
from jax._src.lib.mlir import ir

# The release whose internals this JAX has, by a name that each brought. The
# number of a JAX between two releases does not say which of them it has.
VERSION = ((0, 10), *[version for version, _, _ in itertools.takewhile(
    lambda brought: hasattr(*brought[1:]), (
        ((0, 10, 1), lax, "stack_p"),
        ((0, 10, 2), core, "current_jaxpr_eqn_context"),
        ((0, 11), jax, "Inline"),
        ((0, 11, 1), core, "AutoLayout"),
        ((0, 11, 2), lax, "one_minus_square_p"),
        ((0, 12), ad, "VJPNode")))])[-1]

trace_context: Callable[[], tuple] = config.trace_context
# 0.11.1: `compute_on` wraps a function, and is no longer a context.
computing_on = (compute_on.compute_on if VERSION < (0, 11, 1)
                else compute_on.extend_compute_type)


class UserContext:
  """A value that is part of the key of every trace and compilation cache."""

  def __init__(self):
    setting = config.make_user_context(None)._obj
    # In force here; of this thread or of the process.
    self.value: Callable[[], Any] = lambda: setting.value
    # On this thread; a value from `get` may be `set` again.
    self.get: Callable[[], Any] = setting.get_local
    self.set: Callable[[Any], None] = setting.set_local
    self.set_global: Callable[[Any], None] = setting.set_global


user_context = UserContext()


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


def watches_tracing() -> bool:
  """Whether JAX is told to do more than tracing while it traces."""
  return config.debug_key_reuse.value or config.eager_constant_folding.value


def is_lowering() -> bool:
  """Whether JAX lowers a program on this thread: rules trace functions then,
  with a place to insert operations set."""
  try:
    ir.InsertionPoint.current   # noqa: B018
  except ValueError:
    return False
  return True


def has_64_bits() -> bool:
  """Whether numbers have 64 bits where JAX is not told how many."""
  return config.enable_x64.value


def folds_constants() -> bool:
  """Whether JAX is told to fold constants while it traces."""
  return config.eager_constant_folding.value


def guards_host_transfers() -> bool:
  """Whether JAX is told to report or refuse transfers of host values."""
  return config.transfer_guard_host_to_device.value not in (None, "allow")


@util.cache(max_size=1, trace_context_in_key=False)
def caches() -> object:
  """Stands for JAX's caches: another object after they were cleared."""
  return object()


def has_mesh() -> bool:
  """Whether a mesh is set, which is then a part of every type."""
  return not mesh_lib.get_abstract_mesh().empty


join_effects = core.join_effects
JaxprInputEffect = effects.JaxprInputEffect


def looks_on(effect) -> bool:
  """Whether an effect is that of a debug callback."""
  return isinstance(
      effect, (debugging.DebugEffect, debugging.OrderedDebugEffect))


no_effects = core.no_effects
