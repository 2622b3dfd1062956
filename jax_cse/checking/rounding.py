"""How far may rounding move the results of a program?

A program that is rebuilt is equal to the plain one in real arithmetic, and not
to the bit. One tolerance for all is too wide for a polynomial near 1 and too
narrow for (x + 1e8) - 1e8. So the plain program is asked: it is evaluated again
and again with random roundings (`perturbation`). The distances that its results
move tell how many of their digits it determines at all.

    limits = bounds(jaxpr, operands)           # an array for each result
    differences(plain, rebuilt, limits)        # where they are further apart

or, the plain results being those without noise,

    plain, limits = values_and_bounds(jaxpr, operands)

A sum that cancels moves far, and a step function moves from step to step where
its operand is at a step. The bound is infinite, so that nothing is promised,
where the result of a draw is not finite, or noise changes an integer.

Limits: noise is drawn a few times, so the bound is likely, with room, and no
proof. Ill-conditioned places that no draw reaches are overlooked.
"""

import contextlib
from typing import Any, NamedTuple

import jax
import numpy as np

from jax_cse import compat
from jax_cse.foundation import counting
from jax_cse.memo import contexts
from jax_cse.checking import perturbation

# Draws with a sign for each element, and with one for each equation.
_VARYING, _STEADY = 4, 4
# Room beside the largest deviation of a draw, and units in the last place.
_ROOM, _UNITS = 2, 4


@contextlib.contextmanager
def plain_jax(sixty_four_bits: bool):
  """Evaluates at once, by JAX with default settings, in any context."""
  with contextlib.ExitStack() as stack:
    for manager in (
        contexts.disabled(), compat.set_current_trace(compat.eval_trace),
        jax.disable_jit(False), jax.debug_nans(False), jax.debug_infs(False),
        jax.debug_key_reuse(False), jax.transfer_guard("allow"),
        jax.numpy_dtype_promotion("standard"),
        jax.numpy_rank_promotion("allow")):
      stack.enter_context(manager)
    if sixty_four_bits:
      stack.enter_context(jax.enable_x64(True))
    yield


def has_64_bits(closed_jaxpr) -> bool:
  """Whether a jaxpr needs numbers of 64 bits, whatever is configured now."""
  atoms = [*closed_jaxpr.jaxpr.invars, *closed_jaxpr.jaxpr.constvars]
  for eqn in counting.equations(closed_jaxpr.jaxpr):
    atoms += [*eqn.invars, *eqn.outvars]
  return any(is_of_64_bits(getattr(x.aval, "dtype", "")) for x in atoms)


def is_of_64_bits(dtype) -> bool:
  return str(dtype).endswith(("t64", "x128"))


def bounds(closed_jaxpr, operands, *, seed: int = 0) -> list[np.ndarray]:
  """How far each element of each result may differ by rounding alone.

  Args:
    closed_jaxpr: the plain program.
    operands: its operands, concrete.
    seed: of the noise.

  Returns:
    An array of float64 for each result, of its shape (of the data, for random
    keys). It is 0 for integers and booleans that no noise changes, and infinite
    for values that are not finite in the plain program or under noise.

  Raises:
    ValueError: an equation has an effect and results, so the program cannot be
      evaluated a second time.
  """
  return values_and_bounds(closed_jaxpr, operands, seed=seed)[1]


def values_and_bounds(closed_jaxpr, operands, *, seed: int = 0
                      ) -> tuple[list[Any], list[np.ndarray]]:
  """The results, without effects, and their `bounds`."""
  with plain_jax(has_64_bits(closed_jaxpr)):
    draw = _draws(closed_jaxpr, operands)
    plain, longest = draw(*_STILL)
    still = [as_numpy(x) for x in plain]
    limit = min(2 * int(longest) + 8, _FOREVER)
    largest = [np.zeros(x.shape) for x in still]
    for i in range(_VARYING + _STEADY):
      number = (seed * (_VARYING + _STEADY) + i + 1) * 0x632BE5AB % 2**32
      outs, _ = draw(number, i < _VARYING, 1, limit)
      largest = [np.maximum(have, _distance(as_numpy(a), b))
                 for have, a, b in zip(largest, outs, still)]
    return plain, [_bound(x, far) for x, far in zip(still, largest)]


