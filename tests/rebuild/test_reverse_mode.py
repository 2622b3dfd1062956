"""Reverse mode where sums and products may be reordered: what is linearized is
simplified, and pullbacks of few inputs run forwards."""

from collections import Counter
import itertools
import warnings

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from checking import assert_close
import jax_cse
from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.foundation import counting
from jax_cse.foundation.active import here
import specs

grad = jax.grad
T = jnp.float32(0.4)
Z = jnp.array([0.1, 0.2, 0.3])
WAYS = ("ring", "reassociate", "cse")


def by(way, fun):
  """A function that is traced by one of `WAYS`."""
  def traced(*args):
    if way == "cse":
      return jax.make_jaxpr(jax_cse.cse(fun), return_shape=True)(*args)
    with jax_cse.enabled(way):
      return jax.make_jaxpr(fun, return_shape=True)(*args)

  def evaluated(*args):
    jaxpr, shape = traced(*args)
    outs = compat.core.jaxpr_as_fun(jaxpr)(*jax.tree.leaves(args))
    return jax.tree.unflatten(jax.tree.structure(shape), outs)

  evaluated.jaxpr = lambda *args: jaxprs.drop_dead_equations(traced(*args)[0])
  return evaluated


def size(jaxpr):
  return len(list(counting.equations(jaxpr.jaxpr)))


def primitives(jaxpr):
  return Counter(eqn.primitive.name
                 for eqn in counting.equations(jaxpr.jaxpr))


def f(t):
  return jnp.sin(t) * jnp.exp(0.3 * t) + t**3


def network(widths, seed=0):
  rng = np.random.RandomState(seed)
  weights = [rng.randn(a, b).astype("float32") / 2
             for a, b in itertools.pairwise(widths)]
  def fun(z):
    for w in weights[:-1]:
      z = jnp.tanh(z @ w)
    return (z @ weights[-1])[0]
  return fun


def pick(fun, i):
  return lambda z: grad(fun)(z)[i]


def nested(fun, order):
  for _ in range(order):
    fun = grad(fun)
  return fun


def scanned(t):
  return lax.scan(lambda c, x: (jnp.sin(c) * x + t, c * c), t,
                  jnp.arange(3.))[0]


def two(x, y):
  return jnp.sin(x * y) * x


