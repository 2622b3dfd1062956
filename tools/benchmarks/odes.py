"""Steps of training an ODE that is regularized by a derivative of its solution,
those of examples/easy_odes.py."""

from collections.abc import Callable, Iterator
import functools
from typing import Any

import jax

from benchmarks.frame import Case, enabled, entry
from benchmarks.sizes import Size
import easy_odes
import jax_cse


def training(way: str, order: int = 4) -> tuple[Callable[..., Any], tuple]:
  """A new step of training with R_order, and its arguments."""
  params = easy_odes.init(jax.random.key(0), 2, 16)
  start, step = easy_odes.training(order, way, 800)
  return jax.jit(step), (params, start(params))


@entry("training an ODE with R_4: jax_cse over plain nested jvp and over jet")
def ode_training(size: Size) -> Iterator[Case]:
  def first(way):
    step, args = training(way)
    return jax.block_until_ready(step(*args))

  ours = enabled(lambda: first("nested jvp"))
  theirs = ("nested jvp", "jet")
  for way in theirs:
    yield Case(f"until the first step is done, over {way}",
               functools.partial(first, way), ours, limit=1,
               turns=5 if size.full else 1,   # of 20 s
               prepare=jax.clear_caches)
  with jax_cse.enabled():
    step, args = training("nested jvp")
    compiled = step.lower(*args).compile()
  for way in theirs:
    other = training(way)[0].lower(*args).compile()
    yield Case(f"a step, over {way}",
               lambda f=other: jax.block_until_ready(f(*args)),
               lambda: jax.block_until_ready(compiled(*args)), limit=1,
               turns=60)
