"""Steps of training an ODE that is regularized by a derivative of its solution,
those of examples/easy_odes.py."""

from collections.abc import Callable
import pathlib
import sys
from typing import Any

import jax

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "examples"))
import easy_odes  # noqa: E402


def training(way: str, order: int = 4) -> tuple[Callable[..., Any], tuple]:
  """A new step of training with R_order, and its arguments."""
  params = easy_odes.init(jax.random.key(0), 2, 16)
  start, step = easy_odes.training(order, way, 800)
  return jax.jit(step), (params, start(params))
