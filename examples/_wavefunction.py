"""Small networks for the wavefunction of electrons, with weights to be trained.

    params = init(jax.random.key(0), molecule, "ferminet")
    log_psi(params, molecule, "ferminet", x)

A network makes features of each electron from all others. Orbitals are linear
in them, in envelopes that fall off exponentially from the nuclei. A matrix of
orbitals at electrons has a block for each spin and zeros elsewhere, so that its
determinant is the product of theirs; a few of these are summed. All of that is
smooth. The cusps, where two electrons or an electron and a nucleus meet, are
those of a factor in front, so that the local energy has no poles there. In the
papers networks see distances, and learn cusps.

FermiNet: Pfau, Spencer, Matthews and Foulkes 2020, Ab initio solution of the
many-electron Schroedinger equation with deep neural networks. PsiFormer: von
Glehn, Spencer and Pfau 2023, A self-attention ansatz for ab-initio quantum
chemistry. Kato 1957, On the eigenfunctions of many-particle systems in quantum
mechanics, has the slopes of the cusps.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from _molecules import Molecule
import _training

WIDTH, PAIR_WIDTH, LAYERS, HEADS, DETERMINANTS = 32, 8, 2, 4, 4


class Geometry(NamedTuple):
  """What a network sees of electrons: smooth functions of the vectors to
  nuclei and between electrons, and spins."""
  atoms: jax.Array
  pairs: jax.Array
  spins: np.ndarray


def _smooth(vectors):
  """Of each its direction far out, and its length as a smooth function."""
  square = jnp.sum(vectors**2, axis=-1, keepdims=True)
  return jnp.concatenate(
      [vectors / jnp.sqrt(1 + square), jnp.log1p(square)], -1)


def _dense(layer, x):
  weights, bias = layer
  return x @ weights + bias


def _layer(key, inputs, outputs):
  return _training.init(key, [inputs, outputs])[0]


# The networks.

def _init_ferminet(keys, inputs):
  layers, one, two = [], inputs, 4
  for _ in range(LAYERS):
    layers.append((_layer(next(keys), 3 * one + 2 * two, WIDTH),
                   _layer(next(keys), two, PAIR_WIDTH)))
    one, two = WIDTH, PAIR_WIDTH
  return layers


def _ferminet(layers, at: Geometry):
  """Each layer sees the means over the electrons of either spin."""
  spins = [at.spins == spin for spin in (1, -1)]
  # A spin without electrons has a mean of zeros.
  shares = [spin / max(spin.sum(), 1) for spin in spins]
  one, two = at.atoms, at.pairs
  for layer, pair_layer in layers:
    means = [jnp.broadcast_to(share @ one, one.shape) for share in shares]
    inputs = jnp.concatenate([one, *means, *(
        jnp.einsum("j,ijk->ik", share, two) for share in shares)], -1)
    new = jnp.tanh(_dense(layer, inputs))
    one = one + new if one.shape == new.shape else new
    new = jnp.tanh(_dense(pair_layer, two))
    two = two + new if two.shape == new.shape else new
  return one


def _init_psiformer(keys, inputs):
  square = lambda: _layer(next(keys), WIDTH, WIDTH)
  return (_layer(next(keys), inputs + 1, WIDTH),
          [[square() for _ in range(6)] for _ in range(LAYERS)])


def _psiformer(layers, at: Geometry):
  """Each electron attends to all."""
  def normalized(h):
    h = h - h.mean(-1, keepdims=True)
    return h * jax.lax.rsqrt(jnp.mean(h * h, -1, keepdims=True) + 1e-5)

  first, blocks = layers
  h = _dense(first, jnp.concatenate([at.atoms, at.spins[:, None]], -1))
  for query, key, value, out, wide, back in blocks:
    seen = normalized(h)
    q, k, v = (_dense(layer, seen).reshape(len(h), HEADS, -1)
               for layer in (query, key, value))
    weights = jax.nn.softmax(
        jnp.einsum("ihd,jhd->hij", q, k) / np.sqrt(WIDTH / HEADS))
    h = h + _dense(out, jnp.einsum("hij,jhd->ihd", weights, v).reshape(h.shape))
    h = h + _dense(back, jnp.tanh(_dense(wide, normalized(h))))
  return h


NETWORKS: dict[str, tuple[Callable, Callable]] = {
    "ferminet": (_init_ferminet, _ferminet),
    "psiformer": (_init_psiformer, _psiformer)}


# The wavefunction.

def init(key: jax.Array, molecule: Molecule, network: str) -> dict[str, Any]:
  """Parameters of one of `NETWORKS`, of its orbitals and of the factor.

  The orbitals begin near their envelopes, and of those the first of each spin
  near the innermost of an atom, which falls off by half the charge beside the
  factor for the cusps.
  """
  m, n = len(molecule.atoms), molecule.electrons
  first, last, *rest = jax.random.split(key, 20)
  shape = m, DETERMINANTS, n
  decay = jnp.ones(shape).at[:, :, [0, molecule.up][:n]].set(
      jnp.array(molecule.charges, jnp.float32)[:, None, None])
  decay *= 1 + jax.random.normal(first, shape) / 10
  weights, bias = _layer(last, WIDTH, DETERMINANTS * n)
  return {"layers": NETWORKS[network][0](iter(rest), 4 * m),
          "orbitals": (weights / 4, bias + 1), "decay": decay.reshape(m, -1),
          "cusps": {"electrons": jnp.ones(2), "nuclei": jnp.full(m, 0.5)}}


def log_psi(params: dict[str, Any], molecule: Molecule, network: str,
            x: jax.Array) -> jax.Array:
  """The logarithm of the absolute value, of electrons at `x`, three coordinates
  of one after those of another."""
  n = molecule.electrons
  points = x.reshape(n, 3)
  spins = np.repeat([1, -1], [molecule.up, molecule.down])
  to_atoms = points[:, None] - np.array(molecule.atoms, x.dtype)
  at = Geometry(_smooth(to_atoms).reshape(n, -1),
                _smooth(points[:, None] - points), spins.astype(x.dtype))
  h = NETWORKS[network][1](params["layers"], at)
  return (_cusps(params["cusps"], molecule, points, to_atoms, spins)
          + _log_determinants(params, h, to_atoms, spins))


def _cusps(lengths, molecule, points, to_atoms, spins):
  """A factor with Kato's slopes, of its logarithm: 1/4 where two electrons of
  one spin meet, 1/2 for different spins, and -Z at a nucleus."""
  def term(a, slope, vectors):
    r = jnp.linalg.norm(vectors, axis=-1)
    return -jnp.sum(slope * a**2 / (jnp.abs(a) + r))

  i, j = np.triu_indices(len(spins), 1)
  same = spins[i] == spins[j]
  charges = np.array(molecule.charges, points.dtype)
  return (term(lengths["nuclei"], -charges, to_atoms)
          + term(jnp.where(same, *lengths["electrons"]),
                 np.where(same, 0.25, 0.5).astype(points.dtype),
                 points[i] - points[j]))


def _log_determinants(params, h, to_atoms, spins):
  n = len(spins)
  far = jnp.sqrt(1 + jnp.sum(to_atoms**2, axis=-1, keepdims=True))
  envelopes = jnp.exp(-far * jnp.abs(params["decay"])).sum(1)
  orbitals = (_dense(params["orbitals"], h) * envelopes).reshape(n, -1, n)
  blocks = (spins[:, None] == spins).astype(h.dtype)
  signs, logs = jnp.linalg.slogdet(orbitals.transpose(1, 0, 2) * blocks)
  return jax.nn.logsumexp(logs, b=signs, return_sign=True)[0]
