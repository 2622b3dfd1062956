"""The roads to the values of a function: plain JAX, and all of jax_cse.

    enabled MODE      called twice in one context, and traced in it
    jit MODE          compiled in the context
    cse MODE          the function that `cse` makes, eagerly and traced
    cse_jaxpr MODE    the jaxpr that `cse_jaxpr` makes
    derivatives N     against nested `jvp`

A road is a generator of what it gives beside what plain JAX gives. What plain
JAX gives is computed once for all of them, when it is wanted first.

Jaxprs are evaluated one primitive at a time (op_by_op.py), so that in mode
"exact" the bits are to be the same. A jaxpr that says what plain JAX's says is
not evaluated at all: nothing could come out differently.
"""

from collections.abc import Callable, Iterator
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import agreement
import checking
import jax_cse
from jax_cse import compat
from jax_cse import modes
from jax_cse import rounding
from jax_cse.compat import core
import op_by_op


class Plain:
  """What plain JAX makes of a function of flat operands."""

  def __init__(self, fun: Callable, operands, direction=None):
    """`direction`: that of derivatives; elementwise 1 at None."""
    self.fun = fun
    self.operands = list(operands)
    self.direction = direction
    self._derivatives: dict[int, Plain] = {}

  def new_function(self):
    """The function, as one that no cache of JAX knows."""
    return lambda *xs: self.fun(*xs)

  @functools.cached_property
  def eagerly(self):
    return checking.attempt(self.new_function(), *self.operands)

  @functools.cached_property
  def compiled(self):
    return checking.attempt(jax.jit(self.new_function()), *self.operands)

  @functools.cached_property
  def jaxpr(self):
    return checking.attempt(checking.trace, self.fun, *self.operands)

  @functools.cached_property
  def text(self) -> str:
    return text_of(self.jaxpr)

  @functools.cached_property
  def values(self):
    """Of the jaxpr, one primitive at a time: a flat list."""
    return evaluated(self.jaxpr, self.operands)

  @functools.cached_property
  def _bounds(self):
    return rounding.bounds(self.jaxpr, self.operands)

  def bounds(self) -> list:
    return self._bounds

  def derivatives(self, order: int) -> "Plain":
    """Of the function and its derivatives, by nested `jvp`."""
    found = self._derivatives.get(order)
    if found is None:
      found = self._derivatives[order] = Plain(
          nested_jvp(self.fun, order, self.direction), self.operands)
    return found


def nested_jvp(fun, order, direction):
  """What `derivatives(fun, order)` is to compute."""
  def derived(*xs):
    v = [jnp.ones_like(x) for x in xs] if direction is None else direction
    results, f = [fun(*xs)], fun
    for _ in range(order):
      f = lambda *ys, g=f: jax.jvp(g, ys, tuple(v))[1]
      results.append(f(*xs))
    return tuple(results)
  return derived


def text_of(jaxpr) -> str:
  """All that a jaxpr says, constants and types of results included."""
  if isinstance(jaxpr, Exception):
    return repr(jaxpr)
  with np.printoptions(threshold=2**31):
    text = jaxpr.pretty_print(use_color=False, custom_pp_eqn_rules=False)
  consts = [np.asarray(x).tobytes() for x in jaxpr.consts
            if not isinstance(x, compat.Tracer)]
  return f"{text} {consts} {[agreement.type_of(a) for a in jaxpr.out_avals]}"


def evaluated(jaxpr, operands):
  if isinstance(jaxpr, Exception):
    return jaxpr
  return checking.attempt(op_by_op.evaluate, jaxpr,
                          *jax.tree.leaves(operands))


class Step(NamedTuple):
  """What a road gives, what plain JAX gives, and how they are compared."""
  how: str
  actual: Any
  expected: Any
  bounds: Callable[[], list] | None
  kind: Callable[[Any], Any] = agreement.kind_of


