"""The roads to the values of a function: plain JAX, and all of jax_cse.

    enabled MODE        called twice in one context, eagerly
    traced MODE         traced in the context
    jit MODE            compiled in the context
    cse MODE            the function that `cse` makes, eagerly
    traced cse MODE     ... and traced
    cse_jaxpr MODE      the jaxpr that `cse_jaxpr` makes
    derivatives N       against nested `jvp`, eagerly
    traced derivatives N

A road is a generator of what it gives, beside what plain JAX gives. What plain
JAX gives is computed once for all of them, when it is wanted first.

Jaxprs are evaluated one primitive at a time (op_by_op.py), so that in mode
"exact" the bits are to be the same. A jaxpr that says what plain JAX's says is
not evaluated at all: nothing could come out differently.
"""

from collections.abc import Callable, Iterator
import contextlib
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import agreement
from agreement import Outcome
import checking
import jax_cse
from jax_cse import compat
from jax_cse.compat import core
from jax_cse.foundation import modes
from jax_cse.checking import rounding
import op_by_op


class Plain:
  """What plain JAX makes of a function of flat operands."""

  def __init__(self, fun: Callable, operands, direction=None, *,
               around: Callable[[Callable], Callable] = lambda f: f,
               strictness: str = agreement.BITS, calls_are_whole: bool = True,
               has_placement: bool = True, record: list | None = None):
    """A function, and how it is compared.

    Args:
      fun: a function of the operands.
      operands: a list of arrays.
      direction: that of derivatives; elementwise 1 at None.
      around: a transformation of JAX, of the function, or of what a road makes
        of it.
      strictness: what mode "exact" has to keep.
      calls_are_whole: whether calls and loops are compiled eagerly, or are
        Python's, so that nothing is but primitives.
      has_placement: whether results are to be placed alike.
      record: where the callbacks of the function note what they see.
    """
    self.fun = fun
    self.operands = list(operands)
    self.direction = direction
    self.around = around
    self.strictness = strictness
    self.calls_are_whole = calls_are_whole
    self.has_placement = has_placement
    self.record = record
    self._derivatives: dict[int, Plain] = {}

  def new_function(self):
    """The function, as one that no cache of JAX knows."""
    return self.around(lambda *xs: self.fun(*xs))

  def run(self, fun, *args) -> Outcome:
    """What a function gives, and what callbacks see meanwhile."""
    record = [] if self.record is None else self.record
    jax.effects_barrier()
    record.clear()
    value = checking.attempt(fun, *args)
    jax.effects_barrier()
    return Outcome(value, tuple(record))

  def run_eagerly(self, fun) -> Outcome:
    manager = (contextlib.nullcontext() if self.calls_are_whole
               else jax.disable_jit())
    with manager:
      return self.run(fun, *self.operands)

  def evaluate(self, jaxpr) -> Outcome:
    """What a jaxpr gives, one primitive at a time: a flat list."""
    if isinstance(jaxpr, Exception):
      return Outcome(jaxpr)
    def evaluated(*operands):
      return [_typed(x, aval) for x, aval in zip(
          op_by_op.evaluate(jaxpr, *operands), jaxpr.out_avals)]
    return self.run(evaluated, *self.operands)

  def trace(self, fun):
    """The jaxpr of a function, or the exception that it raises."""
    return checking.attempt(checking.trace, fun, *self.operands)

  @functools.cached_property
  def eagerly(self) -> Outcome:
    return self.run_eagerly(self.new_function())

  @functools.cached_property
  def compiled(self) -> Outcome:
    return self.run(jax.jit(self.new_function()), *self.operands)

  @functools.cached_property
  def jaxpr(self):
    return self.trace(self.new_function())

  @functools.cached_property
  def text(self) -> str:
    return text_of(self.jaxpr)

  @functools.cached_property
  def values(self) -> Outcome:
    """Of the jaxpr, one primitive at a time."""
    return self.evaluate(self.jaxpr)

  @functools.cached_property
  def _bounds(self):
    if isinstance(self.jaxpr, Exception):
      return _at_first_sight(jax.tree.leaves(self.eagerly.value))
    try:
      return rounding.bounds(self.jaxpr, self.operands)
    except ValueError:   # it has effects and results, so it runs once
      return _at_first_sight(self.values.value)

  def bounds(self) -> list:
    return self._bounds

  def asked(self, mode) -> str:
    """What a mode has to keep of results."""
    return self.strictness if mode == "exact" else agreement.ROUNDING

  def derivatives(self, order: int) -> "Plain":
    """Of the function and its derivatives, by nested `jvp`."""
    found = self._derivatives.get(order)
    if found is None:
      found = self._derivatives[order] = Plain(
          nested_jvp(self.fun, order, self.direction), self.operands,
          around=self.around, calls_are_whole=self.calls_are_whole,
          has_placement=self.has_placement, record=self.record)
    return found