NET = network((3, 5, 5, 1))
# A program, and its operands.
PROGRAMS = {
    "third": (nested(f, 3), T),
    "in vmap": (jax.vmap(nested(f, 2)), jnp.linspace(0., 1., 4)),
    "in scan": (lambda t: lax.scan(
        lambda c, x: (nested(f, 2)(c) * x + c, grad(f)(c)), t,
        jnp.arange(3.)), T),
    "of scan": (nested(scanned, 2), T),
    "of cond": (nested(lambda t: t * lax.cond(
        t > 0, jnp.sin, lambda x: x**3, t), 2), T),
    "of jit": (nested(jax.jit(f), 2), T),
    "in jit": (lambda t: jax.jit(grad(jax.jit(grad(f))))(t), T),
    "of remat": (nested(jax.checkpoint(f), 2), T),
    "value": (lambda t: jax.value_and_grad(
        lambda t: jax.value_and_grad(f)(t)[1])(t), T),
    "aux": (lambda t: jax.value_and_grad(lambda t: grad(
        lambda t: (f(t), {"a": 2 * t, "b": jnp.ones(3)}), has_aux=True)(t),
                                         has_aux=True)(t), T),
    "two arguments": (lambda x, y: grad(lambda x, y: sum(
        grad(two, (0, 1))(x, y)), (0, 1))(x, y), T, 2 * T),
    "a tree": (lambda d: grad(lambda d: grad(
        lambda d: jnp.sin(d["a"]) * d["b"])(d)["a"])(d), {"a": T, "b": 2 * T}),
    "components": (pick(pick(NET, 0), 1), Z),
    "all components": (lambda z: grad(
        lambda z: (grad(NET)(z)**2).sum())(z), Z),
    "hessian": (jax.hessian(NET), Z),
    "jacrev jacrev": (jax.jacrev(jax.jacrev(NET)), Z),
    "jacfwd jacrev": (jax.jacfwd(jax.jacrev(NET)), Z),
    "jacrev thrice": (jax.jacrev(jax.jacrev(jax.jacrev(NET))), Z),
    "a matrix": (pick(lambda x: grad(lambda x: jnp.sin(x @ x).sum())(x)[0, 1],
                      (1, 0)), jnp.array([[.3, .2], [.1, .5]])),
    "a matrix in another order": (lambda x: grad(lambda x: grad(
        lambda x: (jnp.sin(lax.reshape(x, (4,), (1, 0)))
                   * jnp.arange(4.)).sum()**3)(x)[0, 1])(x),
                                  jnp.array([[.3, .2], [.1, .5]])),
    "one in an array": (lambda x: grad(lambda x: (grad(
        lambda x: (jnp.sin(x) @ x)[0, 0])(x)**2).sum())(x), jnp.array([[.3]])),
    "vjp": (lambda t: jax.vjp(lambda t: jax.vjp(lambda t: jnp.stack(
        [jnp.sin(t), t * t, t]), t)[1](jnp.array([1., 2., t]))[0], t)[1](
            jnp.float32(2.))[0], T),
    "vjp of rows": (lambda x: jax.vjp(lambda x: jax.vjp(f, x)[1](
        jnp.ones(5))[0], x)[1](jnp.arange(5.))[0], jnp.linspace(0., 1., 5)),
    "rows that meet": (lambda x: grad(lambda x: grad(
        lambda x: jax.vmap(f)(x).mean())(x)[2] * x[0])(x),
                       jnp.linspace(0., 1., 7)),
    "rows of two": (lambda x: grad(lambda x: grad(lambda x: (jnp.tanh(
        x @ jnp.arange(6.).reshape(2, 3))**2).sum())(x)[:, 1].sum())(x),
                    jnp.linspace(0., 1., 12).reshape(6, 2)),
    "an integer": (lambda t, n: grad(lambda t: grad(
        lambda t, n: f(t) * n, (0, 1), allow_int=True)(t, n)[0])(t),
                   T, jnp.int32(3)),
    "complex inside": (nested(lambda x: jnp.abs(
        jnp.exp(1j * x) * (1 + 2j * x))**2, 2), T),
    "complex": (grad(lambda x: (x * x * jnp.conj(x)).real),
                jnp.complex64(1 + 2j)),
    "complex result": (lambda t: jax.vjp(lambda t: jnp.exp(1j * t), t)[1](
        jnp.complex64(1 + 2j))[0], T),
    "holomorphic": (grad(grad(jnp.sin, holomorphic=True), holomorphic=True),
                    jnp.complex64(1 + 2j)),
    "solve": (nested(lambda t: jnp.linalg.solve(
        jnp.eye(3) * (1 + t) + 0.1 * t * t, jnp.arange(3.)).sum(), 2), T),
    "cholesky": (nested(lambda t: jnp.linalg.cholesky(
        jnp.eye(3) * (2 + t) + 0.1 * t * t).sum(), 2), T),
    "gather": (pick(pick(lambda z: (
        jnp.sin(z)[jnp.array([2, 0, 0])] * z).sum(), 2), 0), Z),
    "scatter": (pick(pick(lambda z: (jnp.zeros(4).at[
        jnp.array([1, 1, 3])].add(z)**3).sum(), 1), 1), Z),
    "unstack": (pick(pick(lambda z: (
        lambda a, b, c: a * b * jnp.sin(c))(*z), 2), 0), Z),
    "zero": (nested(jnp.floor, 2), T),
    "half precision": (nested(lambda x: jnp.sin(x) * x, 2), jnp.float16(.4)),
    "an axis": (jax.vmap(lambda t: grad(lambda t: jnp.sin(
        lax.psum(f(t), "i")))(t), axis_name="i"), jnp.linspace(0., 1., 4)),
    "weights": (lambda w, x: jax.value_and_grad(lambda w: jnp.mean(jax.vmap(
        lambda t: nested(lambda t: jnp.tanh(jnp.tanh(t * w[0]) @ w[1]).sum(),
                         2)(t) - t)(x)**2))(w),
                [jnp.arange(5.) / 5, jnp.full((5, 5), 0.3)],
                jnp.linspace(0., 1., 4)),
    "weights, aux": (lambda w: grad(lambda w: (nested(
        lambda t: jnp.tanh(t * w).sum(), 2)(T), {"w": 2 * w, "n": T}),
                                    has_aux=True)(w), jnp.arange(5.) / 5),
    "linearize": (lambda x: jax.linearize(lambda x: jax.vmap(
        nested(f, 2))(x).sum(), x)[1](jnp.ones(6)), jnp.arange(6.) / 6),
    "a step of learning inside": (grad(lambda w: jnp.sum((w - 0.1 * grad(
        lambda w: jnp.sum(jnp.sin(w)**2) * nested(f, 2)(w[0]))(w))**2)),
                                  jnp.arange(6.) / 6),
}


