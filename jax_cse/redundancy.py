"""`redundancy`: which lines of a program compute the same thing again."""

from collections import Counter
from collections.abc import Callable
from typing import Any, ParamSpec

import jax
from jax.extend import core

from jax_cse import context
from jax_cse import modes
from jax_cse import versions
from jax_cse.counting import equations
from jax_cse.redundancy_report import Finding, Line, Redundancy

_P = ParamSpec("_P")


def redundancy(fun: Callable[_P, Any], mode: str = "exact", *,
               compiled: bool = True) -> Callable[_P, Redundancy]:
  """A report of what a function computes twice.

      print(jax_cse.redundancy(loss)(params, x))

  The function is traced without CSE, in whatever mode one is, and nothing of it
  is run. A body of a call or a loop is looked at by itself, as when merging:
  what is computed inside and outside of it stays in both places.

  Args:
    fun: a function that `jax.make_jaxpr` can trace.
    mode: what counts as the same: "exact", "reassociate" or "ring".
    compiled: whether XLA compiles the program without CSE and with it, which
      tells what it would merge by itself.

  Returns:
    A function of the arguments of `fun` that returns a `Redundancy`: the
    equations that CSE merges, by the lines of the user's program that compute
    them and the lines that computed the same before, with primitives, flops and
    bytes; what is not merged and why; how many equations there are without CSE
    and with it; and XLA's own count of flops. It prints as a table and shows as
    one in a notebook.

  Raises:
    ValueError: `mode` is not one of the modes.
    UnsupportedJaxVersion: the JAX installed is not one that this works on.
  """
  modes.validate(mode)
  versions.check()

  def report(*args: _P.args, **kwargs: _P.kwargs) -> Redundancy:
    from jax_cse import duplicates
    from jax_cse import simplification
    with context.disabled():
      # A function of its own, so that no cache has a jaxpr of another mode.
      plain = jax.make_jaxpr(lambda *xs, **ks: fun(*xs, **ks))(*args, **kwargs)
      merged = simplification.simplify(plain, mode)
      found = duplicates.find(plain, mode)
      flops = _flops(plain, merged) if compiled else (None,) * 3
    grouped = _grouped(found)
    before, after = (sum(1 for _ in equations(x.jaxpr))
                     for x in (plain, merged))
    return Redundancy(
        getattr(fun, "__name__", repr(fun)), mode,
        [f for f in grouped if f.reason is None],
        [f for f in grouped if f.reason is not None],
        before, after, flops)

  return report


def _grouped(found) -> list[Finding]:
  """By line, by what is computed again and by why it is kept; dearest first."""
  groups: dict[tuple, list] = {}
  for duplicate in found:
    first = duplicate.first
    key = (_line(duplicate.eqn), first and _line(first), duplicate.reason)
    groups.setdefault(key, []).append(duplicate)
  findings = []
  for (line, first, reason), group in groups.items():
    flops, nbytes = map(sum, zip(*(
        [n * d.times for n in _cost(d.eqn)] for d in group)))
    findings.append(Finding(
        line, first, Counter(d.eqn.primitive.name for d in group),
        sum(1 + _size_inside(d.eqn) for d in group),
        flops, nbytes, reason))
  return sorted(findings, reverse=True,
                key=lambda f: (f.flops, f.nbytes, f.equations))


def _line(eqn) -> Line | None:
  from jax_cse import compat
  found = compat.user_frame(eqn)
  return found and Line(*found)


def _size_inside(eqn) -> int:
  from jax_cse import compat
  return sum(1 for inner in compat.jaxprs_in_params(eqn.params)
             for _ in equations(inner))


def _cost(eqn) -> tuple[int, int]:
  """Flops and bytes of one run."""
  from jax_cse import compat
  from jax_cse import linear_primitives
  flops = linear_primitives.flops(eqn)
  for inner in compat.jaxprs_in_params(eqn.params):
    flops += eqn.params.get("length", 1) * sum(
        _cost(e)[0] for e in inner.eqns)
  return flops, sum(
      v.aval.size * v.aval.dtype.itemsize for v in eqn.outvars
      if hasattr(v.aval, "dtype"))


def _flops(plain, merged) -> tuple[Any, Any, Any]:
  """XLA's count: as traced, compiled, and compiled after CSE."""
  lowered, other = (jax.jit(core.jaxpr_as_fun(x)).lower(*x.in_avals)
                    for x in (plain, merged))
  traced, compiled, after = (
      (stage.cost_analysis() or {}).get("flops") for stage in (
          lowered, lowered.compile(), other.compile()))
  return traced, compiled, after
