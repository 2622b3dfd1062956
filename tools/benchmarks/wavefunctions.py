"""Value, gradient and Laplacian of wavefunctions, over those of folx.

What the local energy of variational Monte Carlo is made of, on a batch of 64
points. folx has the Jacobian dense (threshold 0), which is the control, or
sparse up to a number of directions for each element. Plain nested `jvp` is left
out: on two cores jaxlib 0.10.2 waits forever in its LAPACK calls.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax

from benchmarks.frame import BEHIND, Line, entry
from benchmarks.sizes import Size
from benchmarks.ways import compared, measured, Way
import jax_cse
from workloads import wavefunctions

_BATCH, _TURNS, _RUNS = 64, 3, 40
_THRESHOLDS = 6, 12

NETWORKS = {
    "FermiNet, 4 electrons": (wavefunctions.ferminet, 4),
    "FermiNet, 8 electrons": (wavefunctions.ferminet, 8),
    "PsiFormer, 4 electrons": (wavefunctions.psiformer, 4),
}


def by_folx(fun, threshold):
  import folx
  forward = folx.forward_laplacian(fun, threshold)

  def all_of(x):
    out = forward(x)
    return out.x, out.jacobian.dense_array, out.laplacian
  return all_of


def program(name: str, batch: int, thresholds: Sequence[int] = (),
            **kwargs) -> tuple[list[Way], jax.Array]:
  """The ways to compute it, and electrons. `kwargs` go to the network."""
  make, electrons = NETWORKS[name]
  fun = make(electrons, **kwargs)
  ways = [Way("folx", jax.vmap(by_folx(fun, 0))),
          Way("value_grad_laplacian",
              jax.vmap(jax_cse.value_grad_laplacian(fun)))]
  ways += [Way(f"folx, threshold {n}", jax.vmap(by_folx(fun, n)))
           for n in thresholds]
  return ways, wavefunctions.electrons(electrons, batch)


class _Network(NamedTuple):
  name: str

  def lines(self, size: Size) -> Iterator[Line]:
    # To trace with a threshold takes 10 to 24 times as long.
    ways, points = (
        program(self.name, 2, layers=1, width=16) if size.quick else
        program(self.name, _BATCH, size.of((), (), _THRESHOLDS)))
    found = list(measured(ways, points, _TURNS, _RUNS, size))
    yield from compared(self.name, found, BEHIND, (1e-3, 0.),
                        lambda way: way == "value_grad_laplacian")


@entry("value, gradient and Laplacian of wavefunctions, over those of folx")
def wavefunction_energies(size: Size) -> Iterator[_Network]:
  for name in NETWORKS:
    yield _Network(name)
