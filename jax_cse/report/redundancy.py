"""`redundancy`: which lines of a program compute the same thing again."""

from collections.abc import Callable
from typing import Any, ParamSpec

from jax_cse.advice import advice
from jax_cse.findings import comparison
from jax_cse.findings.redundancy_report import Redundancy
from jax_cse.foundation import inputs

_P = ParamSpec("_P")


def redundancy(fun: Callable[_P, Any], mode: str = "exact", *,
               compiled: bool = True) -> Callable[_P, Redundancy]:
  """A report of what a function computes twice.

      print(jax_cse.redundancy(loss)(params, x))

  The function is traced without CSE, in whatever mode one is, and nothing of it
  is run. A body of a call or a loop is looked at by itself, as when merging:
  what is computed inside and outside of it stays in both places.

  Changes that may pay are tried: the changed program is made by tracing the
  function once more, and counted. They are `enabled("ring")` around a function
  with derivatives in it that is differentiated, `jvp` for nested `grad` by one
  number, `laplacian` for a sum of second derivatives, and calls and loops that
  are done once though they are never merged. What saves less than a tenth of
  the flops is not mentioned.

  Args:
    fun: a function that `jax.make_jaxpr` can trace.
    mode: what counts as the same: "exact", "reassociate" or "ring".
    compiled: whether XLA compiles the program without CSE, with it and with
      each change, which tells what it would merge by itself.

  Returns:
    A function of the arguments of `fun` that returns a `Redundancy`. It has the
    equations that CSE merges, by the lines of the user's program that compute
    them and the lines that computed the same before, with primitives, flops and
    bytes; what is not merged and why; how many equations there are without CSE
    and with it; XLA's own count of flops; and the changes that pay. It prints
    as a table and shows as one in a notebook.

  Raises:
    TypeError: `fun` is not callable.
    ValueError: `mode` is not one of the modes.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.
  """
  inputs.require_callable(fun, "redundancy")
  compare = comparison.of(fun, mode)

  def report(*args: _P.args, **kwargs: _P.kwargs) -> Redundancy:
    found = compare(*args, **kwargs)
    flops = found.flops() if compiled else (None,) * 3
    return found.report(flops, advice.of(found, flops[1]))

  return report
