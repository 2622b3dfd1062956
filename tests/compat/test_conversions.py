"""Floats beyond the range of an integer type are converted as without CSE."""

import contextlib
import functools
import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse

MODES = "exact", "reassociate", "ring"
FLOATS = "float32", "float64", "bfloat16", "float16", "complex64"
INTEGERS = ("int4", "uint4", "int8", "uint8", "int16", "uint16", "int32",
            "uint32", "int64", "uint64")
X = np.float32(2)


def _within(mode):
  def road(fun):
    def traced(*args):
      with jax_cse.enabled(mode):
        return jax.jit(lambda *xs: fun(*xs))(*args)
    return traced
  return road


def _of_jaxpr(mode):
  def road(fun):
    def evaluated(*args):
      jaxpr = jax_cse.cse_jaxpr(jax.make_jaxpr(lambda *xs: fun(*xs))(*args),
                                mode)
      return jax.jit(core.jaxpr_as_fun(jaxpr))(*args)
    return evaluated
  return road


def _both(mode):
  return lambda fun: _within(mode)(jax_cse.cse(fun, mode))


ROADS = {
    "enabled": _within,
    "cse": lambda mode: lambda fun: jax.jit(jax_cse.cse(fun, mode)),
    "eager cse": lambda mode: lambda fun: jax_cse.cse(fun, mode),
    "cse_jaxpr": _of_jaxpr,
    "cse within enabled": _both,
}


def _constant(x, dtype="float32"):
  return jnp.asarray(np.asarray(x).astype(dtype))


def _sum(dtype="float32", of=300):
  return lax.add(_constant(of, dtype), _constant(of, dtype))


def _as(x, dtype="int8"):
  if jnp.iscomplexobj(x):
    x = lax.real(x)
  return lax.convert_element_type(x, dtype)


def _computed(dtype, to):
  """Numbers that are computed, beyond the range of `to` or within it."""
  c = lambda x: _constant(x, dtype)
  most = float(jnp.finfo(dtype).max)
  return [_as(x, to) for x in (
      _sum(dtype), lax.neg(_sum(dtype)), lax.mul(c(2.7), c(1)),
      lax.mul(c(-0.7), c(1)), lax.sub(c(0), c(1)), lax.mul(c(most), c(0.5)),
      lax.mul(c(most), c(-0.5)), lax.mul(c(most), c(2)),
      lax.mul(c(most), c(-2)))]


def _literal(x=600):
  return _as(_constant(x))


@jax.custom_jvp
def _whole(x):
  return _as(x).astype("float32")


@_whole.defjvp
def _rule(primals, tangents):
  (x,), (t,) = primals, tangents
  return _whole(x), t * _as(x).astype("float32")


def _looped(x):
  k = _sum()
  step = lambda s, _: (s + _as(k) + _as(_sum()), None)
  return lax.scan(step, x, None, length=2)[0]


PROGRAMS = {
    "computed": lambda x: x * _as(_sum()),
    "in a jit": lambda x: x * jax.jit(_as)(_sum()),
    "a literal in a jit": lambda x: x * jax.jit(_as)(_constant(600)),
    "in an inlined jit": lambda x: x * jax.jit(_as, inline=True)(_sum()),
    "in a loop": _looped,
    "in a branch": lambda x: lax.cond(
        x > 0, lambda k: x * _as(k), lambda k: x, _sum()),
    "in a remat": lambda x: jax.checkpoint(
        lambda x, k: jnp.sin(x) * _as(k))(x, _sum()),
    "custom rule": lambda x: jax.jvp(_whole, (_sum(),), (x,)),
    "array": lambda x: x * _as(jnp.full((3,), _sum())),
    "of parts": lambda x: x * _as(jnp.stack([_sum(), _constant(3), x])),
    "beside a literal": lambda x: [
        x * y for y in (_as(_sum()), _literal(), _as(_sum()), _literal())],
    "after a literal": lambda x: [
        x * y for y in (_literal(), _as(_sum()), _literal(), _as(_sum()))],
}
LEVELS = {
    "itself": lambda fun: fun,
    "jvp": lambda fun: lambda x: jax.jvp(fun, (x,), (x,)),
    "nested jvp": lambda fun: LEVELS["jvp"](LEVELS["jvp"](fun)),
    "vmap": lambda fun: lambda x: jax.vmap(fun)(x[None]),
}


class ConversionsTest(parameterized.TestCase):

  @parameterized.parameters(*itertools.product(ROADS, MODES, FLOATS))
  def test_computed_numbers_are_cut_off(self, road, mode, dtype):
    wide = "64" in dtype
    with jax.enable_x64() if wide else contextlib.nullcontext():
      for to in INTEGERS if wide else [t for t in INTEGERS if "64" not in t]:
        fun = functools.partial(_computed, dtype, to)
        checking.assert_same_bits(ROADS[road](mode)(fun)(), jax.jit(fun)())

  @parameterized.parameters(*itertools.product(
      [road for road in ROADS if road != "eager cse"], MODES, LEVELS))
  def test_programs(self, road, mode, level):
    for name, fun in PROGRAMS.items():
      with self.subTest(name):
        fun = LEVELS[level](fun)
        checking.assert_close(jax.tree.leaves(ROADS[road](mode)(fun)(X)),
                              jax.tree.leaves(jax.jit(fun)(X)))

  @parameterized.parameters(*itertools.product(ROADS, MODES))
  def test_a_literal_of_the_program(self, road, mode):
    """JAX folds it where it stages, and where it evaluates XLA converts it."""
    plain = _literal if road == "eager cse" else jax.jit(_literal)
    found, = jax.tree.leaves(ROADS[road](mode)(lambda: _literal())())
    self.assertEqual(found, plain())

  @parameterized.parameters(*itertools.product(ROADS, MODES))
  def test_from_an_inlined_jit(self, road, mode):
    fun = lambda: [_as(jax.jit(_sum, inline=True)())]
    checking.assert_same_bits(ROADS[road](mode)(fun)(), jax.jit(fun)())

  def test_derivatives(self):
    fun = lambda x: x * x * _as(_sum())
    expected = fun(X), jax.grad(fun)(X), jax.grad(jax.grad(fun))(X)
    for derived in (jax_cse.derivatives(fun, 2),
                    jax.jit(jax_cse.derivatives(fun, 2))):
      checking.assert_close(derived(X), expected)

  def test_no_equation_is_left(self):
    with jax_cse.enabled("ring"):
      jaxpr = jax.make_jaxpr(lambda: _as(_sum()))()
    self.assertEmpty(jaxpr.eqns)


if __name__ == "__main__":
  absltest.main()
