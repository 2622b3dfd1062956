"""What must merge, and what must not: two tables, the second the longer."""

import jax
from absl.testing import absltest
from absl.testing import parameterized
from jax import lax
from jax.experimental.xla_metadata import set_xla_metadata
import jax.numpy as jnp
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P
import numpy as np

import checking
import jax_cse
from jax_cse import compat
from specs import derivative

X = jnp.arange(4.0) + 1
Y = jnp.linspace(-1.0, 1.0, 4)
N = jnp.arange(4)
B = jnp.array([True, False, True, False])
Z = X + 1j * Y
M = jnp.eye(3) + 0.5
NAN = float("nan")
_HOST_ROW = np.ones(4, np.float32)
shape = jax.ShapeDtypeStruct((4,), jnp.float32)

# Name, function, arguments, and the equations that CSE takes away.
MUST_MERGE = (
    ("unary", lambda x: (lax.sin(x), lax.sin(x)), (X,), 1),
    ("three times", lambda x: (lax.sin(x), lax.sin(x), lax.sin(x)), (X,), 2),
    ("chain", lambda x: (lax.cos(lax.sin(x)), lax.cos(lax.sin(x))), (X,), 2),
    ("jnp functions", lambda x: (jnp.sin(x), jnp.sin(x)), (X,), 1),
    ("jnp and lax", lambda x: (jnp.sin(x), lax.sin(x)), (X,), 1),
    ("operators", lambda x, y: (x * y + 1, x * y + 1), (X, Y), 2),
    ("add swapped", lambda x, y: (lax.add(x, y), lax.add(y, x)), (X, Y), 1),
    ("mul swapped", lambda x, y: (lax.mul(x, y), lax.mul(y, x)), (X, Y), 1),
    ("complex add swapped", lambda x: (lax.add(x, lax.neg(x)),
                                       lax.add(lax.neg(x), x)), (Z,), 2),
    ("integer max swapped", lambda n: (lax.max(n, -n), lax.max(-n, n)),
     (N,), 2),
    ("eq swapped", lambda x, y: (lax.eq(x, y), lax.eq(y, x)), (X, Y), 1),
    ("and swapped", lambda b: (lax.bitwise_and(b, lax.bitwise_not(b)),
                               lax.bitwise_and(lax.bitwise_not(b), b)),
     (B,), 2),
    ("python constants", lambda x: (x + 2.5, x + 2.5), (X,), 1),
    ("numpy constants", lambda x: (x * np.float32(3), x * np.float32(3)),
     (X,), 1),
    ("one numpy array", lambda x: (lax.add(x, _HOST_ROW),
                                   lax.add(x, _HOST_ROW)), (X,), 1),
    ("one closed-over array", lambda x: (lax.add(x, Y), lax.add(x, Y)),
     (X,), 1),
    ("nan constants", lambda x: (lax.max(x, NAN), lax.max(x, NAN)), (X,), 1),
    ("params", lambda x: (x.sum(), x.sum()), (X,), 1),
    ("nested params", lambda m: (m @ m, m @ m), (M,), 1),
    ("several results", lambda m: (jnp.linalg.eigh(m)[0],
                                   jnp.linalg.eigh(m)[1]), (M,), 5),
    ("iota", lambda: (lax.iota("int32", 3), lax.iota("int32", 3)), (), 1),
    ("across named scopes", lambda x: (_scoped("a", x), _scoped("b", x)),
     (X,), 1),
    ("gather", lambda x: (x[N], x[N]), (X,), 5),
    ("the same jit", lambda x: (_jitted(x), _jitted(x)), (X,), 4),
    ("tangents made anew", lambda t: (
        jax.jvp(lax.sin, (t,), (np.float32(1),))[1],
        jax.jvp(lax.sin, (t,), (np.float32(1),))[1]), (1.5,), 2),
    ("primal and derivative", lambda t: (
        lax.sin(t), jax.jvp(lax.sin, (t,), (1.0,))), (1.5,), 2),
    ("product with 1", lambda x: (lax.mul(lax.sin(x), np.float32(1)),
                                  lax.sin(x)), (X,), 2),
    ("batched twice", lambda x: (jax.vmap(lax.sin)(x), jax.vmap(lax.sin)(x)),
     (X,), 1),
    ("inside a scan", lambda x: lax.scan(
        lambda c, y: (lax.sin(c) + y, lax.sin(c)), 0.5, x), (X,), 1),
)


@jax.jit
def _jitted(x):
  return lax.sin(x) * lax.cos(x)


