"""`cse_jaxpr`: the same elimination, from jaxpr to jaxpr.

    closed = jax.make_jaxpr(f)(x)
    jax_cse.cse_jaxpr(closed, mode="exact")

It numbers and narrows as the memoized bind does, with the whole program in
view: beside what is computed twice it drops what nobody reads, results of calls
and carries of loops among it.
"""

from typing import Any

from jax.extend import core

from jax_cse import modes
from jax_cse import versions


def cse_jaxpr(closed_jaxpr: core.ClosedJaxpr, mode: str = modes.DEFAULT
              ) -> core.ClosedJaxpr:
  """Eliminates common subexpressions and dead code from a jaxpr.

  Calls (`jit`, `cond`, `custom_jvp_call`, ...) and loops (`scan`, `while`) are
  entered: congruent operands and carries become one, inside and outside. The
  equations that are left keep their order, params, effects and source.

  Args:
    closed_jaxpr: any jaxpr, as from `jax.make_jaxpr`.
    mode: what counts as the same; "exact" for now.

  Returns:
    A jaxpr of the same function: the same operands, consts and results in
    number, shape, dtype and order, and at most as many equations.

  Raises:
    TypeError: `closed_jaxpr` is not a `ClosedJaxpr`.
    ValueError: `mode` is not one of the modes.
    UnsupportedJaxVersion: the JAX installed is not one that this works on.

  Source: Alpern, Wegman and Zadeck 1988 for loops; the interface is that of
  JAX's own `dce_jaxpr`.
  """
  if not isinstance(closed_jaxpr, core.ClosedJaxpr):
    raise TypeError("closed_jaxpr must be a ClosedJaxpr, as jax.make_jaxpr "
                    f"returns; got {type(closed_jaxpr).__name__}")
  modes.validate(mode)
  jaxprs, narrowing, numbering = _rim()
  return jaxprs.drop_dead_equations(
      narrowing.rewrite(numbering, closed_jaxpr))


def _rim() -> tuple[Any, Any, Any]:
  """What touches JAX's internals, once its version is known to be right."""
  versions.check()
  from jax_cse import jaxprs, narrowing, value_numbering
  numbering = value_numbering.Numbering(None)
  numbering.traced = True
  return jaxprs, narrowing, numbering
