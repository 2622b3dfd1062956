"""Columns of a Jacobian or a backward pass: what is chosen, and how programs
grow."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

from checking import assert_close
import jax_cse
from jax_cse import compat
from jax_cse.foundation.active import here
from reverse_programs import (
    by, f, grad, nested, NET, network, pick, primitives, PROGRAMS, size, WAYS,
    Z)
import specs


POINTS = jnp.linspace(0., 1., 16)


def _jvp(f, i):
  return lambda *xs: jax.jvp(
      lambda x: f(*xs[:i], x, *xs[i + 1:]), (xs[i],),
      (jnp.ones_like(xs[i]),))[1]


def _of_rows(f, i):
  return lambda *xs: grad(
      lambda x: f(*xs[:i], x, *xs[i + 1:]).sum())(xs[i])


def _component(f, i):
  return lambda *xs: grad(lambda z: f(z[0], z[1]))(jnp.stack(xs))[i]


_DERIVATIVES = {"scalars": grad, "components": _component, "rows": _of_rows}


class ChoiceTest(parameterized.TestCase):
  """Columns or a backward pass, by what is read."""

  def products(self, way, fun, *args):
    return primitives(by(way, fun).jaxpr(*args))["dot_general"]

  @parameterized.parameters("all components", "hessian", "jacrev jacrev")
  def test_what_is_read_as_a_whole_is_one_backward_pass(self, name):
    fun, *args = PROGRAMS[name]
    plain = jax.make_jaxpr(fun)(*args)
    self.assertLessEqual(self.products("cse", fun, *args),
                         primitives(plain)["dot_general"])

  def test_a_component_is_a_column(self):
    def along_first(fun):
      return lambda z: jax.jvp(fun, (z,), (jnp.array([1., 0., 0.]),))[1]
    for way in ("ring", "cse"):
      self.assertLessEqual(
          self.products(way, lambda z: pick(pick(NET, 0), 0)(z) * z, Z),
          self.products(way, lambda z: along_first(along_first(NET))(z) * z, Z)
          + 4 * (way == "ring"))   # the last is not in a loss

  def test_a_function_runs_once(self):
    runs = []
    def fun(z):
      runs.append(1)
      return NET(z)
    for way in WAYS:
      runs.clear()
      by(way, lambda z: grad(lambda z: grad(fun)(z)[0])(z)).jaxpr(Z)
      self.assertLen(runs, 1)

  def test_nothing_stays_behind(self):
    def fails(z):
      raise KeyError("mine")
    before = here.cell.staging
    plain = [getattr(*seam) for seam in (compat.LINEARIZE, compat.TRANSPOSE)]
    for way in WAYS:
      with self.assertRaisesRegex(KeyError, "mine"):
        by(way, lambda z: grad(lambda z: grad(fails)(z)[0])(z)).jaxpr(Z)
      self.assertEqual(here.cell.staging, before)
      self.assertEqual(compat.user_context.value(), None)
      self.assertEqual(plain, [getattr(*seam) for seam in (
          compat.LINEARIZE, compat.TRANSPOSE)])

  def test_a_context_entered_in_a_loss_leaves_the_mode(self):
    @jax_cse.disabled()
    def helper(z):
      return NET(z)
    seen = []
    def loss(w):
      value = helper(w) * grad(lambda t: grad(f)(t))(w[0])
      seen.append((compat.user_context.value()[0], jax_cse.active_mode()))
      return value
    with jax_cse.enabled("ring"):
      jax.make_jaxpr(grad(loss))(jnp.arange(3.))
      jax.make_jaxpr(grad(lambda w: loss(w[:3])))(jnp.arange(6.))
    self.assertEqual(set(seen), {("ring", "ring")})

  def test_weights_in_one_vector(self):
    def loss(w):
      v = w.reshape(4, 2)
      return jnp.mean(jax.vmap(nested(lambda t: jnp.tanh(
          jnp.tanh(t * v[:, 0]) @ v).sum(), 2))(POINTS)**2)
    def tree(v):
      return loss(jnp.concatenate(v).reshape(8))
    v = [jnp.full((1, 2), .1 * i) for i in range(4)]
    flat = size(by("ring", grad(loss)).jaxpr(jnp.concatenate(v).ravel()))
    self.assertLess(flat, 1.1 * size(by("ring", grad(tree)).jaxpr(v)))

  def test_many_gradients_in_a_row(self):
    def steps(z):
      for _ in range(20):
        z = z - 0.1 * grad(lambda z: jnp.sin(z).sum() * z[0])(z)
      return z
    for way in WAYS:
      np.testing.assert_allclose(by(way, steps)(Z), jax.jit(steps)(Z),
                                 rtol=1e-4)

  def test_an_input_whose_cotangent_is_not_wanted(self):
    if not hasattr(jax.ad, "DontWant"):
      self.skipTest("JAX has no word for it")
    x = jnp.linspace(0., 1., 7)[:, None]
    def fun(a, b):
      return jnp.sum(jnp.sin(a) * b + b**2, axis=-1)
    def pull(a, b):
      return jax.vjp(fun, a, b)[1].with_refs(
          jax.ad.GradValue(), jax.ad.DontWant())(jnp.ones(7))[0]
    assert_close(jax.jit(jax_cse.enabled("ring")(pull))(x, 2 * x),
                 2 * x * jnp.cos(x))

  def test_rows_that_meet_are_not_taken_for_rows(self):
    x = jnp.linspace(0., 1., 8).reshape(8, 1)
    w = jnp.arange(1., 4.)[None]
    for name, together in {
        "attention": lambda x: jax.nn.softmax((x @ w) @ (x @ w).T) @ x,
        "cumsum": lambda x: jnp.cumsum(x, 0) * x,
        "reversed": lambda x: x[::-1] * x,
        "normalized": lambda x: x / jnp.linalg.norm(x),
        "gathered": lambda x: x[jnp.array([0, 0, 1, 2, 3, 4, 5, 7])] * x,
        "reshaped": lambda x: (x.reshape(2, 4) ** 2).reshape(8, 1) * x,
        "concatenated": lambda x: jnp.concatenate([x[4:], x[:4]]) * x,
        "batched products": lambda x: jnp.einsum(
            "bi,bj->bij", jnp.sin(x), x @ w).sum(-1),
        "sorted": lambda x: jnp.sort(jnp.cos(3 * x), 0) * x}.items():
      def fun(x, together=together):
        return grad(lambda x: (grad(
            lambda x: (jnp.sin(together(x))**2).sum())(x)**2).sum())(x)
      wanted = jax.jit(fun)(x)
      for way in WAYS:
        np.testing.assert_allclose(by(way, fun)(x), wanted, rtol=1e-3,
                                   atol=1e-4, err_msg=f"{name}, {way}")


class GrowthTest(parameterized.TestCase):

  @parameterized.parameters(*(
      spec.name for spec in specs.SPECS if "gelu" not in spec.name))
  def test_nested_grad_is_no_larger_than_nested_jvp(self, name):
    fun = specs.SPECS_BY_NAME[name].fun
    for way in ("ring", "cse"):
      backward = size(by(way, nested(fun, 4)).jaxpr(0.3))
      forward = size(by(way, specs.nested(fun, 4)).jaxpr(0.3))
      self.assertLessEqual(backward, 1.05 * forward + 6, way)

  def test_of_a_component(self):
    def of(order):
      fun = network((3, 4, 4, 1))
      for _ in range(order):
        fun = pick(fun, 0)
      return size(by("ring", fun).jaxpr(Z))
    self.assertLessEqual(of(6), 3 * of(3) * 1.5)
    self.assertLessEqual(of(8), 5 * of(4))

  @parameterized.parameters("scalars", "components", "rows")
  def test_a_training_step_is_that_of_nested_jvp(self, kind):
    def step(nest, d):
      def loss(w):
        def u(x, t):
          h = jnp.stack([x, t], -1)
          for v in w:
            h = jnp.tanh(h @ v)
          return h[..., 0]
        def residual(x, t):
          return (d(u, 1)(x, t) + u(x, t) * d(u, 0)(x, t)
                  + d(d(u, 0), 0)(x, t))
        return jnp.mean(nest(residual)(POINTS, POINTS)**2)
      return jax.value_and_grad(loss)

    weights = [jnp.full((2, 8), .1), jnp.full((8, 8), .2), jnp.full((8, 1), .3)]
    counts = {}
    for name, derivative in {"grad": _DERIVATIVES[kind], "jvp": _jvp}.items():
      nest = (lambda r: r) if kind == "rows" else jax.vmap
      jaxpr = by("ring", step(nest, derivative)).jaxpr(weights)
      counts[name] = primitives(jaxpr)["dot_general"]
    self.assertEqual(counts["grad"], counts["jvp"])


if __name__ == "__main__":
  absltest.main()
