"""What tells the derivative rule of one `custom_jvp` call from another's.

Two calls of the same function on the same values are one call, if their rules
are the same too: the jaxpr that they stand in may be differentiated later. JAX
wraps the rule in new objects for every call, and in others when it stages the
call out and takes it from a jaxpr again. Here they lead back to the function
that the user wrote, and to what it was transformed by:

    rule_of(wrapped)  ==  (the user's function, its transformations)

`custom_vjp` has no such identity: a rule for cotangents need not be linear. One
that clips gives something else for the sum of two cotangents than for each, so
two calls stay two.
"""

from typing import Any
import weakref

from jax_cse import compat
from jax_cse import fingerprint

# Function that JAX made of a rule to what the rule is.
_origins: weakref.WeakKeyDictionary[Any, Any] = weakref.WeakKeyDictionary()


def note(made: Any, rule: Any) -> None:
  """Notes that JAX made the function `made` of `rule`."""
  _origins[made.f] = rule


def rule_of(wrapped: Any) -> Any:
  """What tells the rule in a wrapped function from others; has a hash."""
  transformations = []
  for generator, arguments in wrapped.transforms:
    if generator is compat.flatten_jvp:
      arguments = arguments[:3]   # the rest is for error messages
    try:
      transformations.append(
          (generator, fingerprint.of_param(tuple(arguments))))
    except fingerprint.Unkeyable:
      return object()   # like no other
  try:
    origin = _origins.get(wrapped.f)
  except TypeError:
    origin = None
  return (wrapped.f if origin is None else origin), tuple(transformations)
