"""`jarrett`: values, what is kept, what is refused."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse import compat
from specs import COMPOSITIONS, gelu

X = np.array([0.3, -0.7, 1.1], "float32")
POINT = np.float32(0.7)


def chain(x):
  return jnp.sin(jnp.sin(jnp.sin(x)))


@jax.custom_jvp
def _with_rule(x):
  return jnp.sin(x)
_with_rule.defjvp(lambda p, t: (_with_rule(*p), jnp.cos(p[0]) * t[0]))


# Elementwise functions of one array.
UNARY = {
    "chain": chain,
    "gelu": gelu,
    "jax.nn.gelu": jax.nn.gelu,
    "softplus": jax.nn.softplus,
    "select": lambda x: jnp.where(x > 0, jnp.sin(x), x * x),
    "custom_jvp": lambda x: _with_rule(_with_rule(x)),
    "jit": jax.jit(lambda x: jnp.tanh(x) * x),
    "checkpoint": jax.checkpoint(lambda x: jnp.tanh(jnp.sin(x))),
    "fori_loop": lambda x: lax.fori_loop(0, 3, lambda _, y: jnp.sin(y) + x, x),
    "while_loop": lambda x: lax.while_loop(
        lambda s: s[0] < 3, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, x))[1],
    "map": lambda x: lax.map(jnp.sin, x) if x.ndim else jnp.sin(x),
    "scan of coefficients": lambda x: lax.scan(
        lambda c, a: (jnp.sin(c) * x + a, None), x, np.arange(3.))[0],
    "polyval": lambda x: jnp.polyval(np.arange(4.), x),
    "barrier": lambda x: lax.optimization_barrier(jnp.sin(x)) * x,
    "switch": lambda x: lax.switch(1, [jnp.cos, jnp.sin], x),
    # What mixes elements has no part in the derivative.
    "mean that is not differentiated": lambda x: x * lax.stop_gradient(
        jnp.mean(x)) + jnp.where(jnp.sum(x) > 0, x, jnp.sin(x)),
    "bfloat16": lambda x: jnp.sin(x.astype(jnp.bfloat16)).astype(x.dtype),
    "new first axes": lambda x: jnp.sin(x)[None] * jnp.ones((2, 1, *x.shape)),
}


def scale(x, y):
  return {"product": jnp.sin(x) * y["scale"] + y["shift"], "sine": jnp.sin(x)}


# Functions of several arguments, and these.
SEVERAL = {
    "one shape": (lambda x, y: jnp.sin(x * y) / (1 + y * y), (X, X + 1)),
    "broadcast": (scale, (np.ones((2, 3), "float32") * X,
                          {"scale": X, "shift": np.float32(2)})),
    "axis of length 1": (lambda x, y: jnp.sin(x * y), (X[:, None], X)),
    "several results": (lambda x, y: (x * y, [x + y, jnp.cos(x)]), (X, X + 1)),
    "integers": (lambda x, n: (jnp.sin(x) * n, n + 1),
                 (X, np.arange(3, dtype="int32"))),
    "dtypes": (lambda x, y: jnp.sin(x) * y, (X.astype("float16"), X)),
    "results of their own": (lambda x, y: (jnp.sin(x), jnp.cos(y)),
                             (X, np.ones(5, "float32"))),
    "results without": (lambda s, x: (jnp.sin(s) * x, jnp.sin(s), jnp.ones(4)),
                        (np.float32(2), X)),
    "nothing": (lambda x: {"none": None, "x": x}, (X,)),
}
HOLOMORPHIC = {"exp": jnp.exp, "square": lambda z: z * z + z}
NOT_HOLOMORPHIC = {
    "abs": jnp.abs,
    "conj": lambda z: z * jnp.conj(z) * jnp.exp(z),
    "parts": lambda z: lax.complex(jnp.sin(z.imag), z.real * z.imag),
}
# With the operation that is in the way.
NOT_ELEMENTWISE = {
    "sum": (jnp.sum, "reduce_sum"),
    "softmax": (jax.nn.softmax, "reduce_sum"),
    "cumsum": (jnp.cumsum, "cumsum"),
    "rev": (lambda x: x[::-1], "rev"),
    "matmul": (lambda x: jnp.ones((3, 3)) @ x, "dot_general"),
    "new last axis": (lambda x: x[:, None] * jnp.ones(2), "broadcast_in_dim"),
    "reshape": (lambda x: jnp.sin(x).reshape(3, 1),
                "(reshape|broadcast_in_dim)"),
    "scan": (lambda x: lax.scan(
        lambda c, y: (c + jnp.sin(y), c), np.float32(0), x)[1], "scan"),
    "map to vectors": (lambda x: lax.map(lambda y: y * jnp.ones(2), x), "scan"),
    "in a loop": (lambda x: lax.fori_loop(
        0, 2, lambda _, y: jnp.roll(y, 1), x), "(slice|concatenate|gather)"),
}


def _close(actual, expected, tolerance=2e-5):
  def compare(a, b):
    assert a.dtype == b.dtype and a.shape == b.shape, (a, b)
    if a.dtype != jax.dtypes.float0:
      np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)
  jax.tree.map(compare, actual, expected)


def _tangents(xs):
  rng = np.random.RandomState(0)
  return jax.tree.map(
      lambda x: np.asarray(rng.randn(*jnp.shape(x)), jnp.result_type(x))
      if jnp.issubdtype(jnp.result_type(x), jnp.inexact)
      else np.zeros(jnp.shape(x), jax.dtypes.float0), xs)


def _both_modes(fun, xs):
  """`jvp` and `vjp`, as they are and compiled."""
  tangents = _tangents(xs)
  forward = lambda *xs: jax.jvp(fun, xs, tangents)
  def back(*xs):
    outs, pull = jax.vjp(fun, *xs)
    return pull(_tangents(outs))
  float0s = lambda tree: [x for x in jax.tree.leaves(tree)
                          if x.dtype != jax.dtypes.float0]
  return (forward(*xs), back(*xs),
          jax.jit(lambda *xs: float0s(forward(*xs)))(*xs),
          jax.jit(lambda *xs: float0s(back(*xs)))(*xs))


def residuals(fun, *args):
  """Shapes of what reverse mode keeps, by JAX's own listing, but arguments and
  constants."""
  return [aval.shape for aval, why in compat.saved_residuals(fun, *args)
          if "argument" not in why and "constant" not in why]


class JarrettTest(parameterized.TestCase):

  @parameterized.parameters(*UNARY)
  def test_one_argument(self, name):
    fun = UNARY[name]
    # JAX has no reverse mode for `while`; this one takes three steps.
    plain = chain if name == "while_loop" else fun
    tolerance = 1e-2 if name == "bfloat16" else 2e-5
    _close(_both_modes(jax_cse.jarrett(fun), (X,)), _both_modes(plain, (X,)),
           tolerance)
    first = lambda f: lambda x: jax.jvp(f, (x,), (X + 1,))[1]
    _close(_both_modes(first(jax_cse.jarrett(fun)), (X,)),
           _both_modes(first(plain), (X,)), tolerance)

  @parameterized.parameters(*SEVERAL)
  def test_several_arguments(self, name):
    fun, xs = SEVERAL[name]
    _close(_both_modes(jax_cse.jarrett(fun), xs), _both_modes(fun, xs),
           1e-3 if name == "dtypes" else 2e-5)

  @parameterized.parameters(*HOLOMORPHIC, *NOT_HOLOMORPHIC)
  def test_complex_numbers(self, name):
    fun = (HOLOMORPHIC | NOT_HOLOMORPHIC)[name]
    z = (np.array([1 + 2j, -0.5j, 0.3])).astype("complex64")
    _close(jax.jvp(jax_cse.jarrett(fun), (z,), (1j * z + 1,)),
           jax.jvp(fun, (z,), (1j * z + 1,)))
    kept = residuals(lambda z: jax_cse.jarrett(fun)(z), z)
    self.assertLen(kept, 1 if name in HOLOMORPHIC else 2)

  @parameterized.parameters(*COMPOSITIONS)
  def test_composes(self, composition):
    compose = COMPOSITIONS[composition]
    for fun in (chain, gelu):
      expected = compose(fun)(POINT)
      _close(compose(jax_cse.jarrett(fun))(POINT), expected)
      _close(jax_cse.cse(compose(jax_cse.jarrett(fun)))(POINT), expected)
      _close(compose(jax_cse.jarrett(jax_cse.cse(fun)))(POINT), expected)
      with jax_cse.enabled():
        _close(compose(jax_cse.jarrett(fun))(POINT), expected)

  def test_the_linear_map_is_one_multiplication(self):
    _, linear = jax.linearize(jax_cse.jarrett(chain), 3.)
    _, pull = jax.vjp(jax_cse.jarrett(chain), 3.)
    for fun in linear, pull:
      self.assertEqual(jax_cse.count_primitives(fun)(1.), {"mul": 1})
    self.assertEqual(
        jax_cse.count_primitives(jax.linearize(chain, 3.)[1])(1.), {"mul": 3})

  def test_so_it_is_at_second_order(self):
    second = jax_cse.jarrett(chain)
    _, linear = jax.linearize(
        lambda x: jax.jvp(second, (x,), (np.float32(1),))[1], POINT)
    self.assertEqual(jax_cse.count_primitives(linear)(1.)["mul"], 2)

  @parameterized.parameters(gelu, jax.nn.gelu, jax.nn.silu, chain)
  def test_a_network_keeps_one_array_for_each_activation(self, activation):
    weights = [np.eye(8, dtype="float32") * k for k in (1., 2., 3.)]
    def network(activation, x):
      for w in weights:
        x = activation(x @ w)
      return jnp.sum(x)
    x = np.ones((16, 8), "float32") / 7
    kept = {name: residuals(lambda x, a=a: network(a, x), x).count(x.shape)
            for name, a in (("plain", activation),
                            ("jarrett", jax_cse.jarrett(activation)))}
    self.assertEqual(kept["jarrett"], len(weights))
    self.assertGreater(kept["plain"], len(weights))
    _close(jax.grad(lambda x: network(jax_cse.jarrett(activation), x))(x),
           jax.grad(lambda x: network(activation, x))(x))

  def test_what_it_closes_over_is_differentiated(self):
    def fun(w, act=lambda f: f):
      # Not elementwise in `w`.
      return act(lambda x: jnp.sin(x * w) * jnp.sum(w) + X)(w * w).sum()
    with_act = lambda w: fun(w, jax_cse.jarrett)
    w = X + 1
    for transform in (jax.grad, jax.hessian, jax.jacfwd,
                      lambda f: jax.jit(jax.grad(f)),
                      lambda f: lambda w: jax.vmap(f)(jnp.stack([w, w]))):
      _close(transform(with_act)(w), transform(fun)(w))

  def test_keywords_and_the_users_name(self):
    def fun(x, *, scale):
      """A docstring."""
      return jnp.sin(x) * scale
    with_one = jax_cse.jarrett(fun)
    self.assertEqual((with_one.__name__, with_one.__doc__),
                     ("fun", "A docstring."))
    _close(jax.grad(lambda x: with_one(x, scale=x))(POINT),
           jax.grad(lambda x: fun(x, scale=x))(POINT))
    self.assertIn("fun", str(jax.make_jaxpr(with_one)(POINT, scale=POINT)))

  def test_values_are_those_of_the_function(self):
    checking.assert_same_bits(jax_cse.jarrett(gelu)(X), gelu(X))
    checking.assert_same_bits(jax.jit(jax_cse.jarrett(gelu))(X),
                              jax.jit(gelu)(X))

  @parameterized.parameters(*NOT_ELEMENTWISE)
  def test_refuses(self, name):
    fun, operation = NOT_ELEMENTWISE[name]
    _close(jax_cse.jarrett(fun)(X), fun(X))
    of_one = jax_cse.jarrett(fun)
    of_keyword = jax_cse.jarrett(lambda x: fun(x["b"]))
    for argument, call in ((r"args\[0\]", of_one),
                           (r"kwargs\['x'\]\['b'\]",
                            lambda x: of_keyword(x={"b": x}))):
      with self.assertRaisesRegex(
          ValueError,
          rf"elementwise.*{argument}, of shape \(3,\), {operation} mixes"):
        jax.jvp(call, (X,), (X,))

  def test_moving_axes_between_devices_is_refused(self):
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:1]), ("i",))
    fun = jax.shard_map(lambda v: jnp.sin(v) * jnp.ones((3, 1)), mesh=mesh,
                        in_specs=jax.P("i", None), out_specs=jax.P(None, "i"))
    with self.assertRaisesRegex(ValueError, "shard_map mixes"):
      jax.jvp(jax_cse.jarrett(fun), (X[None],), (X[None],))

  def test_a_custom_vjp_function_inside(self):
    fun = jax.custom_vjp(jnp.sin)
    fun.defvjp(lambda x: (jnp.sin(x), x), lambda x, ct: (ct * jnp.cos(x),))
    with self.assertRaisesRegex(TypeError, "forward mode, which a custom_vjp"):
      jax.grad(lambda x: jax_cse.jarrett(lambda x: fun(x) * x)(x).sum())(X)

  def test_results_that_do_not_depend_have_no_part(self):
    fun = lambda x, y: (jnp.sin(x), jnp.sin(y))
    _, pull = jax.vjp(jax_cse.jarrett(fun), 1., 2.)
    _close(pull((jnp.inf, 1.)), jax.vjp(fun, 1., 2.)[1]((jnp.inf, 1.)))
    self.assertEqual(jax_cse.count_primitives(jax.linearize(
        jax_cse.jarrett(fun), 1., 2.)[1])(1., 1.)["mul"], 2)

  def test_options_are_passed_on(self):
    def fun(x, name, is_shifted, power):
      assert name == "sine"
      return jnp.sin(x)**power + 1 if is_shifted else jnp.sin(x)
    for options in (("sine", True, 2), ("sine", False, 3)):
      _close(jax.jit(jax.grad(lambda x, o=options: jax_cse.jarrett(fun)(
          x, *o).sum()))(X), jax.grad(lambda x, o=options: fun(
              x, *o).sum())(X))
    _close(jax.grad(lambda x: jax_cse.jarrett(jax.nn.gelu)(
        x, approximate=False).sum())(X),
        jax.grad(lambda x: jax.nn.gelu(x, approximate=False).sum())(X))

  def test_cotangents_are_summed_in_the_wider_type(self):
    y = jnp.linspace(0, 1, 10_001).astype(jnp.bfloat16)
    fun = lambda s, y: (s * y.astype(jnp.float32)).astype(jnp.bfloat16)
    total = lambda f: jax.grad(
        lambda s: f(s, y).astype(jnp.float32).sum())(np.float32(0.7))
    np.testing.assert_allclose(total(jax_cse.jarrett(fun)), total(fun), 1e-5)

  def test_names_the_line(self):
    with self.assertRaisesRegex(ValueError, "cumsum mixes.* at .*test_jarrett"):
      jax.grad(lambda x: jax_cse.jarrett(
          lambda x: lax.cumsum(x * x))(x).sum())(X)

  def test_derivatives_keep_one_array_too(self):
    # The first derivative is one operation to differentiate, as the function.
    first = lambda f: lambda x: jax.vjp(f, x)[1](jnp.ones_like(x))[0]
    kept = residuals(first(jax_cse.jarrett(gelu)), X).count(X.shape)
    self.assertLess(kept, residuals(first(gelu), X).count(X.shape))
    self.assertLessEqual(kept, 2)

  def test_no_tracer_leaks(self):
    with jax.checking_leaks():
      def fun(w):
        return jax_cse.jarrett(lambda x: jnp.sin(x * w))(w * w)
      jax.jit(jax.grad(fun))(POINT)
      jax.vmap(jax.grad(jax.grad(fun)))(X)


if __name__ == "__main__":
  absltest.main()
