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

Limits: a rule with arguments that are not differentiated (`nondiff_argnums`) is
like no other.
"""

from typing import Any

from jax_cse import compat
from jax_cse import fingerprint


class NoOneDerivative(Exception):
  """A rule gives for a value another than the function, which the next level
  derives by another rule."""


def rule_of(wrapped: Any) -> Any:
  """What tells the rule in a wrapped function from others; has a hash."""
  transformations = []
  while True:
    for generator, arguments in wrapped.transforms:
      if generator is compat.flatten_jvp:
        arguments = arguments[:3]   # the rest is for error messages
      try:
        transformations.append(
            (generator, fingerprint.of_param(tuple(arguments))))
      except fingerprint.Unkeyable:
        return object()   # like no other
    inside = compat.rule_inside(wrapped.f)
    if inside is None:
      return wrapped.f, tuple(transformations)
    wrapped = inside


def is_again(call: Any, other: Any) -> bool:
  """Whether another call is of the same function on the same numbers, though
  its rule has arguments that are not differentiated and so is like no other."""
  numbers = lambda call: [x.number for x in call.operands]
  return (other is not None and other.primitive is call.primitive
          and numbers(other) == numbers(call)
          and str(other.params["call_jaxpr"]) == str(call.params["call_jaxpr"]))
