"""Sums over directions go into all that is linear, and into nothing else."""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.compat import core
from jax_cse.directions import early_sums
from jax_cse.directions import summed_bodies
from wavefunction_pieces import PIECES

POINT = np.cos(np.arange(12.0) * 1.7) * 1.3


def second(fun, x, v):
  return jax.jvp(lambda y: jax.jvp(fun, (y,), (v,))[1], (x,), (v,))[1]


def plain(fun):
  return lambda x: jax.vmap(lambda v: second(fun, x, v))(
      jnp.eye(x.size, dtype=x.dtype)).sum(0)


def flops(fun, *args):
  return jax.jit(fun).lower(*args).cost_analysis()["flops"]


class PiecesTest(parameterized.TestCase):

  @parameterized.product(name=tuple(PIECES))
  def test_values(self, name):
    fun = PIECES[name]
    with jax.enable_x64():
      value, gradient, laplacian = jax.jit(
          jax_cse.value_grad_laplacian(fun))(POINT)
      np.testing.assert_allclose(value, fun(POINT), 1e-12)
      np.testing.assert_allclose(gradient, jax.jacfwd(fun)(POINT), 1e-9, 1e-10)
      np.testing.assert_allclose(laplacian, plain(fun)(POINT), 1e-8)

  @parameterized.product(name=tuple(sorted(set(PIECES) - {"pairs"})))
  def test_each_layer_is_passed_once_for_the_laplacian(self, name):
    fun, x = PIECES[name], np.float32(POINT)
    # A loop counts once, whatever its length. Plain has 2 of each direction
    # where one is enough.
    self.assertLess(flops(jax_cse.laplacian(fun), x),
                    0.65 * flops(plain(fun), x))

  @parameterized.product(name=("determinants", "attention", "pairs"))
  def test_eagerly_batched_and_derived(self, name):
    fun = PIECES[name]
    with jax.enable_x64():
      lap, reference = jax_cse.laplacian(fun), plain(fun)
      np.testing.assert_allclose(lap(POINT), reference(POINT), 1e-8)
      points = jnp.stack([POINT, POINT + .1])
      np.testing.assert_allclose(jax.vmap(lap)(points),
                                 jax.vmap(reference)(points), 1e-8)
      np.testing.assert_allclose(jax.jit(jax.grad(lap))(POINT),
                                 jax.jit(jax.grad(reference))(POINT), 1e-6,
                                 1e-7)

  @parameterized.product(name=tuple(PIECES))
  def test_error_at_most_four_times_that_of_nested_jvp(self, name):
    fun, errors = PIECES[name], np.zeros(2)
    forms = [jax.jit(jax_cse.laplacian(fun)), jax.jit(plain(fun))]
    for i in range(6):
      x = POINT + 0.1 * i
      with jax.enable_x64():
        wanted = float(plain(fun)(x))
      for j, form in enumerate(forms):
        errors[j] = max(errors[j], abs(float(form(np.float32(x))) - wanted))
    rounding = 16 * np.finfo(np.float32).eps * max(1, abs(wanted))
    self.assertLessEqual(errors[0], max(4 * errors[1], rounding))


