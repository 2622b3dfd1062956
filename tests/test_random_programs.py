"""Random programs: with CSE every bit is what it is without.

A program is a list of instructions on a stack of arrays. Programs repeat
themselves often, on purpose: values, constants and whole expressions come from
small pools, so that there is something to merge. The pools hold what equality
gets wrong: zeros of both signs, NaNs, infinities, numbers of several types.
"""

import jax
from absl.testing import absltest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse

PROGRAMS = 5000

UNARY = (
    lax.neg, lax.sin, lax.cos, lax.tanh, lax.exp, lax.abs, lax.sign, lax.floor,
    lax.sqrt, lax.log1p, lax.square, lambda x: lax.integer_pow(x, 2),
    lambda x: lax.integer_pow(x, 3), lambda x: lax.rev(x, (0,)),
    lambda x: lax.cumsum(x, 0), lambda x: lax.sort(x),
    lambda x: lax.broadcast(lax.reduce_sum(x, (0,)), (3,)),
    lambda x: lax.broadcast(lax.reduce_max(x, (0,)), (3,)),
    lambda x: lax.convert_element_type(
        lax.convert_element_type(x, np.float16), np.float32),
    lambda x: lax.dynamic_slice(lax.concatenate([x, x], 0), (1,), (3,)),
)
BINARY = (
    lax.add, lax.sub, lax.mul, lax.div, lax.max, lax.min, lax.atan2, lax.rem,
    lax.pow, lambda x, y: lax.select(lax.lt(x, y), x, y),
    lambda x, y: lax.select(lax.eq(x, y), y, x),
    lambda x, y: lax.broadcast(lax.dot(x, y), (3,)),
)
CONSTANTS = (
    0.0, -0.0, 1.0, 1, True, 2.0, float("nan"), float("inf"), -1.5,
    np.float32(1), np.float32(-0.0), np.float16(1),
)
ROWS = (
    np.array([1.0, -2.0, 0.5], np.float32), np.array([0, -0.0, 1], np.float32),
    np.array([np.nan, np.inf, -np.inf], np.float32), np.zeros(3, np.float32),
    np.array([0x7fc00001, 0xffc00002, 0x80000000], np.uint32).view(np.float32),
)
# Transformations of a program of one array.
TRANSFORMS = {
    "none": lambda f: f,
    "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
    "jvp jvp": lambda f: lambda x: jax.jvp(
        lambda y: jax.jvp(f, (y,), (x,))[1], (x,), (x,)),
    "vmap": lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x + 1])),
    "grad": lambda f: jax.grad(lambda x: f(x).sum()),
    "vjp": lambda f: lambda x: jax.vjp(f, x)[1](x),
    "jvp grad": lambda f: lambda x: jax.jvp(
        jax.grad(lambda y: f(y).sum()), (x,), (x,)),
}

indices = st.integers(0, 3)
instructions = st.one_of(
    st.tuples(st.just("unary"), st.sampled_from(range(len(UNARY))), indices,
              indices),
    st.tuples(st.just("binary"), st.sampled_from(range(len(BINARY))), indices,
              indices),
    st.tuples(st.just("scalar"), st.sampled_from(range(len(CONSTANTS))),
              indices, st.sampled_from((2, 3, 1, 0))),
    st.tuples(st.just("row"), st.sampled_from(range(len(ROWS))), indices,
              st.sampled_from((0, 2))),
)
programs = st.lists(instructions, min_size=1, max_size=12)


def interpret(program):
  """The function of one array that `program` stands for."""
  def fun(x):
    stack = [x, x, x, x]
    for kind, op, i, j in program:
      a, b = stack[i], stack[j]
      if kind == "unary":
        out = UNARY[op](a)
      elif kind == "binary":
        out = BINARY[op](a, b)
      elif kind == "scalar":
        scalar = lax.convert_element_type(CONSTANTS[op], np.float32)
        out = BINARY[j](a, lax.broadcast(scalar, (3,)))
      else:
        out = BINARY[j](a, ROWS[op].copy())
      stack = [out, *stack[:3]]
    return stack[0] * 1
  return fun


class RandomProgramsTest(absltest.TestCase):

  @settings(max_examples=PROGRAMS, deadline=None, derandomize=True,
            database=None, suppress_health_check=list(HealthCheck))
  @given(programs, st.sampled_from(range(len(ROWS))),
         st.sampled_from(("none",) * 3 + tuple(TRANSFORMS)))
  def test_eagerly_to_the_last_bit(self, program, row, transform):
    fun = TRANSFORMS[transform](interpret(program))
    x = jnp.asarray(ROWS[row])
    plain = fun(x)
    with jax_cse.enabled():
      first, again = fun(x), fun(x)
    checking.assert_same_bits(first, plain, str(program))
    checking.assert_same_bits(again, plain, f"a second time: {program}")

  @settings(max_examples=200, deadline=None, derandomize=True, database=None,
            suppress_health_check=list(HealthCheck))
  @given(programs, st.sampled_from(tuple(TRANSFORMS)))
  def test_traced(self, program, transform):
    checking.check_never_larger(
        TRANSFORMS[transform](interpret(program)), (jnp.asarray(ROWS[0]),))


if __name__ == "__main__":
  absltest.main()
