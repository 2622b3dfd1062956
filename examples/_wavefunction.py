"""Small networks for the wavefunction of electrons, with weights to be trained.

    params = init(jax.random.key(0), molecule, "ferminet")
    log_psi(params, molecule, "ferminet", x)

A network makes features of each electron from all others. Orbitals are linear
in them, in envelopes that fall off exponentially from the nuclei. A matrix of
orbitals at electrons has a block for each spin and zeros elsewhere, so that its
determinant is the product of theirs; a few of these are summed. A factor in
front has the cusps where two electrons meet.

FermiNet: Pfau, Spencer, Matthews and Foulkes 2020, Ab initio solution of the
many-electron Schroedinger equation with deep neural networks. PsiFormer: von
Glehn, Spencer and Pfau 2023, A self-attention ansatz for ab-initio quantum
chemistry, whose Jastrow factor stands in both.
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
  """What a network sees of electrons: vectors and distances, scaled so that
  they grow slowly far out, to nuclei and between electrons; and spins."""
  atoms: jax.Array
  pairs: jax.Array
  spins: np.ndarray


def _scaled(vectors, r):
  """Vectors and distances that grow as the logarithm of the distance."""
  r = r[..., None]
  return jnp.concatenate([vectors * (jnp.log1p(r) / r), jnp.log1p(r)], -1)


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
  """Parameters of one of `NETWORKS`, of its orbitals and of the factor."""
  first, *rest = jax.random.split(key, 20)
  m, orbitals = len(molecule.atoms), DETERMINANTS * molecule.electrons
  decay = 1 + jax.random.normal(first, (m, orbitals)) / 4
  last, *rest = rest
  return {"layers": NETWORKS[network][0](iter(rest), 4 * m),
          "orbitals": _layer(last, WIDTH, orbitals),
          "decay": decay, "jastrow": jnp.ones(2)}


def log_psi(params: dict[str, Any], molecule: Molecule, network: str,
            x: jax.Array) -> jax.Array:
  """The logarithm of the absolute value, of electrons at `x`, three coordinates
  of one after those of another."""
  n = molecule.electrons
  points = x.reshape(n, 3)
  spins = np.repeat([1, -1], [molecule.up, molecule.down])
  to_atoms = points[:, None] - np.array(molecule.atoms, x.dtype)
  r_atoms = jnp.linalg.norm(to_atoms, axis=-1)
  # An electron is at no distance from itself, where a norm has no derivative.
  unit = np.eye(n, dtype=x.dtype)
  pairs = points[:, None] - points
  r_pairs = jnp.linalg.norm(pairs + unit[..., None], axis=-1)
  at = Geometry(
      _scaled(to_atoms, r_atoms).reshape(n, -1),
      _scaled(pairs, r_pairs) * (1 - unit[..., None]), spins.astype(x.dtype))
  h = NETWORKS[network][1](params["layers"], at)
  return (_jastrow(params["jastrow"], r_pairs, spins)
          + _log_determinants(params, h, r_atoms, spins))


def _jastrow(lengths, r, spins):
  """Its slope where two electrons meet is 1/4 for equal spins, else 1/2."""
  i, j = np.triu_indices(len(spins), 1)
  same = spins[i] == spins[j]
  a = jnp.where(same, lengths[0], lengths[1])
  slope = np.where(same, 0.25, 0.5).astype(r.dtype)
  return -jnp.sum(slope * a**2 / (jnp.abs(a) + r[i, j]))


def _log_determinants(params, h, r_atoms, spins):
  n = len(spins)
  envelopes = jnp.exp(-r_atoms[..., None] * jnp.abs(params["decay"])).sum(1)
  orbitals = (_dense(params["orbitals"], h) * envelopes).reshape(n, -1, n)
  blocks = (spins[:, None] == spins).astype(h.dtype)
  signs, logs = jnp.linalg.slogdet(orbitals.transpose(1, 0, 2) * blocks)
  return jax.nn.logsumexp(logs, b=signs, return_sign=True)[0]