def _typed(x, aval):
  """A result as the jaxpr says that it is, since a literal may have no type."""
  return x if isinstance(x, jax.Array) else np.asarray(x, aval.dtype)


def _at_first_sight(values) -> list:
  """Bounds where there is no jaxpr to evaluate again: some digits of all."""
  limits = []
  for x in map(np.asarray, values):
    if not jax.dtypes.issubdtype(x.dtype, np.inexact):
      limits.append(np.zeros(x.shape))
      continue
    size = np.abs(x.astype(np.complex128))
    digits = 256 * float(jnp.finfo(x.dtype).eps)
    limits.append(np.where(np.isfinite(size), digits * size[
        np.isfinite(size)].max(initial=1), np.inf))
  return limits


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
  consts = [agreement._array(x).tobytes() for x in jaxpr.consts
            if not isinstance(core.typeof(x), compat.AbstractRef)]
  return f"{text} {consts} {[agreement.type_of(a) for a in jaxpr.out_avals]}"


class Step(NamedTuple):
  """What a road gives, what plain JAX gives, and how they are compared."""
  how: str
  actual: Outcome
  expected: Outcome
  strictness: str
  bounds: Callable[[], list]


def _enabled(mode, plain) -> Iterator[Step]:
  with jax_cse.enabled(mode):
    fun = plain.new_function()
    results = [plain.run_eagerly(fun), plain.run_eagerly(fun)]
  for how, result in zip(("once", "again"), results):
    _assert_same_kinds(plain, result.value, plain.eagerly.value)
    yield Step(how, result, plain.eagerly, plain.asked(mode), plain.bounds)


def _jit(mode, plain) -> Iterator[Step]:
  with jax_cse.enabled(mode):
    result = plain.run(jax.jit(plain.new_function()), *plain.operands)
  _assert_same_kinds(plain, result.value, plain.compiled.value)
  yield Step("compiled", result, plain.compiled, agreement.ROUNDING,
             plain.bounds)


def _cse(mode, plain) -> Iterator[Step]:
  result = plain.run_eagerly(_simplified(mode, plain))
  yield from _rebuilt_eagerly(plain, result, plain.asked(mode), plain)


def _rebuilt_eagerly(plain, result, strictness, effects) -> Iterator[Step]:
  """A result of what looks into calls, so that they are rounded as they are one
  primitive at a time. What callbacks see is that of `effects`."""
  _assert_same_kinds(plain, result.value, plain.eagerly.value,
                     effects is not plain)
  expected, value = plain.eagerly, result.value
  if plain.calls_are_whole and not any(
      isinstance(x, Exception) for x in (value, plain.values.value)):
    expected, value = plain.values, jax.tree.leaves(value)
  yield Step("eagerly", Outcome(value, result.seen),
             Outcome(expected.value, effects.eagerly.seen), strictness,
             plain.bounds)


def _traced_enabled(mode, plain) -> Iterator[Step]:
  with jax_cse.enabled(mode):
    jaxpr = plain.trace(plain.new_function())
  yield from _traced(plain, jaxpr, plain.asked(mode), plain)


def _traced_cse(mode, plain) -> Iterator[Step]:
  jaxpr = plain.trace(_simplified(mode, plain))
  yield from _traced(plain, jaxpr, plain.asked(mode), plain)


def _simplified(mode, plain):
  return plain.around(jax_cse.cse(lambda *xs: plain.fun(*xs), mode))


def _cse_jaxpr(mode, plain) -> Iterator[Step]:
  if not isinstance(plain.jaxpr, Exception):
    jaxpr = checking.attempt(jax_cse.cse_jaxpr, plain.jaxpr, mode)
    yield from _traced(plain, jaxpr, plain.asked(mode), plain)


