"""Pieces of wavefunctions, each a function of the coordinates of four
electrons, of shape (12,), that gives a number."""

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

COUNT, WIDTH = 4, 32
_rng = np.random.RandomState(3)


def _matrix(*shape):
  return np.float32(_rng.randn(*shape) / np.sqrt(shape[-2]))


_FIRST, _LAST = _matrix(3, WIDTH), _matrix(WIDTH, 1)[:, 0]
_SQUARE = [_matrix(WIDTH, WIDTH) for _ in range(4)]
_WIDE, _PAIRS = _matrix(3 * WIDTH, WIDTH), _matrix(4, WIDTH)
_ORBITALS = _matrix(WIDTH, 3 * COUNT)
_FILTER = _matrix(3, WIDTH, WIDTH)


def _points(x):
  return x.reshape(COUNT, 3)


def _features(x):
  return jnp.tanh(jnp.tanh(_points(x) @ _FIRST) @ _SQUARE[0])


def _head(h):
  return (jnp.tanh(h @ _SQUARE[1]) @ _LAST).sum()


def _pairs(x):
  r = _points(x)
  e = r[:, None] - r[None]
  unit = jnp.eye(COUNT, dtype=x.dtype)
  return e, jnp.linalg.norm(e + unit[..., None], axis=-1) * (1 - unit)


def _matrices(x):
  h = (_features(x) @ _ORBITALS).reshape(COUNT, 3, COUNT)
  return h.transpose(1, 0, 2)


def _attention(h):
  q, k, v = (jnp.reshape(h @ w, (COUNT, 4, -1)) for w in _SQUARE[:3])
  weights = jax.nn.softmax(jnp.einsum("ihd,jhd->hij", q, k) / 3)
  return jnp.einsum("hij,jhd->ihd", weights, v).reshape(COUNT, -1) @ _SQUARE[3]


def _normalized(h):
  return (h - h.mean(-1, keepdims=True)) * lax.rsqrt(
      h.var(-1, keepdims=True) + 1e-3)


def _residual(x, layers=3):
  h = jnp.tanh(_points(x) @ _FIRST)
  for i in range(layers):
    h = h + jnp.tanh(h @ _SQUARE[i])
  return _head(h)


def _means(x):
  h = jnp.tanh(_points(x) @ _FIRST)
  for _ in range(2):
    means = [jnp.broadcast_to(part.mean(0), h.shape) for part in (h[:2], h[2:])]
    h = h + jnp.tanh(jnp.concatenate([h, *means], -1) @ _WIDE)
  return _head(h)


def _pair_features(x):
  e, r = _pairs(x)
  h = jnp.tanh(jnp.concatenate([e, r[..., None]], -1) @ _PAIRS)
  return (jnp.tanh(h @ _SQUARE[0]) @ _LAST).mean((0, 1))


def _jastrow(x):
  _, r = _pairs(x)
  return _head(_features(x)) - jnp.triu(1 / (1 + r), 1).sum()


def _determinants(x):
  signs, logs = jnp.linalg.slogdet(_matrices(x))
  return jax.nn.logsumexp(logs, b=signs, return_sign=True)[0]


def _minors(x):
  m = _matrices(x)
  return jnp.log(jnp.abs(m[:, 0, 0] * m[:, 1, 1] - m[:, 0, 1] * m[:, 1, 0])
                 ).sum()


def _cholesky(x):
  m = _matrices(x)[0]
  factor = jnp.linalg.cholesky(m @ m.T + jnp.eye(COUNT))
  return jnp.log(jnp.diagonal(factor)).sum()


def _masked(x):
  h = _features(x) @ _SQUARE[1]
  lower = jnp.tril(jnp.ones((COUNT, COUNT)))
  return _head(jnp.where(np.arange(WIDTH) % 3 > 0, h, 0) + lower @ h)


def _pieces_of_features(x):
  a, b = jnp.split(_features(x) @ _SQUARE[1], 2, -1)
  chosen = (_features(x) @ _SQUARE[2])[np.array([2, 0, 3, 3])]
  return _head(jnp.concatenate([b, a * b], -1) + chosen)


def _convolution(x):
  h = _features(x) @ _SQUARE[1]
  return _head(lax.conv_general_dilated(
      h[None], _FILTER.astype(x.dtype), (1,), "SAME",
      dimension_numbers=("NWC", "WIO", "NWC"))[0])


def _scan(x):
  def layer(h, w):
    return h + jnp.tanh(h @ w), (h @ w).sum(0)
  h, sums = lax.scan(layer, _features(x), np.stack(_SQUARE).astype(x.dtype))
  return _head(h) + (sums ** 2).sum() / 100


def _fori_loop(x):
  w = jnp.asarray(_SQUARE[2], x.dtype)
  return _head(lax.fori_loop(0, 3, lambda _, h: h + jnp.tanh(h @ w),
                             _features(x)))


def _while_loop(x):
  w = jnp.asarray(_SQUARE[2], x.dtype)
  return _head(lax.while_loop(
      lambda carry: carry[0] < 3.0,
      lambda carry: (carry[0] + 1, jnp.tanh(carry[1] @ w)),
      (jnp.zeros((), x.dtype), _features(x)))[1])


def _cond(x):
  w = jnp.asarray(_SQUARE[2], x.dtype)
  return _head(lax.cond(x[0] > 9, lambda h: h, lambda h: jnp.tanh(h @ w),
                        _features(x)))


def _remat(x):
  return _head(jax.checkpoint(lambda h: jnp.tanh(h @ _SQUARE[2]))(_features(x)))


PIECES = {
    "attention": lambda x: _head(_features(x) + _attention(_features(x))),
    "cholesky": _cholesky,
    "cond": _cond,
    "convolution": _convolution,
    "cumsum": lambda x: _head(jnp.cumsum(_features(x) @ _SQUARE[1], 0)),
    "determinants": _determinants,
    "elu": lambda x: _head(jax.nn.elu(_features(x) @ _SQUARE[2])),
    "envelope": lambda x: ((_features(x) @ _SQUARE[2]) * jnp.exp(
        -jnp.linalg.norm(_points(x), axis=-1))[:, None] ** 2).sum() ** 2,
    "fori loop": _fori_loop,
    "gelu": lambda x: _head(jax.nn.gelu(_features(x) @ _SQUARE[2])),
    "inverse": lambda x: jnp.trace(jnp.linalg.inv(_matrices(x)[0])),
    "jastrow": _jastrow,
    "layer norm": lambda x: _head(_normalized(_features(x))),
    "logsumexp": lambda x: jax.nn.logsumexp(_features(x) @ _LAST),
    "masked": _masked,
    "means": _means,
    "minors": _minors,
    "pairs": _pair_features,
    "pieces": _pieces_of_features,
    "remat": _remat,
    "residual": _residual,
    "scan": _scan,
    "silu": lambda x: _head(jax.nn.silu(_features(x) @ _SQUARE[2])),
    "solve": lambda x: jnp.linalg.solve(
        _matrices(x)[0], jnp.ones(COUNT, x.dtype)).sum(),
    "while loop": _while_loop,
}
