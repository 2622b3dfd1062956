"""A function compared with what CSE makes of it.

It is traced once, on arrays or on shapes, and nothing of it is run. What is
merged is then looked up in the program as it was traced: each finding is a line
of the user's program, and comes with the equations that it stands for.

Limits: a body of a call or a loop is looked at by itself, as when merging.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax import jit   # as it was imported, which nobody records
from jax.extend import core

from jax_cse.compat import jaxprs
from jax_cse.findings import duplicates
from jax_cse.findings import findings
from jax_cse.findings import naming
from jax_cse.findings import traceable
from jax_cse.findings.redundancy_report import Advice, Finding, Redundancy
from jax_cse.findings.traceable import Traceable
from jax_cse.foundation import modes
from jax_cse.foundation.counting import equations
from jax_cse.memo import contexts
from jax_cse.rebuild import simplification


class Comparison(NamedTuple):
  """A function without CSE and with it.

  Attributes:
    name: of the function.
    mode: what counted as the same.
    plain, merged: closed jaxprs. What no result depends on is in neither, since
      nobody computes it.
    findings: the findings, in the order of their numbers, each with the
      `Duplicate`s that it stands for.
    unread: equations as traced that no result depends on.
    program: what it was traced from; None if that is not known.
  """
  name: str
  mode: str
  plain: Any
  merged: Any
  findings: list[tuple[Finding, list[Any]]]
  unread: int
  program: Traceable | None = None

  def flops(self) -> tuple[Any, Any, Any]:
    """XLA's count: as traced, compiled, and compiled after CSE."""
    with contexts.disabled():
      lowered = _lowered(self.plain)
      return (work(lowered.cost_analysis()),
              work(lowered.compile().cost_analysis()),
              compiled_flops(self.merged))

  def counts(self) -> list[tuple[str, int, int]]:
    """Each primitive, how many without CSE and with it; the largest fall first.
    """
    plain, merged = _primitives(self.plain), _primitives(self.merged)
    return sorted(((name, plain[name], merged[name])
                   for name in plain | merged),
                  key=lambda row: (row[2] - row[1], -row[1], row[0]))

  def report(self, flops: tuple[Any, Any, Any],
             advice: Sequence[Advice] = ()) -> Redundancy:
    """What a person reads."""
    found = [finding for finding, _ in self.findings]
    return Redundancy(
        self.name, self.mode,
        [f for f in found if f.reason is None],
        [f for f in found if f.reason is not None],
        size(self.plain), size(self.merged), flops, self.unread, advice)


def of(fun: Callable, mode: str) -> Callable[..., Comparison]:
  """Traces a function, merges what is the same, and says what that was.

  Returns:
    A function of the arguments of `fun`. It raises what `fun` raises.

  Raises:
    ValueError: `mode` is not one of the modes.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.
  """
  modes.validate(mode)

  def compare(*args, **kwargs):
    closed_jaxpr, program = traceable.traced(fun, args, kwargs)
    return of_jaxpr(naming.name_of(fun), closed_jaxpr, mode, program)

  return compare


def of_jaxpr(name: str, traced, mode: str,
             program: Traceable | None = None) -> Comparison:
  """The same for a closed jaxpr that is there already."""
  with contexts.disabled():
    plain = jaxprs.drop_dead_equations(traced)
    return Comparison(name, mode, plain, simplification.simplify(plain, mode),
                      findings.grouped(duplicates.find(plain, mode)),
                      size(traced) - size(plain), program)


def compiled_flops(closed_jaxpr) -> float | None:
  """XLA's count for a program that it compiles; None if it has none."""
  with contexts.disabled():
    return work(_lowered(closed_jaxpr).compile().cost_analysis())


def _lowered(closed_jaxpr):
  return jit(core.jaxpr_as_fun(closed_jaxpr)).lower(*closed_jaxpr.in_avals)


def work(cost: Any) -> float | None:
  """Flops and transcendentals, which XLA counts apart; it leaves out zeros."""
  return sum(cost.get(name, 0) for name in ("flops", "transcendentals")) if (
      cost) else None


def _primitives(closed_jaxpr) -> Counter[str]:
  return Counter(eqn.primitive.name for eqn in equations(closed_jaxpr.jaxpr))


def size(closed_jaxpr) -> int:
  """How many equations there are, inner ones included."""
  return _primitives(closed_jaxpr).total()