def values(closed_jaxpr, operands) -> list[Any]:
  """The results of a jaxpr, without its effects."""
  with plain_jax(has_64_bits(closed_jaxpr)):
    return _draws(closed_jaxpr, operands)(*_STILL)[0]


_FOREVER = np.iinfo(np.int32).max
# No noise, and no end to a loop.
_STILL = 0, True, 0, _FOREVER


def _draws(closed_jaxpr, operands):
  program = jax.jit(perturbation.perturbed(closed_jaxpr))

  def draw(number, varies, amplitude, limit):
    setting = (np.uint32(number), np.uint32(varies), np.float32(amplitude),
               np.int32(limit))
    return program(setting, list(operands))
  return draw


def _bound(x, far):
  if not compat.is_inexact(x.dtype):
    return np.where(far > 0, np.inf, 0.0)
  info = compat.finfo(x.dtype)
  with np.errstate(all="ignore"):
    size = np.abs(_wide(x))
    bound = _ROOM * far + _UNITS * (size * float(info.eps) + float(info.tiny))
  return np.where(np.isfinite(size), bound, np.inf)


def as_numpy(x) -> np.ndarray:
  """A result as a host array; of random keys, their data."""
  if isinstance(x, jax.Array) and jax.dtypes.issubdtype(
      x.dtype, jax.dtypes.prng_key):
    x = jax.random.key_data(x)
  return np.asarray(x)


def _wide(x):
  if x.dtype == jax.dtypes.float0:
    return np.zeros(x.shape)
  if np.issubdtype(x.dtype, np.complexfloating):
    return x.astype(np.complex128)
  return x.astype(np.float64)


def _distance(a, b):
  """The distance of two results, element by element; for other than floats,
  whether they differ."""
  if not compat.is_inexact(a.dtype):
    return (a != b).astype(np.float64)
  with np.errstate(all="ignore"):
    far = np.abs(_wide(a) - _wide(b))
  return np.where(np.isnan(far), np.inf, far)


class Difference(NamedTuple):
  """A result that is further from the plain one than rounding moves it.

  Attributes:
    result: which result.
    where: for each element, whether it is out of its bound; None if the types
      differ.
    element: the index of that which is out by most.
    plain, rebuilt: the values there, or the types.
    bound: how far apart they may be.
  """
  result: int
  where: np.ndarray | None
  element: tuple[int, ...]
  plain: Any
  rebuilt: Any
  bound: float

  def __str__(self) -> str:
    place = f"result {self.result}"
    if self.where is None:
      return f"{place} is {self.rebuilt} and should be {self.plain}"
    if self.element:
      place += f"[{', '.join(map(str, self.element))}]"
    apart = float(_distance(np.asarray(self.rebuilt), np.asarray(self.plain)))
    return (f"{place} is {self.rebuilt} and should be {self.plain}: "
            f"{apart:.3g} apart, where rounding moves it by {self.bound:.3g} "
            f"at most ({np.sum(self.where)} of {self.where.size} elements "
            "are beyond)")


def differences(plain, rebuilt, limits) -> list[Difference]:
  """The results of a rebuilt program that are beyond their bounds.

  Where a bound is infinite nothing is promised. Types must be the same,
  weakness included.
  """
  found = []
  for i, (x, y, limit) in enumerate(
      zip(plain, rebuilt, limits, strict=True)):
    types = type_of(x), type_of(y)
    if types[0] != types[1]:
      found.append(Difference(i, None, (), *types, 0.0))
      continue
    x, y = as_numpy(x), as_numpy(y)
    far = _distance(x, y)
    out = far > limit
    if out.any():
      with np.errstate(all="ignore"):
        excess = np.where(out, far / np.maximum(limit, 1e-300), -1)
      element = tuple(map(int, np.unravel_index(excess.argmax(), out.shape)))
      found.append(Difference(i, out, element, x[element], y[element],
                              float(limit[element])))
  return found


def type_of(x) -> str:
  """Dtype, shape and whether it is weak, as a jaxpr writes them."""
  if getattr(x, "dtype", None) == jax.dtypes.float0:
    return f"float0[{','.join(map(str, x.shape))}]"
  aval = compat.typeof(x)
  return aval.str_short() + (" (weak)" if aval.weak_type else "")
