"""A function compared with what CSE makes of it.

It is traced once, on arrays or on shapes, and nothing of it is run. What is
merged is then looked up in the program as it was traced: each finding is a line
of the user's program, and stands for equations that are still at hand.

Limits: a body of a call or a loop is looked at by itself, as when merging.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax import jit   # as it was imported, which nobody records
from jax.extend import core

from jax_cse.foundation import modes
from jax_cse.foundation import versions
from jax_cse.foundation.counting import equations
from jax_cse.memo import contexts
from jax_cse.report import naming
from jax_cse.report.redundancy_report import Finding, Line, Redundancy


class Comparison(NamedTuple):
  """A function without CSE and with it.

  Attributes:
    name: of the function.
    mode: what counted as the same.
    plain, merged: closed jaxprs. What no result depends on is in neither, since
      nobody computes it.
    findings: what is computed again, the dearest first and what is kept last,
      and the `Duplicate`s that each stands for.
    unread: equations as traced that no result depends on.
  """
  name: str
  mode: str
  plain: Any
  merged: Any
  findings: list[tuple[Finding, list[Any]]]
  unread: int

  def flops(self) -> tuple[Any, Any, Any]:
    """XLA's count: as traced, compiled, and compiled after CSE."""
    with contexts.disabled():
      lowered, other = (jit(core.jaxpr_as_fun(x)).lower(*x.in_avals)
                        for x in (self.plain, self.merged))
      traced, compiled, after = (
          _work(stage.cost_analysis()) for stage in (
              lowered, lowered.compile(), other.compile()))
      return traced, compiled, after

  def report(self, flops: tuple[Any, Any, Any]) -> Redundancy:
    """For a person to read."""
    found = [finding for finding, _ in self.findings]
    return Redundancy(
        self.name, self.mode,
        [f for f in found if f.reason is None],
        [f for f in found if f.reason is not None],
        _size(self.plain), _size(self.merged), flops, self.unread)


def of(fun: Callable, mode: str) -> Callable[..., Comparison]:
  """Traces a function, merges what is the same, and says what that was.

  Returns:
    A function of the arguments of `fun`. It raises what `fun` raises.

  Raises:
    ValueError: `mode` is not one of the modes.
    UnsupportedJaxVersion: the JAX installed is not one that this works on.
  """
  modes.validate(mode)
  versions.check()

  def compare(*args, **kwargs):
    return of_jaxpr(naming.name_of(fun), plainly(fun)(*args, **kwargs), mode)

  return compare


def plainly(fun: Callable) -> Callable[..., Any]:
  """`jax.make_jaxpr` without CSE."""
  def make(*args, **kwargs):
    with contexts.disabled():
      # A function of its own, so that no cache has a jaxpr of another mode.
      return jax.make_jaxpr(lambda *xs, **ks: fun(*xs, **ks))(*args, **kwargs)
  return make


def of_jaxpr(name: str, traced, mode: str) -> Comparison:
  """The same for a closed jaxpr that is there already."""
  from jax_cse.report import duplicates
  from jax_cse.compat import jaxprs
  from jax_cse.rebuild import simplification
  with contexts.disabled():
    plain = jaxprs.drop_dead_equations(traced)
    return Comparison(name, mode, plain, simplification.simplify(plain, mode),
                      _grouped(duplicates.find(plain, mode)),
                      _size(traced) - _size(plain))


def _work(cost) -> float | None:
  """XLA counts sines and the like apart, and leaves out what there is none of.
  """
  return sum(cost.get(name, 0) for name in ("flops", "transcendentals")) if (
      cost) else None


def _size(closed_jaxpr) -> int:
  return sum(1 for _ in equations(closed_jaxpr.jaxpr))


def _grouped(found) -> list[tuple[Finding, list[Any]]]:
  """By line, by what is computed again and by why it is kept.

  They stand as in the report, where they have their numbers: first those that
  are merged, the dearest first.
  """
  groups: dict[tuple, list] = {}
  for duplicate in found:
    first = duplicate.first
    key = (line_of(duplicate.eqn), first and line_of(first), duplicate.reason,
           first is None)
    groups.setdefault(key, []).append(duplicate)
  findings = []
  for (line, first, reason, is_given), group in groups.items():
    flops, nbytes = map(sum, zip(*(
        [n * d.times for n in _cost(d.eqn)] for d in group)))
    findings.append((Finding(
        line, first, Counter(d.eqn.primitive.name for d in group),
        sum(1 + _size_inside(d.eqn) for d in group),
        flops, nbytes, reason, is_given), group))
  return sorted(findings, reverse=True, key=lambda pair: (
      pair[0].reason is None, pair[0].flops, pair[0].nbytes,
      pair[0].equations))


def line_of(eqn) -> Line | None:
  """The line of the user's program that an equation is from, if it is known."""
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
  from jax_cse.primitives import costs
  flops = costs.flops(eqn)
  inside = [sum(_cost(e)[0] for e in inner.eqns)
            for inner in compat.jaxprs_in_params(eqn.params)]
  # One branch of a `cond` runs.
  flops += eqn.params.get("length", 1) * (
      max(inside) if "branches" in eqn.params else sum(inside))
  return flops, sum(
      v.aval.size * v.aval.dtype.itemsize for v in eqn.outvars
      if hasattr(v.aval, "dtype"))
