"""What people differentiate, each in several ways that compute the same.

    for workload in workloads():
      plain = jax.jit(workload.ways["plain"])(*workload.args)

The keys of `ways`:

    plain         as people write it, nested `jvp`, `grad`, `hessian`
    explicit      `jax_cse.cse` of plain
    inside        the gradient of what `jax_cse.cse` makes of the residual
    derivatives   `jax_cse.derivatives` in place of nested `jvp`
    laplacian     `jax_cse.laplacian`
    jet           `jax.experimental.jet`
    jet-array     the package of that name, where it is installed
    folx          the package of that name, where it is installed
    printed cse   code printed by sympy after its own `cse`

A program with the memoized bind is plain inside of `jax_cse.enabled()`.

`REFUSED` names the ways that are written down but that the contender refuses,
with what it raises. The number of points is chosen so that arithmetic dominates
what it takes to start a program; `SMALL` is the same in sizes for tests. All
arrays have JAX's default floating-point dtype.
"""

from collections.abc import Iterator

import jax

from workloads import flows
from workloads import hessians
from workloads import operators
from workloads import printed_code
from workloads import residuals
from workloads.workload import FULL as FULL
from workloads.workload import Sizes as Sizes
from workloads.workload import SMALL as SMALL
from workloads.workload import Workload as Workload

# (name of the workload, way): what the contender raises, which depends on the
# version of JAX. Softplus has a derivative of its own, into which both carry
# tracers.
REFUSED: dict[tuple[str, str], tuple[type[Exception], ...]] = {
    (f"Laplacian of softplus, {form}", way): (
        jax.errors.UnexpectedTracerError, AttributeError)
    for form in operators.PLAIN for way in ("jet", "jet-array")}


def workloads(sizes: Sizes = FULL) -> Iterator[Workload]:
  """All workloads, in an order that does not change."""
  for theme in (flows, residuals, operators, hessians, printed_code):
    yield from theme.workloads(sizes)
