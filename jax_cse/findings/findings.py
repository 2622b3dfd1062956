"""Duplicates gathered into findings: one for each line that computes again.

A finding has the equations of one line that repeat those of one other line, and
that are merged, or kept for the same reason. It says what they cost.
"""

from collections import Counter
from collections.abc import Iterable

from jax_cse import compat
from jax_cse.findings.duplicates import Duplicate
from jax_cse.findings.redundancy_report import Finding, Line
from jax_cse.foundation.counting import equations
from jax_cse.primitives import costs


def grouped(found: Iterable[Duplicate]
            ) -> list[tuple[Finding, list[Duplicate]]]:
  """Findings, each with its duplicates, in the order of their numbers.

  Those that are merged come before those that are kept, each the dearest first.
  """
  groups: dict[tuple, list[Duplicate]] = {}
  for duplicate in found:
    first = duplicate.first
    key = (line_of(duplicate.eqn), first and line_of(first), duplicate.reason,
           first is None)
    groups.setdefault(key, []).append(duplicate)
  findings = []
  for (line, first, reason, is_given), group in groups.items():
    flops_, nbytes = map(sum, zip(*(
        [n * d.times for n in _cost(d.eqn)] for d in group)))
    findings.append((Finding(
        line, first, Counter(d.eqn.primitive.name for d in group),
        sum(1 + _size_inside(d.eqn) for d in group),
        flops_, nbytes, reason, is_given), group))
  return sorted(findings, reverse=True, key=lambda pair: (
      pair[0].reason is None, pair[0].flops, pair[0].nbytes,
      pair[0].equations))


def line_of(eqn) -> Line | None:
  """The line of the user's program that an equation is from, if it is known."""
  found = compat.user_frame(eqn)
  return found and Line(*found)


def flops(closed_jaxpr) -> int:
  """Floating-point operations of a program, all steps of each `scan`."""
  return sum(map(work, closed_jaxpr.jaxpr.eqns))


def work(eqn) -> int:
  """Floating-point operations of an equation, and inside of it."""
  return _cost(eqn)[0]


def _size_inside(eqn) -> int:
  """How many equations are in its body, if it is a call or a loop."""
  return sum(1 for inner in compat.jaxprs_in_params(eqn.params)
             for _ in equations(inner))


def _cost(eqn) -> tuple[int, int]:
  """Flops and bytes of one run."""
  return costs.flops(eqn) + _flops_inside(eqn), sum(
      v.aval.size * v.aval.dtype.itemsize for v in eqn.outvars
      if hasattr(v.aval, "dtype"))


def _flops_inside(eqn) -> int:
  if eqn.primitive is compat.scan_p:
    return _of_steps(**eqn.params)
  inside = [sum(map(work, inner.eqns))
            for inner in compat.jaxprs_in_params(eqn.params)]
  # One branch of a `cond` runs; of a linear solver, the one that solves.
  return (max if "branches" in eqn.params
          or eqn.primitive is compat.linear_solve_p else sum)(inside)


def _of_steps(*, jaxpr, length, **params) -> int:
  """All steps; what is the same in each step is computed once, as by XLA."""
  jaxpr = jaxpr.jaxpr
  num_consts, _ = compat.constants_and_carries(params)
  moving = set(jaxpr.invars[num_consts:])
  total = 0
  for eqn in jaxpr.eqns:
    moves = any(x in moving for x in eqn.invars
                if type(x) is not compat.Literal)
    if moves:
      moving.update(eqn.outvars)
    total += work(eqn) * (length if moves else 1)
  return total
