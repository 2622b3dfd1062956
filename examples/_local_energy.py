"""The local energy of a wavefunction, with its derivatives in several ways.

    E = -1/2 (laplacian log|psi| + |grad log|psi||^2) + V

is the energy of the Hamiltonian at a point. It is constant where the
wavefunction is exact. A way takes a function of an array to one that returns
its gradient and its Laplacian.
"""

from collections.abc import Callable
import importlib.util

import jax
import jax.numpy as jnp

from _molecules import Molecule, potential
import jax_cse


def by_jvp(fun: Callable) -> Callable:
  """By plain nested `jvp` along each coordinate."""
  def of(x):
    def along(v):
      first = lambda y: jax.jvp(fun, (y,), (v,))
      (_, slope), (_, second) = jax.jvp(first, (x,), (v,))
      return slope, second
    gradient, seconds = jax.vmap(along)(jnp.eye(x.size, dtype=x.dtype))
    return gradient, seconds.sum()
  return of


def by_folx(fun: Callable) -> Callable:
  """By folx, whose sparse Jacobians are left off: with a threshold of 6, for
  LiH, tracing takes three times as long and running no less."""
  import folx

  def of(x):
    found = folx.forward_laplacian(fun, sparsity_threshold=0)(x)
    return found.jacobian.dense_array, found.laplacian
  return of


def by_jax_cse(fun: Callable) -> Callable:
  return lambda x: jax_cse.value_grad_laplacian(fun)(x)[1:]


NESTED, OURS = "nested jvp", "jax_cse"
WAYS: dict[str, Callable] = {
    NESTED: by_jvp,
    **({"folx": by_folx} if importlib.util.find_spec("folx") else {}),
    OURS: by_jax_cse}


def local_energy(log_psi: Callable, molecule: Molecule, way: str = OURS
                 ) -> Callable:
  """E as a function of the electrons' coordinates, by one of `WAYS`."""
  derivatives = WAYS[way](log_psi)

  def energy(x):
    gradient, laplacian = derivatives(x)
    kinetic = -(laplacian + jnp.sum(gradient**2)) / 2
    return kinetic + potential(molecule, x)
  return energy