class EstimatorsTest(parameterized.TestCase):
  """Averages over random directions, as users write them."""

  def setUp(self):
    super().setUp()
    self.fun = lambda x: PIECES["residual"](x)
    self.x = np.float32(POINT)
    self.directions = jax.random.normal(jax.random.key(0), (16, 12))

  def check(self, estimator, most, tolerance=1e-4):
    plain = jax.jit(estimator)(self.x, self.directions)
    for made in (jax_cse.cse(estimator), lambda *args: core.jaxpr_as_fun(
        jax_cse.cse_jaxpr(jax.make_jaxpr(estimator)(*args)))(*args)[0]):
      np.testing.assert_allclose(made(self.x, self.directions), plain,
                                 tolerance)
      self.assertLess(flops(made, self.x, self.directions),
                      most * flops(estimator, self.x, self.directions))

  def test_laplacian(self):
    self.check(lambda x, vs: jnp.mean(jax.vmap(
        lambda v: second(self.fun, x, v))(vs)), 0.65)

  def test_random_signs(self):
    def estimator(x, _):
      vs = jax.random.rademacher(jax.random.key(1), (16, 12), dtype=x.dtype)
      return jax.vmap(lambda v: second(self.fun, x, v))(vs).mean()
    self.check(estimator, 0.65)

  def test_biharmonic(self):
    def fourth(x, v):
      fun = self.fun
      for _ in range(4):
        fun = lambda y, fun=fun: jax.jvp(fun, (y,), (v,))[1]
      return fun(x)
    self.check(lambda x, vs: jnp.mean(
        jax.vmap(fourth, (None, 0))(x, vs)) / 3, 0.8, 1e-3)

  def test_by_derivatives(self):
    derive = jax_cse.derivatives(self.fun, 2)
    self.check(lambda x, vs: jnp.mean(
        jax.vmap(lambda v: derive(x, v)[2])(vs)), 0.65)

  def test_of_a_batch(self):
    self.check(lambda x, vs: jax.vmap(lambda x: jnp.mean(jax.vmap(
        lambda v: second(self.fun, x, v))(vs)))(jnp.stack([x, x + 1])), 0.65)


_W = np.arange(15.0).reshape(5, 3) / 10
_KEYS = jax.random.split(jax.random.key(0), 4)


@jax.custom_jvp
def _stacking(x):
  return jnp.sin(x)


@_stacking.defjvp
def _(primals, tangents):
  (x,), (t,) = primals, tangents
  value, slope = jnp.stack([jnp.sin(x), jnp.cos(x) * t])
  return value, slope


def _by_reference(x):
  ref = jax.new_ref(jnp.zeros(3, x.dtype))
  ref[...] = x
  ref[...] = ref[...] * x
  return jnp.tanh(_W @ ref[...])


class ProgramsTest(parameterized.TestCase):
  """Of three numbers; in a loop a tangent may be as long as the axis."""

  @parameterized.named_parameters(
      ("Newton", lambda x: lax.fori_loop(0, 5, lambda i, y: y - (
          y**3 + y - x.sum()) / (3 * y * y + 1), jnp.zeros((), x.dtype))),
      ("a scalar carry", lambda x: lax.fori_loop(
          0, 3, lambda i, y: y * y * x[0] + x[1], jnp.zeros((), x.dtype))),
      ("a scan of numbers", lambda x: lax.scan(
          lambda c, a: (c + a**2 * x, None), jnp.zeros_like(x), x**2)[0]),
      ("a scan of products", lambda x: lax.scan(
          lambda c, a: (jnp.tanh(c) * a, None), x**2, x)[0]),
      ("a scan of sums", lambda x: lax.scan(
          lambda c, a: (jnp.tanh(c) + a, None), jnp.ones((), x.dtype), x)[0]),
      ("carries that swap", lambda x: lax.fori_loop(
          0, 3, lambda i, c: (c[1], jnp.tanh(c[0] * c[1])), (x, x**2))[0]),
      ("a branch", lambda x: lax.cond(
          x[0] > 0, lambda y: jnp.tanh(y)**2, lambda y: y**3, x[0] * x[1])),
      ("a switch", lambda x: lax.switch(
          1, [jnp.sin, jnp.cos], x[0] * x[1])),
      ("a while loop", lambda x: lax.while_loop(
          lambda c: c < 5, lambda c: c * (1.3 + jnp.tanh(c)), 1 + x[0]**2)),
      ("random numbers of keys", lambda x: jax.vmap(lambda key: jnp.tanh(
          _W @ (x + jax.random.normal(key, (3,), x.dtype))).sum())(_KEYS)),
      ("a guarded quotient by 0", lambda x: jnp.where(
          0 > 0, jnp.sum(x**2) / 0, 0.)),
      ("a quotient by 0", lambda x: jnp.sum(x**2) / 0),
      ("a mean of nothing", lambda x: (x[:0]**2).mean() * x[0]),
      ("a rule that stacks", lambda x: _stacking(_W @ x)),
      ("a reference", _by_reference),
  )
  def test_values(self, fun):
    with jax.enable_x64():
      x = jnp.array([.3, -.7, 1.2])
      wanted = plain(fun)(x)
      for made in (jax_cse.laplacian(fun), jax.jit(jax_cse.laplacian(fun)),
                   lambda x: jax_cse.value_grad_laplacian(fun)(x)[2],
                   jax_cse.cse(plain(fun))):
        np.testing.assert_allclose(made(x), wanted, 1e-9)