def _scoped(name, x):
  with jax.named_scope(name):
    return lax.sin(x)


def _in_contexts(fun, *contexts):
  """`fun` evaluated once in each context."""
  def evaluate(*args):
    results = []
    for context in contexts:
      with context():
        results.append(fun(*args))
    return results
  return evaluate


def _callback(x):
  return jax.pure_callback(np.asarray, shape, x)


_jitted_callback = jax.jit(_callback)
_jitted_remat = jax.jit(lambda x: jax.checkpoint(lax.sin)(x))
_DEVICE = jnp.float32(0)
_HOST = jax.device_put(jnp.float32(1), jax.sharding.SingleDeviceSharding(
    jax.devices()[0], memory_kind="pinned_host"))


def _two_references(x):
  a, b = jax.new_ref(x), jax.new_ref(x)
  a[...] = a[...] * 2
  return a[...], b[...], a[...]


def _written_between_reads(x):
  a = jax.new_ref(x)
  first = a[...]
  a[...] = lax.sin(first)
  return lax.sin(a[...])


def _mutated_operand(x):
  host = np.ones(4, np.float32)
  first = lax.add(x, jnp.asarray(host.copy()))
  host[0] = 7
  return first, lax.add(x, jnp.asarray(host.copy()))


MUST_NOT_MERGE = (
    ("complex product with 1", lambda x: lax.mul(
        lax.sin(x), np.complex64(1)), (Z,)),
    ("product with 1 of another type", lambda t: lax.mul(
        lax.sin(t), np.float32(1)), (1.5,)),
    ("product with -1", lambda x: lax.mul(lax.sin(x), np.float32(-1)), (X,)),
    ("primitives", lambda x: (lax.sin(x), lax.cos(x)), (X,)),
    ("operands", lambda x, y: (lax.sin(x), lax.sin(y)), (X, X + 0)),
    ("equal arrays, each its own", lambda x: (lax.sin(x), lax.sin(Y)), (Y,)),
    ("equal numpy arrays, each may change", lambda x: (
        lax.add(x, np.ones(4, np.float32)), lax.add(x, np.ones(4, np.float32))),
     (X,)),
    ("sub swapped", lambda x, y: (lax.sub(x, y), lax.sub(y, x)), (X, Y)),
    ("div swapped", lambda x, y: (lax.div(x, y), lax.div(y, x)), (X, Y)),
    ("pow swapped", lambda x: (lax.pow(x, X), lax.pow(X, x)), (X + 1,)),
    ("atan2 swapped", lambda x, y: (lax.atan2(x, y), lax.atan2(y, x)), (X, Y)),
    ("rem swapped", lambda x, y: (lax.rem(x, y), lax.rem(y, x)), (X, Y)),
    ("float max swapped", lambda x, y: (lax.max(x, y), lax.max(y, x)),
     (0 * X, -0.0 * X)),
    ("float min swapped", lambda x, y: (lax.min(x, y), lax.min(y, x)),
     (0 * X, -0.0 * X)),
    ("complex mul swapped", lambda x, y: (lax.mul(x, y), lax.mul(y, x)),
     (Z, Z[::-1])),
    ("lt swapped", lambda x, y: (lax.lt(x, y), lax.lt(y, x)), (X, Y)),
    ("dot swapped", lambda x, y: (lax.dot(x, y), lax.dot(y, x)), (M, M * 2)),
    ("nextafter swapped", lambda x, y: (lax.nextafter(x, y),
                                        lax.nextafter(y, x)), (X, Y)),
    ("signs of zero", lambda x: (lax.div(x, 0.0), lax.div(x, -0.0)), (X,)),
    ("nan and zero", lambda x: (lax.add(x, NAN), lax.add(x, 0.0)), (X,)),
    ("bits of nan", lambda x: (
        lax.add(x, np.array([0x7fc00001], np.uint32).view(np.float32)[0]),
        lax.add(x, np.array([0x7fc00002], np.uint32).view(np.float32)[0])),
     (X,)),
    ("constants", lambda x: (x + 1.0, x + 2.0), (X,)),
    ("weak and strong constants", lambda: (
        lax.neg(np.float32(1)), lax.neg(1.0)), ()),
    ("int and float params", lambda x: (
        lax.integer_pow(x, 2), lax.integer_pow(x, 3)), (X,)),
    ("axes", lambda m: (m.sum(0), m.sum(1)), (M,)),
    ("slices", lambda x: (x[:2], x[1:3]), (X,)),
    ("dtypes", lambda x: (x.astype("float16"), x.astype("bfloat16")), (X,)),
    ("weak types of results", lambda x: (
        lax.convert_element_type_p.bind(
            x, new_dtype=np.dtype("int32"), weak_type=False, sharding=None),
        lax.convert_element_type_p.bind(
            x, new_dtype=np.dtype("int32"), weak_type=True, sharding=None)),
     (X,)),
    ("precisions", lambda m: (lax.dot(m, m, precision="highest"),
                              lax.dot(m, m, precision="default")), (M,)),
    ("default precisions", _in_contexts(
        lambda m: lax.dot(m, m),
        lambda: jax.default_matmul_precision("highest"),
        lambda: jax.default_matmul_precision("default")), (M,)),
    ("compute placement", _in_contexts(
        lax.sin, lambda: compat.computing_on("device_host"),
        lambda: compat.computing_on("device")), (X,)),
    ("metadata", _in_contexts(
        lax.sin, lambda: set_xla_metadata(a="1"),
        lambda: set_xla_metadata(a="2")), (X,)),
    ("threefry partitioning", _in_contexts(
        lambda k: jax.random.bits(k, (2,)),
        lambda: jax.threefry_partitionable(True),
        lambda: jax.threefry_partitionable(False)), (jax.random.key(0),)),
    ("two references", _two_references, (X,)),
    ("reads of a written reference", _written_between_reads, (X,)),
    ("mutated host arrays", _mutated_operand, (X,)),
    ("pure callbacks", lambda x: (_callback(x), _callback(x)), (X,)),
    ("keys consumed twice", lambda k: (jax.random.bits(k), jax.random.bits(k)),
     (jax.random.key(0),)),
    ("scalars in other memories", lambda: (lax.sin(np.float32(1) + _DEVICE),
                                           lax.sin(_HOST)), ()),
    ("callbacks in a jit", lambda x: (_jitted_callback(x), _jitted_callback(x)),
     (X,)),
    ("remat in a jit", lambda x: (_jitted_remat(x), _jitted_remat(x)), (X,)),
    ("barriers", lambda x: (lax.optimization_barrier(x),
                            lax.optimization_barrier(x)), (X,)),
    ("on two sides of a barrier", lambda x: (
        lax.sin(x), lax.sin(lax.optimization_barrier(x))), (X,)),
    ("remat calls", lambda x: (jax.checkpoint(lax.sin)(x),
                               jax.checkpoint(lax.sin)(x)), (X,)),
    ("inside and outside of remat", lambda x: (
        lax.sin(x), jax.checkpoint(lambda y: lax.sin(y) * 2)(x)), (X,)),
    ("inside and outside of a scan", lambda x: (
        lax.sin(0.5), lax.scan(lambda c, y: (lax.sin(0.5) + c, y), 0.0, x)),
     (X,)),
    ("two bodies", lambda x: lax.cond(
        x[0] > 0, lambda: lax.sin(x), lambda: -lax.sin(x)), (X,)),
    ("batch dimensions", lambda m: (jax.vmap(jnp.cumsum, 0)(m),
                                    jax.vmap(jnp.cumsum, 1)(m)), (M,)),
)