class ValuesTest(parameterized.TestCase):

  @parameterized.parameters(*PROGRAMS)
  def test_every_way_gives_what_plain_jax_gives(self, name):
    fun, *args = PROGRAMS[name]
    wanted = jax.jit(fun)(*args)
    for way in WAYS:
      found = by(way, fun)(*args)
      self.assertEqual(jax.tree.structure(found), jax.tree.structure(wanted))
      for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(wanted)):
        self.assertEqual((a.dtype, a.shape), (b.dtype, b.shape), way)
        if a.dtype != jax.dtypes.float0:
          tolerance = 2e-2 if a.dtype.itemsize == 2 else 2e-4
          np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance,
                                     err_msg=way)

  @parameterized.parameters("third", "of scan", "components", "weights")
  def test_eagerly_nothing_is_reordered(self, name):
    fun, *args = PROGRAMS[name]
    with jax_cse.enabled("ring"):
      found = fun(*args)
    assert_close(found, fun(*args))

  def test_mode_exact_changes_nothing(self):
    with jax_cse.enabled():
      merged = jax.make_jaxpr(nested(f, 2))(T)
    self.assertEqual(compat.core.jaxpr_as_fun(merged)(T)[0],
                     compat.core.jaxpr_as_fun(
                         jax.make_jaxpr(nested(f, 2))(T))(T)[0])


class RulesTest(parameterized.TestCase):
  """What a user says of a derivative holds."""

  def test_a_custom_vjp_runs_backwards(self):
    @jax.custom_vjp
    def g(t):
      return jnp.sin(t)
    g.defvjp(lambda t: (jnp.sin(t), t), lambda t, c: (c * 7 * t,))
    for way in WAYS:
      assert_close(by(way, grad(lambda t: g(t) * t))(T),
                   jnp.sin(T) + 7 * T * T)
      assert_close(by(way, nested(lambda t: g(t * t) * t, 2))(T),
                   jax.jit(nested(lambda t: g(t * t) * t, 2))(T))

  def test_a_linear_call_is_transposed_by_its_rule(self):
    def g(t):
      return jax.custom_derivatives.linear_call(
          lambda _, x: 2 * x, lambda _, c: 5 * c, (), t)
    for way in WAYS:
      assert_close(by(way, grad(g))(T), 5.)

  def test_a_solver_is_transposed_by_its_rule(self):
    def solution(t):
      a = jnp.eye(3) * (2 + t)
      return lax.custom_linear_solve(
          lambda x: a @ x, jnp.sin(Z * t), lambda _, b: jnp.linalg.solve(a, b),
          lambda _, b: 2 * jnp.linalg.solve(a.T, b)).sum()
    for way in WAYS:
      assert_close(by(way, grad(solution))(T), jax.jit(grad(solution))(T))

  @parameterized.parameters(
      lambda v: grad(lambda t: jnp.sin(t) * t)(2.) * v,
      lambda v: grad(lambda s, t: jnp.sin(t) * s, (0, 1))(2., 3.)[1] * v,
      lambda v: grad(lambda t: (jnp.sin(t) * t).sum())(
          jnp.full(2, 2.) * 1) * v)
  def test_weak_types_stay(self, fun):
    v = jnp.ones(2, jnp.bfloat16)
    for way in WAYS:
      self.assertEqual(by(way, fun)(v).dtype, jax.jit(fun)(v).dtype, way)

  def test_constants_are_folded_without_a_warning(self):
    with warnings.catch_warnings(action="error"):
      for way in WAYS:
        self.assertEqual(by(way, grad(lambda t: t / 0.))(T), jnp.inf)

  def test_what_is_traced_here_is_not_reused_elsewhere(self):
    inner = jax.jit(nested(f, 2))
    plain = str(jax.make_jaxpr(inner)(T))
    jax.clear_caches()
    simpler = str(jax.make_jaxpr(jax_cse.cse(lambda t: inner(t)))(T))
    self.assertNotEqual(plain, simpler)
    self.assertEqual(str(jax.make_jaxpr(inner)(T)), plain)


  def test_a_gradient_that_is_not_derived_again_is_one_backward_pass(self):
    for way in WAYS:
      counts = primitives(by(way, grad(NET)).jaxpr(Z))
      self.assertEqual(counts["dot_general"], 5, way)   # the last not twice


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
    for name, derivative in {"grad": _DERIVATIVES[kind], "jvp": _JVP}.items():
      nest = (lambda r: r) if kind == "rows" else jax.vmap
      jaxpr = by("ring", step(nest, derivative)).jaxpr(weights)
      counts[name] = primitives(jaxpr)["dot_general"]
    self.assertEqual(counts["grad"], counts["jvp"])


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


_JVP = _jvp
_DERIVATIVES = {"scalars": grad, "components": _component, "rows": _of_rows}


if __name__ == "__main__":
  absltest.main()