class LoopsTest(absltest.TestCase):

  def planned(self, carries, summed):
    """How often the body of a loop is planned of which a number of results are
    summed."""
    def body(xs, _):
      return [jnp.sin(a) * b for a, b in zip(xs, xs[1:] + xs[:1])], None

    def fun(xs):
      return sum(x.sum() for x in lax.scan(body, xs, length=3)[0][:summed])
    xs = [jnp.linspace(0, 1, 5)] * carries
    jaxpr = jax.make_jaxpr(fun)(xs)
    with mock.patch.object(summed_bodies, "_Body",
                           wraps=summed_bodies._Body) as made:
      rewritten = early_sums.rewrite(jaxpr)
    np.testing.assert_allclose(core.jaxpr_as_fun(rewritten)(*xs)[0], fun(xs),
                               1e-6)
    return made.call_count

  def test_a_loop_is_planned_as_often_whatever_is_summed(self):
    self.assertGreater(self.planned(2, 2), 0)
    self.assertEqual(self.planned(2, 2), self.planned(20, 20))

  def test_carries_that_become_one_another_in_a_row(self):
    self.assertEqual(self.planned(30, 1), self.planned(60, 1))


class SameTest(parameterized.TestCase):
  """What only looks the same all along an axis, and what is."""

  @parameterized.named_parameters(
      ("random bits", lambda x: (x @ x.T + jax.random.uniform(
          jax.random.key(0), (4, 4))).sum(0)),
      ("iota", lambda x: ((x @ x.T) * lax.iota(x.dtype, 4)[:, None]).sum(0)),
      ("part of an axis", lambda x: (
          (x @ x.T).reshape(2, 2, 4) @ x).sum(1).sum(0)),
      ("merged", lambda x: (x.reshape(16) * jnp.tile(x[0], 4)).sum()),
      ("an axis of length 1", lambda x: (x[:1] @ x + x).sum(0)),
      ("quotient", lambda x: ((x @ x.T) / (2 + jnp.sin(x))).sum(0)),
      ("under the bar", lambda x: (1 / (2 + x @ x.T)).sum(0)),
      ("cases", lambda x: jnp.where(x > 0, x @ x.T, 3.).sum(0)),
      ("a constant case", lambda x: jnp.where(
          x[0] > 0, x @ x.T, 3.).sum(0)),
      ("joined", lambda x: jnp.concatenate(
          [x @ x.T, jnp.ones((2, 4)), x[:1]]).sum(0)),
      ("padded", lambda x: (jnp.pad(
          x @ x.T, ((0, 0), (1, 1)), constant_values=2.) @ jnp.ones(6)).sum(0)),
      ("keys", lambda x: jax.vmap(lambda key: x @ jax.random.normal(
          key, (4,)))(_KEYS).mean(0)),
      ("cast", lambda x: ((x @ x[:2].T) * lax.bitcast_convert_type(
          lax.bitcast_convert_type(x[:, 0], "uint16"), "uint16").sum() * 0
                          ).sum(0)),
      ("filled", lambda x: jnp.take(
          x @ x.T, np.array([0, 9, 2]), axis=1, mode="fill", fill_value=5.
          ).mean(0)),
      ("gathered", lambda x: (x @ x.T)[:, np.array([1, 1, 0])].sum(0)),
      ("scattered", lambda x: jnp.ones((4, 5)).at[:, np.array([1, 1])].add(
          (x @ x.T)[:, :2]).sum(0)),
      ("updated", lambda x: lax.dynamic_update_slice(
          x @ x.T, jnp.ones((4, 1)), (0, 2)).sum(0)),
      ("a loop along the axis", lambda x: lax.scan(
          lambda c, y: (c + y @ x, c * y), x[0], x @ x.T)[1].sum(0)),
      ("half precision", lambda x: (x @ x.T).astype("float16").sum(0)),
      ("integers", lambda x: (10 * (x @ x.T)).astype("int8").sum(0)),
  )
  def test_values(self, fun):
    x = np.float32(np.sin(np.arange(16.0)).reshape(4, 4))
    wanted = jax.jit(fun)(x)
    early = jax.jit(early_sums.early(lambda x: [fun(x)]))
    np.testing.assert_allclose(jax.jit(jax_cse.cse(fun))(x), wanted, 2e-5, 2e-5)
    np.testing.assert_allclose(early(x)[0], wanted, 2e-5, 2e-5)


