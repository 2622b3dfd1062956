"""Atoms and small molecules, and the potential energy of their electrons.

Lengths are in Bohr and energies in Hartree. The energies are of the ground
state with the nuclei at rest, without relativity:

- He: Pekeris 1959, 1^1S and 2^3S states of helium
- H2 at 1.4011: Kolos and Wolniewicz 1968, Improved theoretical ground-state
  energy of the hydrogen molecule
- Li: Yan and Drake 1995, Eigenvalues and expectation values for the 1s^2 2s ^2S
  states of lithium
- LiH at 3.015: Cencek and Rychlewski 2000, Benchmark calculations for He2+ and
  LiH molecules using explicitly correlated Gaussian functions
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np


class Molecule(NamedTuple):
  """Nuclei, their electrons of both spins, and the energy that is known."""
  atoms: tuple[tuple[float, float, float], ...]
  charges: tuple[int, ...]
  up: int
  down: int
  energy: float

  @property
  def electrons(self) -> int:
    return self.up + self.down


_ORIGIN = (0.0, 0.0, 0.0)
MOLECULES = {
    "H": Molecule((_ORIGIN,), (1,), 1, 0, -0.5),
    "He": Molecule((_ORIGIN,), (2,), 1, 1, -2.903724),
    "H2": Molecule((_ORIGIN, (0.0, 0.0, 1.4011)), (1, 1), 1, 1, -1.17447),
    "Li": Molecule((_ORIGIN,), (3,), 2, 1, -7.478060),
    "LiH": Molecule((_ORIGIN, (0.0, 0.0, 3.015)), (3, 1), 2, 2, -8.070548)}


def potential(molecule: Molecule, x: jax.Array) -> jax.Array:
  """Of electrons at `x`, three coordinates of one after those of another."""
  points = x.reshape(-1, 3)
  atoms, charges = np.array(molecule.atoms), np.array(molecule.charges)
  of_nuclei = sum(
      charges[i] * charges[j] / np.linalg.norm(atoms[i] - atoms[j])
      for i in range(len(atoms)) for j in range(i))
  i, j = np.triu_indices(len(points), 1)
  of_electrons = jnp.sum(1 / jnp.linalg.norm(points[i] - points[j], axis=-1))
  to_nuclei = jnp.linalg.norm(points[:, None] - atoms, axis=-1)
  return of_nuclei + of_electrons - jnp.sum(charges / to_nuclei)


def first_places(key: jax.Array, molecule: Molecule, batch: int) -> jax.Array:
  """Electrons about the nuclei, as many as cancel the charge; of each spin
  every other one."""
  home = np.repeat(np.arange(len(molecule.charges)), molecule.charges)
  home = np.concatenate([home[::2], home[1::2]])
  noise = jax.random.normal(key, (batch, molecule.electrons, 3))
  return (jnp.array(molecule.atoms)[home] + noise).reshape(batch, -1)
