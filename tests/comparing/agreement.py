"""Whether what a road gives is what plain JAX gives, and how nearly.

Seen of a result are the structure, and of each leaf the class of the object,
the type with its weakness, the placement, and the value: its bits, or how far
it is from plain JAX's at most. Seen of a run is also what its callbacks saw:
as often, and in the same order where they are ordered.

A bound is what rounding explains: infinite where plain JAX is not finite, or
where a value jumps. Where a bound is finite the result has to be, so an
overflow that plain JAX does not have is none that passes. Only where plain JAX
gives what is not finite as well, nothing is promised of what is made of that: a
zero times it is NaN, or a zero that is left out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jax_cse.compat import core

# How results agree, from the best to what says least. The first three are what
# may be asked for.
BITS, NUMBERS, ROUNDING = "bits", "numbers", "rounding"
ORDER = (BITS, NUMBERS, ROUNDING, "not finite", "raises")

# By what callbacks are that stand in rules of derivation, of which nobody says
# how often they run.
OF_RULES = "rule"

# By how much what callbacks saw may differ where rounding may.
_SEEN_TOLERANCE = 1e-3


class Seen(NamedTuple):
  """What a callback saw, and whether its order is to be kept."""
  by: str
  ordered: bool
  value: Any


class Outcome(NamedTuple):
  """What a run gave, and what its callbacks saw."""
  value: Any       # a pytree of arrays, or the exception that was raised
  seen: tuple[Seen, ...] = ()


def kind_of(x, has_placement: bool) -> tuple:
  """What is to be seen of a leaf but for its value."""
  if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
    placement = (x.committed, x.sharding) if has_placement else ()
    return "jax.Array", type_of(core.typeof(x)), *placement
  return type(x), np.shape(x), getattr(x, "dtype", None)


def type_of(aval) -> tuple:
  """What is to be seen of an abstract value."""
  return (aval.str_short(short_dtypes=True),
          getattr(aval, "weak_type", False))


def compare(what: str, actual: Outcome, expected: Outcome, strictness: str,
            bounds: Callable[[], list], may_accept: bool = False) -> str:
  """How a result agrees with plain JAX's: one of `ORDER`.

  Args:
    what: is said if it does not.
    actual: what the road gives.
    expected: what plain JAX gives.
    strictness: `BITS`; `NUMBERS` if a zero may have any sign; or `ROUNDING`.
    bounds: the largest distance of each leaf, elementwise, if it is `ROUNDING`.
    may_accept: whether there may be a result where plain JAX raises.

  Raises:
    AssertionError: they differ.
  """
  got, wanted = actual.value, expected.value
  if may_accept and isinstance(wanted, Exception) and not isinstance(
      got, Exception):
    return "raises"
  if isinstance(wanted, Exception) or isinstance(got, Exception):
    # What JAX does not support may be met after something else that it refuses.
    assert _refusal(got) is _refusal(wanted) or (
        isinstance(got, Exception)
        and "not supported in vmap" in str(wanted)), (
        f"{what}: {shown(got)}, not {shown(wanted)}")
    return "raises"
  _compare_seen(what, actual.seen, expected.seen, strictness)
  got, structure = jax.tree.flatten(got)
  wanted, other = jax.tree.flatten(wanted)
  assert structure == other, f"{what}: {structure}, not {other}"
  worth = {BITS}
  is_finite = all(map(_is_finite, wanted))
  for i, (a, b) in enumerate(zip(got, wanted)):
    a, b = _array(a), _array(b)
    where = f"{what}, result {i}"
    assert (a.shape, a.dtype) == (b.shape, b.dtype), (
        f"{where}: {a.dtype}{a.shape}, not {b.dtype}{b.shape}")
    if a.tobytes() == b.tobytes():
      continue
    assert strictness != BITS, f"{where}: {shown(a)}, not {shown(b)}"
    if _are_equal(a, b).all():
      worth.add(NUMBERS)
      continue
    assert strictness == ROUNDING, f"{where}: {shown(a)}, not {shown(b)}"
    worth.add(ROUNDING if _is_near(a, b) else _within(
        where, a, b, bounds()[i], is_finite))
  return max(worth, key=ORDER.index)


def _refusal(x):
  """The type of an error. That a `custom_vjp` function has no forward mode JAX
  says in two ways, by how deep it is nested."""
  return TypeError if "'custom_lin'" in str(x) else type(x)


def _array(x):
  if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
      x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  return np.asarray(x)


def _compare_seen(what, seen, expected, strictness) -> None:
  for ordered in (True, False):
    got = [s for s in seen if s.ordered == ordered]
    wanted = [s for s in expected if s.ordered == ordered]
    if not ordered:
      got, wanted = (sorted(x, key=lambda s: (s.by, str(s.value)))
                     for x in (got, wanted))
    assert [s.by for s in got] == [s.by for s in wanted], (
        f"{what}: callbacks saw {got}, not {wanted}")
    for a, b in zip(got, wanted):
      a, b = (np.asarray(s.value, np.float64) for s in (a, b))
      tolerance = 0 if strictness != ROUNDING else (
          _SEEN_TOLERANCE * np.abs(b[np.isfinite(b)]).max(initial=1))
      with np.errstate(all="ignore"):
        same = (np.abs(a - b) <= tolerance) | _are_equal(a, b) | (
            ~np.isfinite(b) if strictness == ROUNDING else False)
      assert same.all(), f"{what}: a callback saw {a}, not {b}"


def _are_equal(a, b):
  return (a == b) | ((a != a) & (b != b))


def _is_near(a, b) -> bool:
  """Whether finite numbers are some units in the last place apart, which is
  within all bounds, so that none need be computed."""
  if not _is_inexact(b) or not _is_finite(b):
    return False
  far = np.abs(_wide(a) - _wide(b))
  return bool((far <= 4 * float(jnp.finfo(b.dtype).eps) * np.abs(_wide(b)))
              .all())


def _within(what, a, b, limit, is_finite) -> str:
  """Whether two arrays of one type differ by no more than a limit."""
  a, b = _wide(a), _wide(b)
  with np.errstate(all="ignore"):
    free = ~np.isfinite(limit) | (~np.isfinite(a) & (not is_finite))
    far = np.abs(a - b) if _is_inexact(a) else (a != b)
    bad = ~(_are_equal(a, b) | free | (far <= limit))
  assert not bad.any(), (
      f"{what}: {a[bad][:9]}, not {b[bad][:9]}; farther than {limit[bad][:9]}")
  return "not finite" if (free & ~_are_equal(a, b)).any() else ROUNDING


def _is_finite(x) -> bool:
  x = _array(x)
  return not _is_inexact(x) or bool(np.isfinite(_wide(x)).all())


def _is_inexact(x) -> bool:
  return jax.dtypes.issubdtype(x.dtype, np.inexact)


def _wide(x):
  return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64
                  ) if _is_inexact(x) else x


def shown(x) -> str:
  """A result in some lines."""
  if isinstance(x, Exception):
    return f"{type(x).__name__}: {str(x)[:300]}"
  return str(x)[:600]