class TypesTest(parameterized.TestCase):
  """Sums stay out of changes of type, and keep the types that they have."""

  def check(self, fun, *args, tolerance=2e-5):
    for made in (jax_cse.cse(fun), lambda *args: early_sums.early(
        lambda *args: [fun(*args)])(*args)[0]):
      got, wanted = made(*args), fun(*args)
      self.assertEqual(got.dtype, wanted.dtype)
      np.testing.assert_allclose(got, wanted, tolerance, tolerance)

  @parameterized.named_parameters(
      ("sum", lambda y, a: (y @ a + 1.5).sum(0)),
      ("difference", lambda y, a: jnp.where(
          y[0, 0] > 0, y @ a - 1.5, 2.5).sum(0)))
  def test_narrow_literals(self, fun):
    with jax.enable_x64():
      self.check(fun, np.ones((12, 5), "float32"), np.ones((5, 4), "float32"))

  @parameterized.named_parameters(
      ("conj", lambda w, y, a: (w[:, None] * jnp.conj(y @ a)).sum(0)),
      ("complex", lambda w, y, a: (w[:, None] * lax.complex(
          jnp.real(y @ a), jnp.sin(jnp.imag(y @ a)))).sum(0)),
      ("rfft", lambda w, y, a: (w[:, None] * jnp.fft.rfft(
          jnp.real(y @ a))).sum(0)))
  def test_complex_weights(self, fun):
    z = lambda *shape: np.exp(1j * np.arange(np.prod(shape))).reshape(
        shape).astype("complex64")
    self.check(fun, z(12), z(12, 5), z(5, 4), tolerance=1e-4)

  @parameterized.parameters("float16", "bfloat16")
  def test_products_that_widen(self, dtype):
    def fun(y, a):
      return lax.dot_general(y, a, (((1,), (0,)), ((), ())),
                             preferred_element_type=jnp.float32).sum(0)
    y = (jnp.arange(1000.0).reshape(200, 5) * 9).astype(dtype)
    self.check(fun, y, jnp.ones((5, 4), dtype))

  def test_a_branch_of_what_is_the_same(self):
    a = np.float32(np.sin(np.arange(20.0)).reshape(5, 4))

    def fun(x):
      found = lax.cond(
          x[0] > 0, lambda x: jnp.outer(a[:, 0], jnp.sin(x)) @ a,
          lambda x: jnp.broadcast_to(x[:4]**2, (5, 4)) * jnp.broadcast_to(
              jnp.sin(x[:4]), (5, 4)), x)
      return (found.sum(0) ** 2).sum()
    for x in (a[:, 1], -a[:, 1]):
      np.testing.assert_allclose(jax_cse.laplacian(fun)(x), plain(fun)(x), 1e-4)

  def test_an_axis_of_length_0(self):
    def fun(y, a, b):
      z = jnp.broadcast_to(b, (0, 4))
      return ((y @ a) * z).sum(0) + jnp.cumsum(z, 1).sum(0) + jnp.sin(z).sum()
    self.check(fun, np.ones((0, 5), "float32"), np.ones((5, 4), "float32"),
               np.ones(4, "float32"))


