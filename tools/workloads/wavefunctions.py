"""Wavefunctions of electrons in a molecule, as papers write them.

    network, x = ferminet(4), electrons(4, batch=64)
    network(x[0])       # the logarithm of the absolute value, of 3n coordinates

FermiNet: Pfau, Spencer, Matthews and Foulkes 2020, Ab initio solution of the
many-electron Schroedinger equation with deep neural networks. PsiFormer: von
Glehn, Spencer and Pfau 2023, A self-attention ansatz for ab-initio quantum
chemistry. Widths are smaller than in the papers, and weights are drawn.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

Wavefunction = Callable[[jax.Array], jax.Array]

_DETERMINANTS = 8


class _Weights:
  """Matrices and vectors of random numbers, in the order that they are asked
  for."""

  def __init__(self, seed: int):
    self._rng = np.random.RandomState(seed)

  def matrix(self, *shape: int) -> np.ndarray:
    scale = np.sqrt(shape[-2])
    return (self._rng.randn(*shape) / scale).astype("float32")

  def vector(self, size: int) -> np.ndarray:
    return (0.1 * self._rng.randn(size)).astype("float32")

  def dense(self, inputs: int, outputs: int):
    weights, bias = self.matrix(inputs, outputs), self.vector(outputs)
    return lambda x: x @ weights + bias


def atoms(electrons: int) -> np.ndarray:
  """A chain of atoms, one for two electrons, 1.4 Bohr apart."""
  return np.array([(1.4 * i, 0, 0) for i in range(max(electrons // 2, 1))],
                  "float32")


def electrons(count: int, batch: int, seed: int = 0) -> jax.Array:
  """Coordinates of electrons around the atoms, for each of a batch of points;
  shape (batch, 3 * count), in Bohr."""
  rng = np.random.RandomState(seed)
  places = atoms(count)[np.arange(count) % len(atoms(count))]
  return jnp.asarray((places + rng.randn(batch, count, 3)).reshape(
      batch, 3 * count), "float32")


def _features(x, places):
  """Vectors and distances from atoms to electrons, and between electrons."""
  n = x.size // 3
  points = x.reshape(n, 3)
  to_atoms = points[:, None] - places
  r_atoms = jnp.linalg.norm(to_atoms, axis=-1, keepdims=True)
  pairs = points[:, None] - points
  unit = jnp.eye(n)[..., None]
  r_pairs = jnp.linalg.norm(pairs + unit, axis=-1, keepdims=True) * (1 - unit)
  return to_atoms, r_atoms, pairs, r_pairs


def _orbitals(h, r_atoms, weights, count):
  """Determinants of orbitals in exponential envelopes: the logarithm of the
  absolute value of their sum."""
  dense = weights.dense(h.shape[-1], _DETERMINANTS * count)
  m = r_atoms.shape[1]
  decay = 1 + weights.matrix(m, _DETERMINANTS * count) / 4
  orbitals = dense(h) * jnp.sum(jnp.exp(-r_atoms * jnp.abs(decay)), axis=1)
  orbitals = orbitals.reshape(count, _DETERMINANTS, count).transpose(1, 0, 2)
  signs, logs = jnp.linalg.slogdet(orbitals)
  return jax.nn.logsumexp(logs, b=signs, return_sign=True)[0]


def ferminet(count: int, width: int = 64, pair_width: int = 16,
             layers: int = 3, seed: int = 0) -> Wavefunction:
  """A FermiNet for `count` electrons, half of them of each spin."""
  places, up = atoms(count), (count + 1) // 2

  def network(x):
    weights = _Weights(seed)
    to_atoms, r_atoms, pairs, r_pairs = _features(x, places)
    one = jnp.concatenate([to_atoms, r_atoms], -1).reshape(count, -1)
    two = jnp.concatenate([pairs, r_pairs], -1)
    for _ in range(layers):
      means = [jnp.broadcast_to(part.mean(0), one.shape)
               for part in (one[:up], one[up:])]
      inputs = jnp.concatenate([one, *means, two[:, :up].mean(1),
                                two[:, up:].mean(1)], -1)
      new = jnp.tanh(weights.dense(inputs.shape[-1], width)(inputs))
      one = one + new if one.shape == new.shape else new
      new = jnp.tanh(weights.dense(two.shape[-1], pair_width)(two))
      two = two + new if two.shape == new.shape else new
    return _orbitals(one, r_atoms, weights, count)
  return network


def psiformer(count: int, width: int = 64, heads: int = 4, layers: int = 2,
              seed: int = 0) -> Wavefunction:
  """A PsiFormer for `count` electrons, half of them of each spin, with its
  Jastrow factor."""
  places, up = atoms(count), (count + 1) // 2

  def normalized(h):
    h = h - h.mean(-1, keepdims=True)
    return h * jax.lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + 1e-5)

  def attention(h, weights):
    q, k, v = (weights.dense(width, width)(h).reshape(count, heads, -1)
               for _ in range(3))
    logits = jnp.einsum("ihd,jhd->hij", q, k) / np.sqrt(width / heads)
    mixed = jnp.einsum("hij,jhd->ihd", jax.nn.softmax(logits), v)
    return weights.dense(width, width)(mixed.reshape(count, width))

  def network(x):
    weights = _Weights(seed)
    to_atoms, r_atoms, _, r_pairs = _features(x, places)
    scale = jnp.log1p(r_atoms) / r_atoms
    spin = np.where(np.arange(count) < up, 1, -1).astype("float32")[:, None]
    h = jnp.concatenate([(to_atoms * scale).reshape(count, -1),
                         jnp.log1p(r_atoms).reshape(count, -1), spin], -1)
    h = weights.dense(h.shape[-1], width)(h)
    for _ in range(layers):
      h = h + attention(normalized(h), weights)
      h = h + weights.dense(width, width)(jnp.tanh(
          weights.dense(width, width)(normalized(h))))
    r = jnp.squeeze(r_pairs, -1)
    same = (spin == spin.T) & ~np.eye(count, dtype=bool)
    jastrow = -(jnp.where(same, 0.25 / (1 + r), 0).sum()
                + jnp.where(spin != spin.T, 0.5 / (1 + r), 0).sum()) / 2
    return jastrow + _orbitals(h, r_atoms, weights, count)
  return network
