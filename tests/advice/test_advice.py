"""Advice on nested derivatives, and none where none pays."""

import itertools
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import equinox as eqx
from flax import nnx
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.advice import advice
from jax_cse.advice import nested_derivatives
from jax_cse.findings import comparison
from jax_cse.findings.redundancy_report import Advice, Line

RING = '@jax_cse.enabled("ring")'
WIDTHS = (2, 16, 16, 1)
PARAMS = [(np.random.RandomState(n).randn(n, m).astype("float32"),
           np.zeros(m, "float32")) for n, m in itertools.pairwise(WIDTHS)]
T, X = (np.linspace(a, 1, 8, dtype="float32") for a in (0, -1))


def network(params, t, x):
  h = jnp.stack([t, x])
  for w, b in params[:-1]:
    h = jnp.tanh(h @ w + b)
  (w, b), = params[-1:]
  return (h @ w + b)[0]


def by_argnums(params, t, x):
  u_t = jax.grad(network, 1)(params, t, x)
  u_x = jax.grad(network, 2)
  u_xxx = jax.grad(jax.grad(u_x, 2), 2)
  return u_t + network(params, t, x) * u_x(params, t, x) + u_xxx(params, t, x)


def by_lambda(params, t, x):
  u = lambda x: network(params, t, x)
  u_x = lambda x: jax.grad(u)(x)
  u_xx = lambda x: jax.grad(u_x)(x)
  u_xxx = lambda x: jax.grad(u_xx)(x)
  return u(x) * u_x(x) + u_xxx(x)


def by_jvp(params, t, x):
  u = lambda x: network(params, t, x)
  d = lambda f: lambda x: jax.jvp(f, (x,), (1.0,))[1]
  return u(x) * d(u)(x) + d(d(d(u)))(x)


def by_gradient(params, t, x):
  """Coordinates of a gradient, in an array."""
  u = lambda at: network(params, at[0], at[1])
  u_x = lambda at: jax.grad(u)(at)[1]
  u_xx = lambda at: jax.grad(u_x)(at)[1]
  u_xxx = lambda at: jax.grad(u_xx)(at)[1]
  return u_xxx(jnp.stack([t, x]))


def by_value_and_grad(params, t, x):
  u = lambda x: network(params, t, x)
  u_xxx = jax.value_and_grad(lambda x: jax.value_and_grad(
      lambda x: jax.value_and_grad(u)(x)[1])(x)[1])
  return u(x) + u_xxx(x)[1]


def loss(residual):
  at_points = jax.vmap(residual, (None, 0, 0))
  return lambda params, t, x: jnp.mean(at_points(params, t, x)**2)


class Network(eqx.Module):
  """That of equinox."""
  layers: list

  def __call__(self, t, x):
    h = jnp.stack([t, x])
    for w, b in self.layers[:-1]:
      h = jnp.tanh(h @ w + b)
    (w, b), = self.layers[-1:]
    return (h @ w + b)[0]


def equinox_step(params, t, x):
  def of_model(model):
    u_xxx = jax.grad(jax.grad(jax.grad(model, 1), 1), 1)
    return jnp.mean(jax.vmap(u_xxx)(t, x)**2)
  found = eqx.filter_value_and_grad(of_model)(Network(params))
  return jax.tree.leaves(found)


class Mlp(nnx.Module):
  """That of flax."""

  def __init__(self, rngs):
    self.first = nnx.Linear(2, 16, rngs=rngs)
    self.last = nnx.Linear(16, 1, rngs=rngs)

  def __call__(self, t, x):
    return self.last(jnp.tanh(self.first(jnp.stack([t, x]))))[0]


def flax_step(params, t, x):
  def of_model(model):
    u_xxx = jax.grad(jax.grad(jax.grad(model, 1), 1), 1)
    return jnp.mean(jax.vmap(u_xxx)(t, x)**2)
  value, slopes = nnx.value_and_grad(of_model)(Mlp(nnx.Rngs(0)))
  return value, jax.tree.leaves(slopes)


def advised(fun, *args, compiled=False):
  return jax_cse.redundancy(fun, compiled=compiled)(*args).advice


def following(fun, *args):
  """What a program takes by itself."""
  return advice._work(comparison.of(fun, "exact")(*args).plain)


def by_mlp(params, t, x):
  """A training step without derivatives in the loss."""
  def mse(params):
    return jnp.mean((jax.vmap(network, (None, 0, 0))(params, t, x) - t)**2)
  value, slopes = jax.value_and_grad(mse)(params)
  return value, jax.tree.map(lambda p, g: p - 0.1 * g, params, slopes)