_BINARY = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / (1.5 + b * b),
    "dot": lambda a, b: a @ b,
    "join": lambda a, b: jnp.concatenate([a, b], 1)[:, 1:4],
    "where": lambda a, b: jnp.where(b > 0, a, b),
    "scan": lambda a, b: lax.scan(
        lambda c, y: (jnp.sin(c) + y @ b, c * y), a, jnp.stack([a, b]))[1][1],
    "cond": lambda a, b: lax.cond(b[0, 0] > 0, lambda: a @ b, lambda: a * b),
    "solve": lambda a, b: jnp.linalg.solve(
        a @ a.T + 4 * jnp.eye(3, dtype=a.dtype), b),
}
_UNARY = {
    "tanh": lambda a: jnp.tanh(a),
    "neg": lambda a: -a,
    "square": lambda a: a ** 2,
    "transpose": lambda a: a.T,
    "sum": lambda a: jnp.broadcast_to(a.sum(1, keepdims=True), a.shape),
    "reshape": lambda a: a.reshape(9)[::-1].reshape(3, 3),
    "gather": lambda a: a[np.array([2, 0, 0])],
    "cumsum": lambda a: jnp.cumsum(a, 1),
    "pad": lambda a: jnp.pad(a[1:], ((1, 0), (0, 0)), constant_values=0.5),
}


def _program(operations):
  def fun(x):
    values = [x.reshape(3, 3)]
    for name, i, j in operations:
      a, b = values[i % len(values)], values[j % len(values)]
      values.append((_BINARY[name](a, b) if name in _BINARY else
                     _UNARY[name](a)) / 2)
    return (values[-1] * np.arange(1, 10).reshape(3, 3)).sum() + sum(
        v[0, 0] for v in values)
  return fun


class RandomGraphsTest(absltest.TestCase):

  @settings(max_examples=30, deadline=None)
  @given(st.lists(st.tuples(st.sampled_from(sorted({**_BINARY, **_UNARY})),
                            st.integers(0, 20), st.integers(0, 20)),
                  min_size=2, max_size=9))
  def test_laplacians(self, operations):
    fun = _program(operations)
    with jax.enable_x64():
      x = np.cos(np.arange(9.0)) / 2
      wanted = jax.jit(plain(fun))(x)
      scale = 1 + np.abs(np.asarray(jax.jit(jax.hessian(fun))(x))).sum()
      np.testing.assert_allclose(jax.jit(jax_cse.laplacian(fun))(x), wanted,
                                 1e-9, 1e-11 * scale)

  @settings(max_examples=30, deadline=None)
  @given(st.lists(st.tuples(st.sampled_from(sorted({**_BINARY, **_UNARY})),
                            st.integers(0, 20), st.integers(0, 20)),
                  min_size=2, max_size=9))
  def test_no_sum_is_left_that_could_enter(self, operations):
    traced = jax.make_jaxpr(plain(_program(operations)))(
        np.cos(np.arange(9.0)) / 2)
    inlined = jax_cse.cse_jaxpr(traced, "exact")
    once = early_sums.rewrite(inlined)
    again = early_sums.rewrite(once)
    self.assertIs(early_sums.rewrite(again), again)


if __name__ == "__main__":
  absltest.main()
