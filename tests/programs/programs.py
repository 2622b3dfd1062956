"""Programs of one real number with calls, loops and linear algebra inside.

Every one can be differentiated forward as often as one likes. Growth, values
and the table of what works are checked for all of them.
"""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

_random = np.random.RandomState(0)
_weights = [_random.normal(size=shape, scale=0.3)
            for shape in ((4, 8), (8, 8), (8, 3))]
_x = _random.normal(size=4)
_matrix = _random.normal(size=(4, 4))
_vector = _random.normal(size=4)


def _mlp(activation):
  def apply(t):
    w1, w2, w3 = map(jnp.asarray, _weights)
    return jnp.sum(activation(activation(_x * t @ w1) @ w2) @ w3)
  return apply


def _layer_norm(h):
  return jnp.tanh((h - jnp.mean(h)) / jnp.sqrt(jnp.var(h) + 1e-3))


def _symmetric(t):
  return jnp.diag(jnp.arange(4.)) + t * (_matrix + _matrix.T)


def _regular(t):
  return 4 * jnp.eye(4) + jnp.sin(t * jnp.asarray(_matrix))


def _fori(t):
  return lax.fori_loop(0, 5, lambda i, c: jnp.sin(c) * t, t)


def _scan(t):
  return lax.scan(lambda c, _: (jnp.tanh(c * 1.1 + t), None), t, None,
                  length=5)[0]


def _scan_stacked(t):
  final, ys = lax.scan(lambda c, x: (jnp.tanh(c * x + t), c * c), t,
                       jnp.arange(3.), reverse=True, unroll=2)
  return final + jnp.sum(ys)


def _scan_in_scan(t):
  def outer(c, _):
    return lax.scan(lambda d, _: (jnp.sin(d) * t, None), c, None, length=2)
  return lax.scan(lambda c, _: (outer(c, None)[0], None), t, None, length=3)[0]


def _cond_in_scan(t):
  def step(c, i):
    return lax.cond(i % 2 == 0, jnp.sin, lambda c: c * t, c), None
  return lax.scan(step, t, jnp.arange(4))[0]


def _while(t):
  return lax.while_loop(lambda s: s[0] < 4,
                        lambda s: (s[0] + 1, jnp.sin(s[1]) * t), (0, t))[1]


def _while_until(t):
  return lax.while_loop(lambda c: c < 3., lambda c: c * c * t + 0.1, t)


def _jit_in_jit(t):
  square = jax.jit(lambda y: jnp.sin(y) * y)
  return jax.jit(lambda x: jnp.exp(square(x) * x))(t)


@jax.custom_jvp
def _custom(x):
  return jnp.sin(x) * x


@_custom.defjvp
def _custom_jvp(primals, tangents):
  (x,), (dx,) = primals, tangents
  return _custom(x), (_custom(x) / x + x * jnp.cos(x)) * dx


@jax.custom_jvp
def _custom_loop(x):
  return x * _fori(x)


@_custom_loop.defjvp
def _custom_loop_jvp(primals, tangents):
  (x,), (dx,) = primals, tangents
  y, dy = jax.jvp(_fori, (x,), (dx,))
  return _custom_loop(x), y * dx + x * dy


@jax.checkpoint
def _remat(t):
  return jnp.sin(jnp.sin(t) * t)


PROGRAMS: dict[str, Callable[[Any], jax.Array]] = {
    "scan": _scan,
    "scan with stacked results": _scan_stacked,
    "scan in scan": _scan_in_scan,
    "cond in scan": _cond_in_scan,
    "fori_loop": _fori,
    "while_loop": _while,
    "while_loop until": _while_until,
    "cond": lambda t: lax.cond(t > 0.5, lambda x: jnp.sin(x)**2, jnp.cos, t),
    "switch": lambda t: lax.switch(
        jnp.int32(t * 2), [jnp.sin, jnp.cos, jnp.tanh], t * t),
    "map": lambda t: jnp.sum(
        lax.map(lambda x: jnp.sin(x * t) * t, jnp.arange(3.))),
    "associative_scan": lambda t: lax.associative_scan(
        jnp.multiply, jnp.sin(t * jnp.arange(1., 5.)))[-1],
    "jit in jit": _jit_in_jit,
    "custom_jvp": _custom,
    "custom_jvp with a loop": _custom_loop,
    "checkpoint": _remat,
    "relu mlp": _mlp(lambda h: jax.nn.relu(h) * h),
    "silu mlp": _mlp(jax.nn.silu),
    "softplus mlp": _mlp(jax.nn.softplus),
    "gelu mlp": _mlp(jax.nn.gelu),
    "layer norm mlp": _mlp(_layer_norm),
    "cholesky": lambda t: jnp.sum(
        jnp.linalg.cholesky(3 * jnp.eye(4) + t)),
    "solve": lambda t: jnp.sum(jnp.linalg.solve(_regular(t), _vector)),
    "det": lambda t: jnp.linalg.det(_regular(t)),
    "inv": lambda t: jnp.sum(jnp.linalg.inv(_regular(t))),
    "expm": lambda t: jnp.sum(jax.scipy.linalg.expm(t * _matrix / 4)),
    "eigh values": lambda t: jnp.sum(
        jnp.sin(jnp.linalg.eigh(_symmetric(t))[0])),
    "eigh vectors": lambda t: jnp.sum(jnp.linalg.eigh(_symmetric(t))[1]**2
                                      * jnp.arange(4.)),
    "lgamma": lambda t: lax.lgamma(t * t + 1.5),
    "fft": lambda t: jnp.abs(jnp.fft.fft(jnp.sin(t * jnp.arange(8.))))[2],
}

# Of which reverse mode is defined: not of a loop whose length is not known.
REVERSIBLE = {name: fun for name, fun in PROGRAMS.items()
              if "while" not in name}
POINT = 1.1
