"""A function with a rule that counts its calls, and may raise in them."""

import jax
from jax import lax


class RuleError(Exception):
  pass


class Ticks:
  """Counts the calls of `ticking` and its rule; from one on they may raise."""
  count = 0
  at = 0
  is_asked = told = False

  @classmethod
  def tick(cls):
    cls.count += 1
    if 0 < cls.at <= cls.count:   # also where it is asked once more
      cls.told = cls.told or not cls.is_asked
      raise RuleError("injected")

  @classmethod
  def start(cls, at=0):
    cls.count, cls.at = 0, at
    cls.is_asked = cls.told = False

  @classmethod
  def asking(cls, acts):
    """`acts`, in which an error is no one's but that of whoever asks."""
    def ask(*args):
      cls.is_asked = True
      try:
        return acts(*args)
      finally:
        cls.is_asked = False
    return ask


@jax.custom_jvp
def ticking(x):
  Ticks.tick()
  return lax.sin(x)


@ticking.defjvp
def _ticking_jvp(primals, tangents):
  Ticks.tick()
  (x,), (t,) = primals, tangents
  return ticking(x), lax.mul(lax.cos(x), t)
