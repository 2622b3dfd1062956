"""Functions run on the explicit trace as Python runs them, in final style."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
from checking import assert_close
import jax_cse
from jax_cse.compat import core
from jax_cse.foundation import modes
import specs

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


class FinalStyleTest(parameterized.TestCase):

  @parameterized.parameters(*modes.MODES)
  def test_control_flow_of_python(self, mode):
    def fun(x):
      y = jnp.sin(x) * x
      if y > 0:   # wants to know
        assert int(y * 0) == 0
        return y + x
      return y - x
    for x in (0.5, 4.0):
      assert_close(jax_cse.cse(fun, mode)(x), fun(x))
      assert_close(jax.jvp(jax_cse.cse(jnp.tanh, mode), (x,), (1.,)),
                   jax.jvp(jnp.tanh, (x,), (1.,)))
      assert_close(jax_cse.cse(lambda v: jax.grad(
          lambda u: u * u if u > 1 else u)(v), mode)(x),
                   jax.grad(lambda u: u * u if u > 1 else u)(x))

  def test_nothing_is_computed_that_nobody_wants(self):
    def fun(x):
      lax.lgamma(x)
      return x + 1
    self.assertEqual(checking.count(jax_cse.cse(fun), 1.), 1)

  def test_effects_happen_once_and_in_order(self):
    seen = []
    def fun(x):
      jax.debug.callback(lambda v: seen.append(("a", float(v))), x * x,
                         ordered=True)
      jax.debug.callback(lambda v: seen.append(("b", float(v))), x + x,
                         ordered=True)
      return x * x
    for made in (jax_cse.cse(fun), jax.jit(jax_cse.cse(fun))):
      seen.clear()
      assert_close(made(3.), 9.)
      jax.effects_barrier()
      self.assertEqual(seen, [("a", 9.), ("b", 6.)])

  def test_references(self):
    def fun(x):
      ref = jax.new_ref(x * x)
      ref[...] += x
      first = ref[...]
      ref[...] *= 2.
      return first, ref[...]
    assert_close(jax_cse.cse(fun)(X), fun(X))
    assert_close(jax.jit(jax_cse.cse(fun))(X), fun(X))

  def test_rules_of_the_user_are_kept(self):
    @jax.custom_jvp
    def wrong(x):
      return x * x
    wrong.defjvp(lambda p, t: (wrong(*p), 7. * t[0]))
    @jax.custom_vjp
    def clipped(x):
      return lax.sin(x)
    clipped.defvjp(lambda x: (clipped(x), None), lambda _, ct: (5. * ct,))
    for f in (wrong, clipped):
      for made in (jax_cse.cse(f), jax.jit(jax_cse.cse(f))):
        self.assertEqual(jax.grad(made)(2.), jax.grad(f)(2.))
      twice = jax.make_jaxpr(jax_cse.cse(lambda x: wrong(x) + wrong(x)))(2.)
      self.assertEqual(checking.size(twice), 3)   # one call and 2*y

  def test_loops_are_narrowed_and_simplified_inside(self):
    def fun(x):
      def step(carry, _):
        a, b = carry
        return (a * b + b * a, b * a + a * b), None
      return lax.scan(step, (x, x), None, length=3)[0]
    jaxpr = jax.make_jaxpr(jax_cse.cse(fun))(1.)
    scan, = jaxpr.jaxpr.eqns
    self.assertLen(scan.invars, 1)
    self.assertLessEqual(len(scan.params["jaxpr"].eqns), 2)
    assert_close(jax_cse.cse(fun)(0.9), fun(0.9))

  def test_pytrees_keywords_and_constants(self):
    fun = lambda tree, *, scale: {"a": tree[0] * scale, "b": (3, Y),
                                  "c": None}
    assert_close(jax_cse.cse(fun)((X, 1.), scale=2.), fun((X, 1.), scale=2.))

  def test_itself(self):
    fun = specs.nested(jnp.tanh, 3)
    assert_close(jax_cse.cse(jax_cse.cse(fun))(0.3), fun(0.3))
    self.assertLessEqual(checking.count(jax_cse.cse(jax_cse.cse(fun)), 0.3),
                         checking.count(jax_cse.cse(fun), 0.3))

  def test_bad_input(self):
    with self.assertRaisesRegex(ValueError, "'exact', 'reassociate', 'ring'"):
      jax_cse.cse(jnp.sin, mode="best")
    with self.assertRaisesRegex(TypeError, "str"):
      jax_cse.cse(lambda x: x)("text")
    with self.assertRaises(TypeError):
      jax_cse.cse(lambda x: jnp.dot(x, jnp.ones(3)))(X)

  @parameterized.parameters(*modes.MODES)
  def test_what_is_donated_inside_is_not_used_up(self, mode):
    add = jax.jit(lambda a, b: a * 2 + b, donate_argnums=0)
    def twice(x):
      a, b = jnp.sin(x), jnp.sin(x)
      return add(a, x), b
    x = jnp.array([.3, 1.2])
    for fun in (lambda x: add(x * 1., x * 2.), lambda x: add(x + 0., x),
                lambda x: add(lax.sin(x), lax.sin(x)), twice,
                lambda x: add(lax.sin(x) * 1., x) + lax.sin(x),
                lambda x: add(jnp.copy(x), x * 2.)):
      assert_close(jax_cse.cse(fun, mode)(x), jax.jit(fun)(x))
      jax_cse.derivatives(fun, 1)(x)
      self.assertFalse(x.is_deleted())

  @parameterized.parameters(*modes.MODES)
  def test_a_rule_that_closes_over_what_is_mapped(self, mode):
    def fun(x):
      y = jnp.exp(x)
      g = jax.custom_jvp(lambda z: z * y)
      g.defjvp(lambda xs, ts: (g(*xs), ts[0] * 7 * y))
      return g(x)
    assert_close(jax.vmap(jax_cse.cse(fun, mode))(X), jax.vmap(fun)(X))

  @parameterized.parameters(*modes.MODES)
  def test_a_token_that_is_closed_over(self, mode):
    token = lax.create_token()
    fun = lambda x: (x + 2, token)
    for rebuilt in (jax_cse.cse(fun, mode), jax.jit(jax_cse.cse(fun, mode)),
                    core.jaxpr_as_fun(jax_cse.cse_jaxpr(
                        jax.make_jaxpr(fun)(7), mode))):
      x, y = rebuilt(7)
      self.assertEqual(x, 9)
      self.assertIsInstance(y, core.Token)

  def test_values_that_python_reads(self):
    for read in (float, lambda x: complex(x).real, np.asarray,
                 lambda x: x.tolist()):
      assert_close(jax_cse.cse(lambda x, read=read: x * read(x))(2.), 4.)

  def test_a_tracer_that_leaves_is_reported(self):
    leaked = []
    jax_cse.cse(lambda x: leaked.append(x * 2) or x)(1.)
    with self.assertRaises(jax.errors.UnexpectedTracerError):
      jnp.sin(leaked[0])


if __name__ == "__main__":
  absltest.main()