def first_derivatives(params, t, x):
  return jax.vmap(jax.grad(network, (1, 2)), (None, 0, 0))(params, t, x)


def gradient_penalty(params, t, x):
  def penalty(params):
    slopes = jax.vmap(jax.grad(network, (1, 2)), (None, 0, 0))(params, t, x)
    return jnp.mean((jnp.hypot(*slopes) - 1)**2)
  return jax.grad(penalty)(params)


def newton_step(params, t, x):
  def energy(at):
    return jnp.sum(jnp.cos(at)) + 0.1 * at @ at
  return x - jnp.linalg.solve(jax.hessian(energy)(x), jax.grad(energy)(x))


def hessian_vector(params, t, x):
  energy = lambda x: jnp.sum(jnp.sin(x)**2)
  return jax.jvp(jax.grad(energy), (x,), (t,))[1]


def whole_hessian(params, t, x):
  return jax.hessian(lambda at: network(params, at[0], at[1]))(
      jnp.stack([t[0], x[0]]))


def two_steps(params, t, x):
  """Meta-learning: a gradient through a step along a gradient."""
  def inner(params):
    return jnp.mean(jax.vmap(network, (None, 0, 0))(params, t, x)**2)
  def outer(params):
    return inner(jax.tree.map(
        lambda p, g: p - 0.1 * g, params, jax.grad(inner)(params)))
  return jax.grad(outer)(params)


