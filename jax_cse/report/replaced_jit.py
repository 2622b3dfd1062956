"""`jax.jit` replaced for a while, for those who watch what a program jits."""

from collections.abc import Callable, Iterator
import contextlib
import functools
from typing import Any

import jax


@contextlib.contextmanager
def replaced_jit(make: Callable[..., Any]) -> Iterator[None]:
  """Meanwhile `jax.jit(fun, ...)` is `make(plain, fun, ...)`, where `plain` is
  the `jax.jit` that was there.

  Limits: a name that got `jax.jit` before, as those in JAX itself, keeps it.
  """
  plain = jax.jit

  @functools.wraps(plain)
  def jit(*args, **kwargs):
    if args:
      return make(plain, *args, **kwargs)
    plain(**kwargs)   # says now what is wrong
    return lambda fun: make(plain, fun, **kwargs)

  jax.jit = jit
  try:
    yield
  finally:
    jax.jit = plain