def _enabled(mode, plain) -> Iterator[Step]:
  bounds = None if mode == "exact" else plain.bounds
  expected = plain.eagerly
  with jax_cse.enabled(mode):
    fun = plain.new_function()
    first = checking.attempt(fun, *plain.operands)
    again = checking.attempt(fun, *plain.operands)
  yield Step("eagerly", first, expected, bounds)
  yield Step("eagerly, again", again, expected, bounds)
  with jax_cse.enabled(mode):
    jaxpr = checking.attempt(checking.trace, plain.fun, *plain.operands)
  yield from _traced("traced", mode, plain, jaxpr)


def _jit(mode, plain) -> Iterator[Step]:
  with jax_cse.enabled(mode):
    result = checking.attempt(jax.jit(plain.new_function()), *plain.operands)
  yield Step("compiled", result, plain.compiled, plain.bounds)


def _cse(mode, plain) -> Iterator[Step]:
  fun = jax_cse.cse(plain.new_function(), mode)
  bounds = None if mode == "exact" else plain.bounds
  expected = plain.eagerly
  # Calls are looked into, and rounded as they are one primitive at a time.
  if not isinstance(expected, Exception) and not isinstance(
      plain.values, Exception):
    kinds = list(map(agreement.kind_of, jax.tree.leaves(expected)))
    result = checking.attempt(fun, *plain.operands)
    yield Step("eagerly", _flat(result), plain.values, bounds, lambda _: None)
    if not isinstance(result, Exception):
      got = list(map(agreement.kind_of, jax.tree.leaves(result)))
      assert got == kinds, f"results are {got}, not {kinds}"
  else:
    yield Step("eagerly", checking.attempt(fun, *plain.operands), expected,
               bounds)
  yield from _traced("traced", mode, plain, checking.attempt(
      checking.trace, fun, *plain.operands))


def _cse_jaxpr(mode, plain) -> Iterator[Step]:
  if not isinstance(plain.jaxpr, Exception):
    jaxpr = checking.attempt(jax_cse.cse_jaxpr, plain.jaxpr, mode)
    yield from _traced("rebuilt", mode, plain, jaxpr)


def _traced(how, mode, plain, jaxpr) -> Iterator[Step]:
  """What a jaxpr computes, and of which type it says that it is."""
  if isinstance(jaxpr, Exception) or isinstance(plain.jaxpr, Exception):
    yield Step(how, jaxpr, plain.jaxpr, None)
    return
  core.check_jaxpr(jaxpr.jaxpr)
  types = lambda j: [str(agreement.type_of(a)) for a in j.out_avals]
  assert types(jaxpr) == types(plain.jaxpr), (
      f"{how}: types {types(jaxpr)}, not {types(plain.jaxpr)}")
  if text_of(jaxpr) != plain.text:
    yield Step(how, evaluated(jaxpr, plain.operands), plain.values,
               None if mode == "exact" else plain.bounds, lambda _: None)


def _derivatives(order, plain) -> Iterator[Step]:
  reference = plain.derivatives(order)
  direction = plain.direction
  def fun(*xs):
    v = None if direction is None else list(direction)
    return jax_cse.derivatives(lambda ys: plain.fun(*ys), order)(list(xs), v)
  yield Step("eagerly", checking.attempt(fun, *plain.operands),
             reference.eagerly, reference.bounds)
  if not isinstance(reference.jaxpr, Exception):
    yield from _traced("traced", "ring", reference, checking.attempt(
        checking.trace, fun, *plain.operands))


def _flat(result):
  return result if isinstance(result, Exception) else jax.tree.leaves(result)


ROADS: dict[str, Callable[[Plain], Iterator[Step]]] = {
    f"{name} {mode}": functools.partial(road, mode)
    for name, road in {"enabled": _enabled, "jit": _jit, "cse": _cse,
                       "cse_jaxpr": _cse_jaxpr}.items()
    for mode in modes.MODES
} | {f"derivatives {n}": functools.partial(_derivatives, n) for n in (1, 2, 3)}


def check(road: str, plain: Plain) -> str:
  """Raises AssertionError if the road can be seen; says how it was compared."""
  outcomes = {agreement.compare(f"{road}, {step.how}", *step[1:])
              for step in ROADS[road](plain)}
  return max(outcomes or {"bits"}, key=agreement.ORDER.index)