class AdviceTest(parameterized.TestCase):

  @parameterized.parameters(by_argnums, by_lambda, by_jvp, by_gradient,
                            by_value_and_grad)
  def test_a_loss_is_simplified_before(self, residual):
    step = jax.value_and_grad(loss(residual))
    found = next(a for a in advised(step, PARAMS, T, X)
                 if a.write.startswith(RING))
    self.assertIn("differentiated by 337 numbers", found.seen)
    self.assertIn("test_advice.py:", found.seen)
    self.assertEqual(found.line.file, __file__)
    base = following(step, PARAMS, T, X)
    other = following(jax_cse.enabled("ring")(step), PARAMS, T, X)
    self.assertEqual((found.equations, found.flops), (
        base.equations - other.equations, base.flops - other.flops))
    self.assertAlmostEqual(found.share, found.flops / base.flops)
    # The other way that is advised does the same.
    by_cse = jax.value_and_grad(loss(jax_cse.cse(residual)))
    self.assertLess(following(by_cse, PARAMS, T, X).flops,
                    base.flops - 0.9 * found.flops)

  def test_the_name_of_the_residual(self):
    step = jax.grad(loss(by_argnums))
    self.assertIn("(by_argnums)", advised(step, PARAMS, T, X)[0].write)
    step = jax.grad(loss(by_lambda))
    self.assertNotIn("<lambda>", advised(step, PARAMS, T, X)[0].write)

  @parameterized.parameters(equinox_step, flax_step)
  def test_networks_of_packages(self, step):
    found = [a for a in advised(step, PARAMS, T, X) if RING in a.write]
    self.assertNotEmpty(found)
    for a in found:
      self.assertEqual(a.line.file, __file__)

  def test_where_the_line_is_there_already(self):
    step = jax.value_and_grad(loss(by_argnums))
    found = comparison.of(step, "exact")(PARAMS, T, X)
    self.assertNotEmpty(advice.of(found, None))
    self.assertEmpty(advice.of(found, None, "ring"))
    self.assertEmpty(advised(jax_cse.enabled("ring")(step), PARAMS, T, X))

  @parameterized.parameters(by_argnums, by_lambda, by_value_and_grad)
  def test_nested_grad_by_one_number(self, residual):
    found, = advised(residual, PARAMS, T[0], X[0])
    self.assertStartsWith(found.write, "nested jax.jvp")
    self.assertIn("up to 3 times", found.seen)
    self.assertIn("u_xxx", found.line.text)

  def test_nested_grad_in_a_batch(self):
    found, = advised(jax.vmap(by_lambda, (None, 0, 0)), PARAMS, T, X)
    self.assertStartsWith(found.write, "nested jax.jvp")
    # By hand.
    base = following(jax.vmap(by_lambda, (None, 0, 0)), PARAMS, T, X)
    other = following(jax.vmap(by_jvp, (None, 0, 0)), PARAMS, T, X)
    self.assertAlmostEqual(found.flops, base.flops - other.flops,
                           delta=0.02 * base.flops)

  @parameterized.parameters(
      by_mlp, first_derivatives, gradient_penalty, newton_step, hessian_vector,
      whole_hessian, two_steps)
  def test_nothing_pays(self, program):
    self.assertEmpty(advised(program, PARAMS, T, X))

  @parameterized.parameters(by_mlp, gradient_penalty, newton_step)
  def test_nothing_pays_after_compiling(self, program):
    self.assertEmpty(advised(program, PARAMS, T, X, compiled=True))

  def test_compiled(self):
    step = jax.value_and_grad(loss(by_argnums))
    report = jax_cse.redundancy(step)(PARAMS, T, X)
    found = report.advice[0]
    with jax_cse.enabled("ring"):
      other = jax.make_jaxpr(step)(PARAMS, T, X)
    self.assertAlmostEqual(
        found.flops, report.flops[1] - comparison.compiled_flops(other),
        delta=0.001 * report.flops[1])

  def test_a_change_that_xla_has_no_count_for(self):
    step = jax.value_and_grad(loss(by_argnums))
    found = comparison.of(step, "exact")(PARAMS, T, X)
    with mock.patch.object(comparison, "compiled_flops", return_value=None):
      self.assertEmpty(advice.of(found, 1e6))

  def test_the_program_enters_nothing(self):
    step = jax.value_and_grad(loss(by_argnums))
    with mock.patch.object(jax_cse.enabled, "_enter") as entered:
      found = advised(step, PARAMS, T, X)
    self.assertTrue(any(RING in a.write for a in found))
    entered.assert_not_called()

  def test_loops_are_counted_by_us(self):
    def looped(params, t, x):
      return lax.map(lambda at: by_lambda(params, *at), (t, x))
    flops = [advised(looped, PARAMS, T, X, compiled=c)[0].flops
             for c in (False, True)]
    self.assertEqual(*flops)

  def test_a_jit_that_was_traced_before(self):
    step = jax.jit(jax.value_and_grad(loss(by_argnums)))
    step(PARAMS, T, X)
    for _ in range(2):
      self.assertNotEmpty(advised(step, PARAMS, T, X))

  def test_what_cannot_be_traced_again(self):
    traced = []

    def once(t, x):
      if traced:
        raise SystemExit("only once")
      traced.append(1)
      return by_lambda(PARAMS, t, x)
    self.assertEmpty(advised(once, T[0], X[0]))

  def test_what_must_be_saved(self):
    base = following(by_lambda, PARAMS, T[0], X[0])
    found = comparison.of(by_lambda, "exact")(PARAMS, T[0], X[0])
    for flops, pays in ((base.flops, False), (0.91 * base.flops, False),
                        (0.89 * base.flops, True), (2 * base.flops, False)):
      works = mock.Mock(side_effect=[advice.Work(1, flops), base])
      with (mock.patch.object(advice, "_work", works),
            mock.patch.object(advice, "KINDS",
                              (nested_derivatives.forwards,))):
        self.assertEqual(bool(advice.of(found, None)), pays, flops)

  def test_a_kind_that_fails(self):
    def fails(program):
      raise ValueError
      yield
    found = comparison.of(by_lambda, "exact")(PARAMS, T[0], X[0])
    with mock.patch.object(advice, "KINDS",
                           (fails, nested_derivatives.forwards)):
      self.assertLen(advice.of(found, None), 1)


class PrintedTest(absltest.TestCase):

  def report(self):
    report = jax_cse.redundancy(lambda x: x, compiled=False)(X)
    return report._replace(advice=[
        Advice(Line(__file__, 1, "f"), "seen <this>", "write & that", 1234,
               56789, 0.567),
        Advice(None, "other", "thing", -3, 1, 0.1)])

  def test_as_text(self):
    self.assertRegex(
        str(self.report()), r"(?s)\nwhat would pay:\n"
        r" equations       flops +saved, over what is left\n"
        r"     1,234      56,789         57%  test_advice.py:1  .*\n"
        r" +seen <this>\n +write write & that\n"
        r" +-3 +1 +10%  the function as a whole\n")

  def test_in_a_notebook(self):
    page = self.report()._repr_html_()
    for text in ("What would pay", "<td>1,234</td>", "<td>57%</td>",
                 "seen &lt;this&gt;", "write &amp; that"):
      self.assertIn(text, page)

  def test_nothing(self):
    report = self.report()._replace(advice=())
    self.assertNotIn("pay", str(report))
    self.assertNotIn("pay", report._repr_html_())


if __name__ == "__main__":
  absltest.main()
