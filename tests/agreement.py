"""Whether what a road gives is what plain JAX gives, and how nearly.

Seen of a result are the structure, and of each leaf the class of the object,
the type with its weakness, the placement, and the value: its bits, or how far
it is from plain JAX's at most.

A bound is what rounding explains: NaN or infinite where plain JAX is not
finite, or where a value jumps. Where a bound is finite the result has to be,
so an overflow that plain JAX does not have is none that passes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jax_cse.compat import core

# How results agree, from the best to what says least.
ORDER = ("bits", "rounding", "not finite", "raises")


def kind_of(x) -> tuple:
  """What is to be seen of a leaf but for its value."""
  if isinstance(x, jax.Array) and not isinstance(x, jax.core.Tracer):
    return "jax.Array", type_of(core.typeof(x)), x.committed, x.sharding
  return type(x), np.shape(x), getattr(x, "dtype", None)


def type_of(aval) -> tuple:
  """What is to be seen of an abstract value."""
  return (aval.str_short(short_dtypes=True),
          getattr(aval, "weak_type", False))


def compare(what: str, actual, expected, bounds: Callable[[], list] | None,
            kind: Callable[[Any], Any] = kind_of) -> str:
  """How a result agrees with plain JAX's: one of `ORDER`.

  Args:
    what: is said if it does not.
    actual: a pytree of arrays, or the exception that was raised.
    expected: of plain JAX.
    bounds: the largest distance of each leaf, elementwise; None for bits.
    kind: what must be equal of leaves beside the value.

  Raises:
    AssertionError: they differ.
  """
  if isinstance(expected, Exception) or isinstance(actual, Exception):
    assert type(actual) is type(expected), (
        f"{what}: {shown(actual)}, not {shown(expected)}")
    return "raises"
  got, structure = jax.tree.flatten(actual)
  wanted, other = jax.tree.flatten(expected)
  assert structure == other, f"{what}: {structure}, not {other}"
  for i, (a, b) in enumerate(zip(got, wanted)):
    assert kind(a) == kind(b), (
        f"{what}, result {i}: {kind(a)}, not {kind(b)}\n"
        f"  got:   {shown(a)}\n  plain: {shown(b)}")
  if all(map(same_bits, got, wanted)):
    return "bits"
  worth = {"rounding"}
  for i, (a, b) in enumerate(zip(got, wanted)):
    if not same_bits(a, b):
      assert bounds is not None, (
          f"{what}, result {i}: {shown(a)}, not {shown(b)}")
      if not _is_near(_bits(a), _bits(b)):
        worth.add(_within(f"{what}, result {i}", _bits(a), _bits(b),
                          bounds()[i]))
  return max(worth, key=ORDER.index)


def same_bits(a, b) -> bool:
  a, b = _bits(a), _bits(b)
  return (a.shape, a.dtype, a.tobytes()) == (b.shape, b.dtype, b.tobytes())


def _bits(x):
  if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
      x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  return np.asarray(x)


def _is_near(a, b) -> bool:
  """Whether finite numbers are some units in the last place apart, which is
  within all bounds, so that none need be computed."""
  if not _is_inexact(b) or not np.isfinite(_wide(b)).all():
    return False
  far = np.abs(_wide(a) - _wide(b))
  return bool((far <= 4 * float(jnp.finfo(b.dtype).eps) * np.abs(_wide(b)))
              .all())


def _within(what, a, b, limit) -> str:
  """Whether two arrays of one type differ by no more than a limit."""
  a, b = _wide(a), _wide(b)
  with np.errstate(all="ignore"):
    equal = (a == b) | ((a != a) & (b != b))
    bad = ~(equal | ~np.isfinite(limit) | (np.abs(a - b) <= limit))
  assert not bad.any(), (
      f"{what}: {a[bad][:9]}, not {b[bad][:9]}; farther than {limit[bad][:9]}")
  return "rounding" if (equal | np.isfinite(limit)).all() else "not finite"


def _is_inexact(x) -> bool:
  return jax.dtypes.issubdtype(x.dtype, np.inexact)


def _wide(x):
  return x.astype(np.complex128 if np.iscomplexobj(x) else np.float64
                  ) if _is_inexact(x) else x


def shown(x) -> str:
  """An outcome in one line or some."""
  if isinstance(x, Exception):
    return f"{type(x).__name__}: {str(x)[:300]}"
  return str(x)[:600]
