"""Counting the equations of a traced program, inner jaxprs included."""

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, ParamSpec

import jax
from jax.extend import core

from jax_cse.foundation import inputs

_P = ParamSpec("_P")


def equations(jaxpr: core.Jaxpr) -> Iterator[core.JaxprEqn]:
  """All equations of `jaxpr` and of the jaxprs in their params, in order."""
  for eqn in jaxpr.eqns:
    yield eqn
    for inner in _jaxprs_in(tuple(eqn.params.values())):
      yield from equations(inner)


def _jaxprs_in(x: Any) -> Iterator[core.Jaxpr]:
  if isinstance(x, core.ClosedJaxpr):
    yield x.jaxpr
  elif isinstance(x, core.Jaxpr):
    yield x
  elif isinstance(x, (tuple, list)):
    for item in x:
      yield from _jaxprs_in(item)


def count_primitives(fun: Callable[_P, Any]) -> Callable[_P, Counter[str]]:
  """Counts the primitives that tracing `fun` leaves in its jaxpr.

  Equations of inner jaxprs (bodies of `jit`, `scan`, `cond`, ...) count as
  well, once each, and so does the equation that holds them.

  Args:
    fun: a function that `jax.make_jaxpr` can trace.

  Returns:
    A function of the arguments of `fun` that returns a `collections.Counter` by
    primitive name. The mode in force at the call decides the counts, so one
    function can be counted with and without CSE:

        plain = count_primitives(f)(x)
        with jax_cse.enabled():
          merged = count_primitives(f)(x)

  Raises:
    TypeError: `fun` is not callable.

  Source: the thread's `Counter(eqn.primitive.name for eqn in jaxpr.eqns)`.
  """
  inputs.require_callable(fun, "count_primitives")

  def count(*args: _P.args, **kwargs: _P.kwargs) -> Counter[str]:
    jaxpr = jax.make_jaxpr(fun)(*args, **kwargs).jaxpr
    return Counter(eqn.primitive.name for eqn in equations(jaxpr))

  return count