def _traced(plain, jaxpr, strictness, effects) -> Iterator[Step]:
  """What a jaxpr computes, and of which type it says that it is."""
  if isinstance(jaxpr, Exception) or isinstance(plain.jaxpr, Exception):
    yield Step("traced", Outcome(jaxpr), Outcome(plain.jaxpr), strictness,
               plain.bounds)
    return
  if not _is_refused(plain.jaxpr):   # JAX stages some that it refuses itself
    core.check_jaxpr(jaxpr.jaxpr)
  types = lambda j: [str(agreement.type_of(a)) for a in j.out_avals]
  assert types(jaxpr) == types(plain.jaxpr), (
      f"types {types(jaxpr)}, not {types(plain.jaxpr)}")
  if text_of(jaxpr) != plain.text:
    yield Step("traced", plain.evaluate(jaxpr),
               Outcome(plain.values.value, effects.values.seen), strictness,
               plain.bounds)


def _is_refused(jaxpr) -> bool:
  return isinstance(checking.attempt(core.check_jaxpr, jaxpr.jaxpr), Exception)


def _derivatives(order, plain) -> Iterator[Step]:
  yield from map(_without_rules, _rebuilt_eagerly(
      plain.derivatives(order), plain.run_eagerly(_derived(order, plain)),
      agreement.ROUNDING, plain))


def _traced_derivatives(order, plain) -> Iterator[Step]:
  reference = plain.derivatives(order)
  yield from map(_without_rules, _traced(
      reference, plain.trace(_derived(order, plain)), agreement.ROUNDING,
      plain))


def _without_rules(step):
  """Callbacks of a function see it once, however often it is derived, and
  those of rules as often as they are asked."""
  actual, expected = (
      x._replace(seen=tuple(s for s in x.seen if s.by != agreement.OF_RULES))
      for x in (step.actual, step.expected))
  return step._replace(actual=actual, expected=expected)


def _derived(order, plain):
  v = None if plain.direction is None else list(plain.direction)
  derived = jax_cse.derivatives(lambda ys: plain.fun(*ys), order)
  return plain.around(lambda *xs: derived(list(xs), v))


def _assert_same_kinds(plain, actual, expected, is_derived=False) -> None:
  """Of derivatives that do not vary nobody says where they are placed: JAX's
  rule may give zeros that are nowhere, or that are where the operand is."""
  if any(isinstance(x, Exception) for x in (actual, expected)):
    return
  for x, y in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
    has_placement = plain.has_placement and not (
        is_derived and (_does_not_vary(x) or _does_not_vary(y)))
    got, wanted = (agreement.kind_of(z, has_placement) for z in (x, y))
    assert got == wanted, f"a result is {got}, not {wanted}"


def _does_not_vary(x) -> bool:
  x = agreement._array(x)
  return not x.size or x.tobytes() == x.size * x.reshape(-1)[0].tobytes()


_ROADS_IN_MODES = {
    "enabled": _enabled, "traced": _traced_enabled, "jit": _jit, "cse": _cse,
    "traced cse": _traced_cse, "cse_jaxpr": _cse_jaxpr}
_ROADS_OF_ORDERS = {"derivatives": _derivatives,
                    "traced derivatives": _traced_derivatives}
ROADS: dict[str, Callable[[Plain], Iterator[Step]]] = {
    f"{name} {mode}": functools.partial(road, mode)
    for name, road in _ROADS_IN_MODES.items() for mode in modes.MODES
} | {
    f"{name} {n}": functools.partial(road, n)
    for name, road in _ROADS_OF_ORDERS.items() for n in (1, 2, 3)}


def check(road: str, plain: Plain) -> str:
  """How a road agrees with plain JAX; see `agreement.ORDER`.

  Raises:
    AssertionError: it does not.
  """
  # What nobody reads is left out, which JAX may not be able to derive.
  may_accept = "derivatives" in road or plain.strictness != agreement.BITS
  try:
    worth = {agreement.compare(step.how, *step[1:], may_accept)
             for step in ROADS[road](plain)}
  except Exception as e:
    raise AssertionError(f"{road}: {type(e).__name__}: {e}") from e
  return max(worth or {agreement.BITS}, key=agreement.ORDER.index)