class MergingTest(parameterized.TestCase):

  @parameterized.named_parameters(*MUST_MERGE)
  def test_must_merge(self, fun, args, delta):
    checking.check_cse(fun, args, delta)

  @parameterized.named_parameters(*MUST_NOT_MERGE)
  def test_must_not_merge(self, fun, args):
    plain = checking.trace(fun, *args)
    with jax_cse.enabled():
      merged = checking.trace(fun, *args)
    self.assertEqual(checking.size(merged), checking.size(plain))
    with jax_cse.enabled():
      eager = fun(*args)
    checking.assert_same_bits(eager, fun(*args))

  def test_more_must_not_merge_than_must(self):
    self.assertGreater(len(MUST_NOT_MERGE), len(MUST_MERGE))

  def test_perturbations_are_not_confused(self):
    # d/du of d/dv (u * v) is 1; taking v's tangent for u's would give 2 or 0.
    fun = derivative(lambda u: derivative(lambda v: v * u)(u))
    with jax_cse.enabled():
      self.assertEqual(fun(1.5), 1.0)
      self.assertEqual(jax.jit(fun)(1.5), 1.0)

  def test_calls_of_a_traced_function(self):
    traced = jax.jit(lambda x: lax.sin(x) * 2).trace(X)
    fun = lambda x: (traced(x), traced(x))
    plain = checking.size(checking.trace(fun, X))
    with jax_cse.enabled():
      self.assertEqual(2 * checking.size(checking.trace(fun, X)), plain)
      checking.assert_same_bits(fun(X), (traced(X), traced(X)))
    self.assertEqual(checking.size(checking.trace(jax_cse.cse(fun), X)), 2)

  def test_ones_times_a_number(self):
    fun = jax.grad(lambda q, x: (lax.sin(q) * x).sum())
    with jax_cse.enabled():
      merged = jax.jit(lambda q, x: fun(q, x))(X, 2.)
    np.testing.assert_allclose(merged, 2 * np.cos(X), rtol=1e-6)

  def test_eagerly_the_payload_of_nan_is_kept(self):
    x, y = (jnp.asarray(np.array([b], np.uint32).view(np.float32))
            for b in (0x7fc00001, 0xffc00002))
    for op in (lax.add, lax.mul):
      with jax_cse.enabled():
        actual = op(x, y), op(y, x)
      checking.assert_same_bits(actual, (op(x, y), op(y, x)))

  def test_names_of_params_count(self):
    p = lax.reduce_precision_p
    fun = lambda x: (p.bind(x, exponent_bits=8, mantissa_bits=5),
                     p.bind(x, mantissa_bits=8, exponent_bits=5),
                     p.bind(x + 1, mantissa_bits=8, exponent_bits=5))
    x = jnp.float32(2.2345678)
    checking.check_cse(fun, (x,), 0)

  def test_host_arrays_that_are_changed_while_tracing(self):
    def fun(x):
      a, b = np.ones(4, np.float32), np.ones(4, np.float32)
      results = lax.mul(x, a), lax.mul(x, b), jnp.add(x, a), jnp.add(x, b)
      a[:] = 5
      return *results, lax.mul(x, a)

    plain = jax.jit(fun)(X)
    with jax_cse.enabled():
      checking.assert_same_bits(jax.jit(fun)(X), plain)

  def test_what_is_evaluated_while_it_is_traced(self):
    @jax.jit
    def fun(x):
      traced = jnp.sum(jnp.arange(3.0)), lax.reduce_sum(jnp.arange(3.0), (0,))
      with jax.ensure_compile_time_eval():
        row = jnp.arange(3.0)
        n = int(jnp.sum(row) + lax.reduce_sum(row, (0,)))
      return x * n + sum(traced)

    plain = fun(1.0)
    with jax_cse.enabled():
      checking.assert_same_bits(fun(1.0), plain)

  def test_constants_stay_residuals_that_cost_nothing(self):
    # Residuals that are constants of an inner jaxpr are known by identity.
    inner = jax.jit(lambda y: y * _HOST_ROW)
    fun = lambda x: inner(inner(x)).sum()
    branches = lambda x: lax.cond(
        x.sum() > 1, fun, lambda y: fun(y) * fun(y), x)
    plain = len(compat.saved_residuals(fun, X))
    with jax_cse.enabled():
      self.assertLessEqual(len(compat.saved_residuals(fun, X)), plain)
    checking.check_never_larger(jax.grad(branches), (X,))

  def test_an_unreduced_scalar_has_no_bits_to_read(self):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(AxisType.Explicit,))
    with jax.set_mesh(mesh):
      scalar = jax.jit(lambda x: jax.sharding.reshard(
          x.sum(), P(unreduced={"x"})))(jnp.arange(4.0))
      with jax_cse.enabled():
        checking.trace(lambda: jax.sharding.reshard(scalar, P()))

  def test_ones_may_say_how_a_product_is_sharded(self):
    mesh = jax.make_mesh((1,), ("x",), axis_types=(AxisType.Explicit,))
    fun = lambda x: jnp.sin(x) * jnp.ones((4,), out_sharding=P("x"))
    with jax.set_mesh(mesh):
      plain = jax.eval_shape(fun, jnp.arange(4.))
      with jax_cse.enabled():
        self.assertEqual(jax.jit(fun).eval_shape(jnp.arange(4.)).sharding,
                         plain.sharding)

  def test_a_constant_does_not_bring_its_mesh_along(self):
    fun = lambda t: jax.jvp(lambda u: lax.mul(u, np.float32(3)), (t,),
                            (np.float32(1),))
    with jax_cse.enabled():
      for kind in (AxisType.Auto, AxisType.Explicit):
        mesh = jax.make_mesh((1,), ("x",), axis_types=(kind,))
        with jax.set_mesh(mesh):
          checking.trace(derivative(lambda t: fun(t)[1]), 1.5)

if __name__ == "__main__":
  absltest.main()
