"""The identity of the derivative rule of a `custom_jvp` call.

Two calls of the same function on the same values are one call, if their rules
are the same too: the jaxpr that they stand in may be differentiated later. JAX
wraps the rule in new objects for every call, and in others when it stages the
call out and takes it from a jaxpr again. Here they lead back to the function
that the user wrote, and to the transformations of it:

    rule_of(wrapped)  ==  (the user's function, its transformations)

The user's objects are told apart by identity: two rules that compare equal, as
dataclasses with a field that is not compared, may differ.

`custom_vjp` has no such identity: a rule for cotangents need not be linear. One
that clips gives something else for the sum of two cotangents than for each, so
two calls stay two.

Limits: an argument that is not differentiated (`nondiff_argnums`) is told apart
by identity, unless it is a number or a string.
"""

import types
from typing import Any

import jax

from jax_cse import compat
from jax_cse.numbering import fingerprint


def rule_of(wrapped: Any) -> Any:
  """The identity of the rule in a wrapped function; has a hash."""
  transformations = []
  while True:
    for generator, arguments in wrapped.transforms:
      if generator is compat.flatten_jvp:
        arguments = arguments[:3]   # the rest is for error messages
      try:
        transformations.append((generator, _key(tuple(arguments))))
      except fingerprint.Unkeyable:
        return object()   # like no other
    inside = compat.rule_inside(wrapped.f)
    if inside is None:
      return _key(wrapped.f), tuple(transformations)
    wrapped = inside


class Itself:
  """A key: equal to that of the same object alone, which it keeps alive."""
  __slots__ = ("_object",)

  def __init__(self, obj: Any):
    self._object = obj

  def __eq__(self, other: object) -> bool:
    return isinstance(other, Itself) and other._object is self._object

  def __hash__(self) -> int:
    return id(self._object)


def _key(x: Any) -> Any:
  # A named tuple is equal if its parts are: JAX makes another of them.
  rule = _of_sequence if isinstance(x, tuple) else _rules.get(type(x))
  return Itself(x) if rule is None else (type(x), rule(x))


def _of_tree(tree: Any) -> Any:
  # Its own equality is that of the data of its nodes.
  return tree.num_leaves, _key(tree.node_data()), _key(tree.children())


def _of_sequence(x: Any) -> Any:
  return tuple(map(_key, x))


_rules = {
    **dict.fromkeys((type(None), bool, int, float, complex, str),
                    fingerprint.of_param),
    list: _of_sequence,
    dict: lambda x: _of_sequence(x.items()),
    jax.tree_util.PyTreeDef: _of_tree,
    compat.Unhashable: lambda x: _key(x.val),
    # Each look-up of a method makes another one.
    types.MethodType: lambda x: (Itself(x.__self__), Itself(x.__func__)),
}


def acts(known: dict[Any, bool], rule: Any, params: dict[str, Any], avals
         ) -> bool:
  """Whether the rule of a `custom_jvp` call has effects, which happen once for
  each call, or cannot be traced, so that it may have some.

  Rules of calls in the rule are not asked: there may be no end of them.

  Args:
    known: the answers for rules, kept here.
    rule: the identity of its rule, from `rule_of`.
    params: of the call.
    avals: the types of its operands.
  """
  key = rule, *avals
  if key not in known:
    known[key] = _acts(params["jvp_jaxpr_fun"], len(avals))
  return known[key]


def _acts(wrapped, num_operands):
  try:
    jaxpr = compat.trace_rule(wrapped, num_operands)
  except Exception:   # the user's, of whatever type
    return True
  finally:
    # JAX takes the rule for not called yet.
    while (wrapped := compat.rule_inside(wrapped.f)) is not None:
      compat.forget_call(wrapped)
  return not compat.benign(jaxpr.effects)
