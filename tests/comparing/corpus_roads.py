"""The primitive corpus through every road.

A case of the corpus applies one primitive once, of which little is to be
rebuilt. So it is used as programs use it, in three ways:

    twice      applied again to the same operands: one application is enough
    combined   results added, subtracted and multiplied, and one of the first
               operand doubled, since sums and products are what is rebuilt
    moving     as a function of its real and complex operands, to be derived

Of half of the cases the operands are committed to a device, so that it is seen
whether results are. Directions are elementwise 1, or random.
"""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

import roads

# Those whose equations the others share, or which "hits" takes, are left out.
DEFAULT = [road for road in roads.ROADS
           if not road.startswith("traced cse") and not road.endswith(" 3")
           and road not in ("enabled exact", "jit exact",
                            "traced derivatives 1")]


class Uses:
  """One case of the corpus, and what plain JAX makes of it in each use."""

  def __init__(self, case):
    self._case = case
    seed = zlib.crc32(case.fullname.encode())
    self._random = np.random.RandomState(seed)
    self._device = jax.devices()[0] if seed % 2 else None
    self._has_direction = seed // 2 % 2
    self._operands = jax.device_put(case.dyn_args_maker(self._random),
                                    self._device)
    self._moving = [i for i, x in enumerate(self._operands)
                    if _is(x, np.inexact)]

  def of(self, road: str) -> roads.Plain | None:
    """The use for a road; None if there is nothing to derive."""
    if "derivatives" in road:
      return self._derived if self._moving else None
    return (self._twice if road.endswith("exact") or road.startswith("jit")
            else self._combined)

  @functools.cached_property
  def _twice(self):
    apply = self._case.dyn_fun
    return roads.Plain(lambda *xs: [apply(*xs), apply(*xs)], self._operands)

  @functools.cached_property
  def _combined(self):
    apply = self._case.dyn_fun
    def fun(*xs):
      first, again = apply(*xs), apply(*xs)
      results = [first, jax.tree.map(_combined, first, again)]
      if xs and _is(xs[0], np.number):
        results.append(apply(xs[0] + xs[0], *xs[1:]))
      return results
    return roads.Plain(fun, self._operands)

  @functools.cached_property
  def _derived(self):
    def fun(*moving):
      operands = list(self._operands)
      for i, x in zip(self._moving, moving):
        operands[i] = x
      return self._case.dyn_fun(*operands)
    xs = [self._operands[i] for i in self._moving]
    direction = None
    if self._has_direction:
      direction = jax.device_put([jnp.asarray(
          self._random.uniform(-1, 1, np.shape(x)), x.dtype) for x in xs],
          self._device)
    return roads.Plain(fun, xs, direction)


def _is(x, kind) -> bool:
  return hasattr(x, "dtype") and jax.dtypes.issubdtype(x.dtype, kind)


def _combined(x, y):
  return (x + y, x - y, x * y) if _is(x, np.number) else y
