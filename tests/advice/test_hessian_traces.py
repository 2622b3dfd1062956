"""Sums of second derivatives are found however they are written, and no other
use of them is taken for one."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
from jax.extend import core
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.advice import advice
from jax_cse.advice import hessian_traces
from jax_cse.findings import comparison
from jax_cse.findings import traceable

N = 6
W = [np.random.RandomState(n).randn(n, m).astype("float32") / n**0.5
     for n, m in ((N, 32), (32, 31), (31, 1))]
X = np.linspace(-1, 1, N, dtype="float32")


def network(weights, x):
  for w in weights[:-1]:
    x = jnp.tanh(x @ w)
  return (x @ weights[-1])[0]


def f(x):
  return network(W, x)


SUMS, OTHERS = {}, {}


def a_sum(program):
  SUMS[program.__name__] = program
  return program


def no_sum(program):
  OTHERS[program.__name__] = program
  return program


@a_sum
def trace(x):
  return jnp.trace(jax.hessian(f)(x))


@a_sum
def sum_of_diagonal(x):
  return jnp.sum(jnp.diag(jax.hessian(f)(x)))


@a_sum
def einsum(x):
  return jnp.einsum("ii", jax.jacfwd(jax.jacfwd(f))(x))


@a_sum
def linalg(x):
  return jnp.linalg.trace(jax.jacrev(jax.grad(f))(x))


@a_sum
def masked(x):
  return jnp.where(jnp.eye(N, dtype=bool), jax.hessian(f)(x), 0).sum()


@a_sum
def along_basis(x):
  along = lambda v: jnp.vdot(v, jax.jvp(jax.grad(f), (x,), (v,))[1])
  return jax.vmap(along)(jnp.eye(N)).sum()


@a_sum
def nested_jvp(x):
  def along(v):
    first = lambda x: jax.jvp(f, (x,), (v,))[1]
    return jax.jvp(first, (x,), (v,))[1]
  return jax.vmap(along)(jnp.eye(N)).sum()


@a_sum
def python_loop(x):
  return sum(jax.jvp(jax.grad(f), (x,), (np.eye(N, dtype="f4")[i],))[1][i]
             for i in range(N))


@a_sum
def loop(x):
  _, of = jax.linearize(jax.grad(f), x)
  return lax.fori_loop(0, N, lambda i, y: y + of(jnp.eye(N)[i])[i], 0.0)


@a_sum
def scan(x):
  def step(y, v):
    return y + jnp.vdot(jax.jvp(jax.grad(f), (x,), (v,))[1], v), None
  return lax.scan(step, 0.0, jnp.eye(N))[0]


@a_sum
def local_energy(x):
  slope = jax.grad(f)(x)
  return x @ x - (jnp.trace(jax.hessian(f)(x)) + slope @ slope) / 2


@a_sum
def batch(x):
  return jax.vmap(trace)(jnp.stack([x, 2 * x, x - 1]))


@a_sum
def in_a_jit(x):
  return jax.jit(trace)(x)


@a_sum
def of_a_matrix(x):
  g = lambda y: f(y.ravel())
  return jnp.einsum("ijij", jax.hessian(g)(x.reshape(2, -1)))


@a_sum
def trained(x):
  def loss(weights):
    u = lambda x: network(weights, x)
    residual = lambda x: jnp.trace(jax.hessian(u)(x)) - u(x)
    return jnp.mean(jax.vmap(residual)(jnp.stack([x, 2 * x]))**2)
  return jax.grad(loss)([jnp.asarray(w) for w in W])


@a_sum
def exponential(x):
  """Of zero it is not zero."""
  return jnp.exp(trace(x))


@no_sum
def whole(x):
  return jax.hessian(f)(x)


@no_sum
def newton(x):
  return x - jnp.linalg.solve(jax.hessian(f)(x), jax.grad(f)(x))


@no_sum
def frobenius(x):
  return jnp.sum(jax.hessian(f)(x)**2)


@no_sum
def everything(x):
  return jnp.sum(jax.hessian(f)(x))


@no_sum
def weighted(x):
  return jnp.arange(1.0, N + 1) @ jnp.diag(jax.hessian(f)(x))


@no_sum
def diagonal(x):
  return jnp.diag(jax.hessian(f)(x))


@no_sum
def partly(x):
  return jnp.trace(jax.hessian(f)(x)[1:, 1:])


@no_sum
def asymmetric(x):
  h = jax.hessian(f)(x)
  return jnp.trace(h), h[0, 1]


@no_sum
def determinant(x):
  return jnp.linalg.slogdet(jax.hessian(f)(x))[1]


@no_sum
def hessian_vector(x):
  return jax.jvp(jax.grad(f), (x,), (jnp.ones(N),))[1]


@no_sum
def random_direction(x):
  v = jax.random.rademacher(jax.random.key(0), (N,), "float32")
  return v @ jax.jvp(jax.grad(f), (x,), (v,))[1]


@no_sum
def of_an_operand(x):
  return x @ jax.jvp(jax.grad(f), (x,), (x,))[1]


@no_sum
def penalty(x):
  return jax.grad(lambda x: jnp.sum(jax.grad(f)(x)**2))(x)


@no_sum
def gradient_step(x):
  return jax.grad(lambda x: f(x - 0.1 * jax.grad(f)(x)))(x)


class HessianTest(parameterized.TestCase):

  @parameterized.parameters(*SUMS)
  def test_a_sum(self, name):
    found, *_ = jax_cse.redundancy(SUMS[name], compiled=False)(X).advice
    self.assertStartsWith(found.write, "jax_cse.laplacian")
    self.assertIn(f"by {N} coordinates", found.seen)
    self.assertEqual(found.line.file, __file__)

  @parameterized.parameters(*SUMS)
  def test_the_other_program_gives_the_same(self, name):
    plain, program = traceable.traced(SUMS[name], (X,), {})
    change, = hessian_traces.changes(program)
    for a, b in zip(core.jaxpr_as_fun(plain)(X),
                    core.jaxpr_as_fun(change.make())(X), strict=True):
      np.testing.assert_allclose(a, b, 1e-3, 1e-4 * np.abs(a).max())

  @parameterized.parameters(*OTHERS)
  def test_no_sum(self, name):
    _, program = traceable.traced(OTHERS[name], (X,), {})
    self.assertEmpty(list(hessian_traces.changes(program)))

  @parameterized.parameters("trace", "along_basis", "batch")
  def test_it_saves_what_is_said(self, name):
    work = lambda fun: advice._work(comparison.of(fun, "exact")(X).plain)
    plain = SUMS[name]
    by_hand = jax_cse.laplacian(f)
    if name == "batch":
      by_hand = lambda x: jax.vmap(jax_cse.laplacian(f))(
          jnp.stack([x, 2 * x, x - 1]))
    found, = jax_cse.redundancy(plain, compiled=False)(X).advice
    saved = work(plain).flops - work(by_hand).flops
    self.assertAlmostEqual(found.flops, saved, delta=0.05 * saved)

  def test_with_auxiliary_results(self):
    # Limits: it is not looked into.
    def program(x):
      of = jax.grad(lambda x: (f(x), x), has_aux=True)
      return jnp.trace(jax.jacfwd(lambda x: of(x)[0])(x))
    self.assertEmpty(jax_cse.redundancy(program, compiled=False)(X).advice)

  def test_a_tree(self):
    def program(x):
      h = jax.hessian(lambda tree: f(tree["x"]))({"x": x})["x"]["x"]
      return jnp.trace(h)
    found, = jax_cse.redundancy(program, compiled=False)(X).advice
    self.assertStartsWith(found.write, "jax_cse.laplacian")

  def test_half_precision(self):
    # Limits: sums are not exact.
    program = lambda x: jnp.trace(jax.hessian(
        lambda x: jnp.sum(jnp.sin(x)**2))(x))
    jax_cse.redundancy(program, compiled=False)(X.astype("float16"))


if __name__ == "__main__":
  absltest.main()
