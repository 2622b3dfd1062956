"""Random programs that run on two devices, in `shard_map`.

Instructions on a stack of four arrays, as in typed_programs.py: of six numbers
outside, and of three on each device inside. Inside the devices talk to one
another, and derivatives are taken inside and outside:

    [("shard_map", [("collective", 0, 1), ("jvp", [("unary", 0, 0)], 0)], 1)]

They need two devices.
"""

from hypothesis import strategies as st
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import typed_programs

_AXIS = "i"
ROWS = (
    np.array([1.0, -2.0, 0.5, 0.3, 0.7, 1.1]), np.zeros(6),
    np.array([0, -0.0, 1, 2, 3, -1]),
    np.array([np.nan, np.inf, -np.inf, 1, 2, 3]))

UNARY = (
    lax.sin, lax.neg, lax.square, lax.tanh, lambda x: x * np.float32(0.5),
    lambda x: lax.rev(x, (0,)), lambda x: x * jnp.sum(x), lambda x: x - x,
    jax.nn.relu, lambda x: jnp.exp(-x * x), jnp.cumsum)
BINARY = (lax.add, lax.sub, lax.mul, lambda x, y: jnp.where(x < y, x, y),
          lambda x, y: x @ y * y)


def _swapped(x):
  return lax.ppermute(x, _AXIS, [(0, 1), (1, 0)])


# What comes out of each differs from device to device, as loops want it.
COLLECTIVES = (
    lambda x: x - lax.psum(x, _AXIS), lambda x: x * lax.pmean(x, _AXIS),
    _swapped, lambda x: x + _swapped(x),
    lambda x: x * lax.axis_index(_AXIS).astype(x.dtype),
    lambda x: x * lax.all_gather(x, _AXIS)[0],
    lambda x: lax.psum_scatter(jnp.concatenate([x, x]), _AXIS, tiled=True),
    lambda x: jnp.where(lax.axis_index(_AXIS) == 0, x, jnp.sin(x)),
    lambda x: lax.ppermute(x, _AXIS, [(0, 1)]),
    lambda x: x * lax.pmax(lax.stop_gradient(x), _AXIS))


def _scan(f, stack, n):
  step = lambda c, x: (f([c, x, *stack[2:]]), c)
  last, rows = lax.scan(step, stack[0], jnp.stack([stack[1]] * 2))
  return last * rows[n % 2]


def _of_first(transformed):
  def wrapped(f, stack, n):
    return transformed(lambda x: f([x, *stack[1:]]), stack[0], stack[1])
  return wrapped


def _shard_map(f, stack, n):
  """On two devices: with types that say what varies or not, and the second
  operand the same on all or not."""
  P = jax.sharding.PartitionSpec
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), (_AXIS,))
  specs = (P(_AXIS), P() if n > 1 else P(_AXIS), P(_AXIS), P(_AXIS))
  local = lambda a, b, c, d: f([a, b[:3], c, d])
  call = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=P(_AXIS),
                       check_vma=bool(n % 2))
  return call(*stack)


def _summed(f, stack, n):
  P = jax.sharding.PartitionSpec
  mesh = jax.sharding.Mesh(np.array(jax.devices()[:2]), (_AXIS,))
  call = jax.shard_map(
      lambda *s: lax.psum(f(s), _AXIS), mesh=mesh, in_specs=P(_AXIS),
      out_specs=P(), check_vma=bool(n % 2))
  return jnp.tile(call(*stack), 2)


ANYWHERE = {
    "scan": _scan,
    "fori": lambda f, stack, n: lax.fori_loop(
        0, n, lambda _, x: f([x, *stack[1:]]), stack[0]),
    "cond": lambda f, stack, n: lax.cond(
        stack[0][0] < stack[1][n % 3], f, lambda s: s[0], stack),
    "jit": lambda f, stack, n: jax.jit(lambda *s: f(s))(*stack),
    "checkpoint": lambda f, stack, n: jax.checkpoint(f)(stack),
    "jvp": _of_first(lambda f, x, v: jax.jvp(f, (x,), (v,))[1]),
    "jvp jvp": _of_first(lambda f, x, v: jax.jvp(
        lambda y: jax.jvp(f, (y,), (v,))[1], (x,), (v,))[1]),
    "grad": _of_first(lambda f, x, v: jax.grad(lambda y: f(y).sum())(x)),
}
SHARDED = {"shard_map": _shard_map, "summed": _summed}
NESTED = ANYWHERE | SHARDED

_index = st.integers(0, 3)
_one_of = lambda table: st.integers(0, len(table) - 1)
_flat = [
    st.tuples(st.just("unary"), _one_of(UNARY), _index),
    st.tuples(st.just("binary"), _one_of(BINARY), _index, _index),
    st.tuples(st.just("again"), _index)]
_inside = [*_flat, st.tuples(st.just("collective"), _one_of(COLLECTIVES),
                             _index)]


def programs():
  """Programs with `shard_map` in them, at the top or in a loop or a call."""
  innermost = st.lists(st.one_of(_inside), min_size=1, max_size=3)
  inside = st.lists(st.one_of(*_inside, st.tuples(
      st.sampled_from([*ANYWHERE]), innermost, _index)),
      min_size=1, max_size=4)
  sharded = st.tuples(st.sampled_from([*SHARDED]), inside, _index)
  nested = st.tuples(st.sampled_from([*ANYWHERE]), st.lists(
      st.one_of(sharded, *_flat), min_size=1, max_size=2), _index)
  return st.lists(st.one_of(*_flat, sharded, sharded, nested),
                  min_size=1, max_size=4)


def meaning(program):
  """The function of an array of six numbers that `program` stands for."""
  return lambda x: typed_programs.run(program, [x] * 4, NESTED, push)


def push(instruction, stack):
  """What an instruction without programs of its own computes."""
  kind, what, *numbers = instruction
  if kind == "binary":
    return BINARY[what](stack[numbers[0]], stack[numbers[1]])
  table = UNARY if kind == "unary" else COLLECTIVES
  return table[what](stack[numbers[0]])
