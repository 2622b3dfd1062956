"""The checkers of the suite. `test_checking` shows that they can fail."""

import contextlib
from unittest import mock

import jax
import numpy as np

import jax_cse
from jax_cse.compat import core
from jax_cse.numbering import keys


def trace(fun, *args):
  """A jaxpr of `fun` that no cache of an earlier trace has a part in."""
  return jax.make_jaxpr(lambda *xs: fun(*xs))(*args)


def size(closed_jaxpr) -> int:
  """Equations of a jaxpr, inner jaxprs included."""
  from jax_cse.foundation.counting import equations
  return sum(1 for _ in equations(closed_jaxpr.jaxpr))


def count(fun, *args) -> int:
  """Equations of what JAX traces, inner jaxprs included."""
  return size(jax.make_jaxpr(fun)(*args))


@contextlib.contextmanager
def params_do_not_count():
  """Wrong merges, planted: binds with other params are the same."""
  def find(get, plan, context, numbers, params):
    key = plan.number, context, *numbers
    return key, get(key)

  with (mock.patch.object(keys, "find", find),
        mock.patch.object(keys, "agree", lambda *_: True)):
    yield


def attempt(fun, *args):
  """What `fun` gives, or the exception that it raises."""
  try:
    return jax.block_until_ready(fun(*args))
  except Exception as e:  # what plain JAX refuses CSE may refuse alike
    return e


def bits(tree) -> list:
  """What tells two results apart to the last bit: type, shape and bytes."""
  return [(str(core.typeof(x)), np.asarray(x).tobytes())
          for x in jax.tree.leaves(tree)]


def assert_same_bits(actual, expected, message=""):
  assert bits(actual) == bits(expected), (
      f"{message}\n  with CSE:    {actual}\n  without CSE: {expected}")


def assert_close(actual, expected):
  """The same types, weak or not, and values that rounding may move."""
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=2e-3, atol=2e-4), actual, expected)
  types = lambda tree: [core.typeof(x).strip_weak_type()
                        for x in jax.tree.leaves(tree)]
  assert types(actual) == types(expected)


def check_cse(fun, args, delta):
  """Checks that CSE takes exactly `delta` equations from `fun` and no bit.

  Args:
    fun: a function that can be traced.
    args: its arguments, a tuple.
    delta: the equations that the jaxpr with CSE has less than the one without.
  """
  plain = trace(fun, *args)
  with jax_cse.enabled():
    merged = trace(fun, *args)
  core.check_jaxpr(merged.jaxpr)
  fall = size(plain) - size(merged)
  assert fall == delta, (
      f"CSE should take {delta} equations and took {fall}:\n{plain}\n{merged}")
  flat = jax.tree.leaves(args)
  assert_same_bits(core.jaxpr_as_fun(merged)(*flat),
                   core.jaxpr_as_fun(plain)(*flat))
  with jax_cse.enabled():
    eager = fun(*args)
  assert_same_bits(eager, fun(*args), "eagerly")


def check_never_larger(fun, args):
  """Checks that no equation is added, and that values agree, traced by jit."""
  plain = trace(fun, *args)
  with jax_cse.enabled():
    merged = trace(fun, *args)
  core.check_jaxpr(merged.jaxpr)
  assert size(merged) <= size(plain), (
      f"{size(plain)} equations became {size(merged)}:\n{plain}\n{merged}")
  flat = jax.tree.leaves(args)
  for a, b in zip(core.jaxpr_as_fun(merged)(*flat),
                  core.jaxpr_as_fun(plain)(*flat)):
    np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5)
