"""Of made-up data nothing is evaluated but JAX's own pure operations, and never
for long."""

import contextlib
import functools
import io
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.experimental import checkify
from jax.experimental import io_callback
from jax.extend import core
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse import compat
from jax_cse.advice import known_parts

N = 3
E = np.float32([[1, 2, 3], [2, -3, 4], [3, 4, 2]])   # of trace 0
X = np.ones(N, "float32")
LIKE = jax.ShapeDtypeStruct((), "float32")
MATRIX = jax.ShapeDtypeStruct((N, N), "float32")
CALLS = []


def host(*values):
  CALLS.append(values)
  return np.float32(1)


def host_of_matrix(value):
  CALLS.append(value)
  return np.asarray(value)


def reads_no_more(fun):
  return known_parts.reads_no_more(jax.make_jaxpr(fun)(E, X), E, 0 * E)


PROGRAMS = {}


def of_a_matrix(program):
  """A program that reads a matrix by something that must not run."""
  PROGRAMS[program.__name__] = program
  return program


@of_a_matrix
def pure_callback(e):
  return jax.pure_callback(host, LIKE, e)


@of_a_matrix
def ordered(e):
  return io_callback(host, LIKE, e, ordered=True)


@of_a_matrix
def debug_callback(e):
  jax.debug.callback(host, e)


@of_a_matrix
def debug_print(e):
  jax.debug.print("made up {}", e)


@of_a_matrix
def in_a_jit(e):
  return jax.jit(pure_callback)(e)


@of_a_matrix
def in_a_branch(e):
  return lax.cond(e[0, 1] > 0, pure_callback, lambda e: 0.0, e)


@of_a_matrix
def in_a_loop(e):
  return lax.fori_loop(0, 3, lambda i, y: y + pure_callback(e), 0.0)


@of_a_matrix
def in_a_while(e):
  step = lambda y: y + pure_callback(e)
  return lax.while_loop(lambda y: y < 2, step, 0.0)


@of_a_matrix
def in_a_batch(e):
  return jax.vmap(lambda row: jax.pure_callback(
      host, LIKE, row, vmap_method="sequential"))(e)


@of_a_matrix
def in_a_checkpoint(e):
  return jax.checkpoint(pure_callback)(e)


@of_a_matrix
@jax.custom_jvp
def with_a_rule(e):
  return pure_callback(e)


with_a_rule.defjvp(lambda xs, ts: (pure_callback(xs[0]), pure_callback(ts[0])))


@of_a_matrix
@jax.custom_vjp
def with_a_backward_rule(e):
  return pure_callback(e)


with_a_backward_rule.defvjp(lambda e: (pure_callback(e), e),
                            lambda e, ct: (pure_callback(e) * e,))


@of_a_matrix
def rules_that_call_back(e):
  return jax.grad(with_a_backward_rule)(e), jax.jvp(with_a_rule, (e,), (e,))


@of_a_matrix
def on_shards(e):
  mesh = jax.make_mesh((1,), ("i",))
  spec = jax.sharding.PartitionSpec()
  return jax.shard_map(pure_callback, mesh=mesh, in_specs=spec,
                       out_specs=spec, check_vma=False)(e)


@of_a_matrix
def checked(e):
  def check(e):
    checkify.check(e[0, 1] > 0, "made up")
    return pure_callback(e)
  return checkify.checkify(check)(e)[1]


@of_a_matrix
def foreign(e):
  return jax.ffi.ffi_call("nobody_registered_this", LIKE)(e)


@of_a_matrix
def of_a_key(e):
  return e[0, 1] * jax.random.normal(jax.random.key(0))


def _impl(e):
  CALLS.append(e)
  return e


of_a_user = core.Primitive("of_a_user")
of_a_user.def_impl(_impl)
of_a_user.def_abstract_eval(lambda e: e)


@of_a_matrix
def by_a_primitive(e):
  return of_a_user.bind(e)


class RunsNothingTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    CALLS.clear()

  def assert_nothing_runs(self, fun, wanted):
    with contextlib.redirect_stdout(io.StringIO()) as out:
      self.assertEqual(reads_no_more(fun), wanted)
      jax.effects_barrier()
    self.assertEmpty(CALLS)
    self.assertEmpty(out.getvalue())

  @parameterized.parameters(*PROGRAMS)
  def test_what_reads_the_matrix(self, name):
    self.assert_nothing_runs(lambda e, x: PROGRAMS[name](e), False)

  @parameterized.parameters(*PROGRAMS)
  def test_what_reads_its_trace(self, name):
    # The result is not known, and need not be.
    self.assert_nothing_runs(lambda e, x: PROGRAMS[name](
        jnp.trace(e) * jnp.ones((N, N))), True)

  @parameterized.parameters(*PROGRAMS)
  def test_what_reads_constants(self, name):
    def program(e, x):
      read = jax.tree.leaves(PROGRAMS[name](jnp.eye(N)))
      return [jnp.sum(y) * jnp.trace(e) for y in read], jnp.trace(e)
    self.assert_nothing_runs(program, True)

  def test_references_keep_what_they_hold(self):
    held = jax.new_ref(jnp.zeros((N, N)))
    def program(e, x):
      held[...] = e
      return jnp.trace(e)
    self.assert_nothing_runs(program, False)
    np.testing.assert_array_equal(held[...], 0)

  def test_beside_an_effect_a_trace_is_one(self):
    @jax.jit
    def both(e, x):
      jax.debug.print("{}", x)
      return jnp.trace(e)
    self.assert_nothing_runs(both, True)

  @parameterized.parameters(False, True)
  def test_a_callback_on_a_hessian(self, compiled):
    def program(x):
      hessian = jax.hessian(lambda x: jnp.sum(jnp.sin(x)**2) * x[0])(x)
      return jax.pure_callback(host_of_matrix, MATRIX, hessian) * jnp.trace(
          hessian)
    jax_cse.redundancy(program, compiled=compiled)(X)
    self.assertEmpty(CALLS)


def nested_scans(depth, e):
  if not depth:
    return e
  return lax.scan(lambda y, _: (nested_scans(depth - 1, y) * 1, None), e,
                  length=50)[0]


class EndsTest(absltest.TestCase):

  def test_a_while_does_not_run(self):
    # For the matrix of trace 0 it has no end.
    def program(e, x):
      return lax.while_loop(lambda e: jnp.trace(e) == 0, lambda e: e * 1, e)
    made = jax.make_jaxpr(program)(E, X)
    with mock.patch.object(compat.while_p, "bind") as bind:
      self.assertFalse(known_parts.reads_no_more(made, E, 0 * E))
    bind.assert_not_called()

  def test_nor_one_on_constants(self):
    def program(e, x):
      return jnp.trace(e) * lax.while_loop(lambda y: y > 0, lambda y: y + 1, 1.)
    made = jax.make_jaxpr(program)(E, X)
    with mock.patch.object(compat.while_p, "bind") as bind:
      self.assertTrue(known_parts.reads_no_more(made, E, 0 * E))
    bind.assert_not_called()

  def test_nor_one_in_a_branch(self):
    def loop(e):
      return lax.while_loop(lambda e: jnp.trace(e) == 0, lambda e: e * 1, e)
    def program(e, x):
      return lax.cond(e[0, 1] > 0, loop, lambda e: e, e)
    made = jax.make_jaxpr(program)(E, X)
    with mock.patch.object(compat.cond_p, "bind") as bind:
      self.assertFalse(known_parts.reads_no_more(made, E, 0 * E))
    bind.assert_not_called()

  def test_loops_in_loops_end(self):
    program = lambda e, x: jnp.trace(nested_scans(4, e))
    with mock.patch.object(known_parts, "_MOST_WORK", 10**7):
      self.assertFalse(reads_no_more(program))
      self.assertTrue(reads_no_more(lambda e, x: jnp.trace(nested_scans(1, e))))

  def test_large_arrays_are_not_made(self):
    def program(e, x):
      return jnp.trace(jnp.broadcast_to(e, (10**9, N, N)), axis1=1, axis2=2)
    self.assertFalse(reads_no_more(program))

  def test_nor_large_products(self):
    def program(e, x):
      return jnp.trace(functools.reduce(
          jnp.matmul, [jnp.ones((3000, 3000))] * 3)) * jnp.trace(e)
    self.assertFalse(reads_no_more(program))

  def test_what_nobody_reads_costs_nothing(self):
    def program(e, x):
      return jnp.trace(e), jnp.ones((10**9, N)) @ x
    self.assertTrue(reads_no_more(program))


if __name__ == "__main__":
  absltest.main()
