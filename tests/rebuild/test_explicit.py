"""`cse`, `cse_jaxpr` and `polysimp` in the modes that rebuild."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import checking
import differential
import jax_cse
import specs
import whole_programs
from jax_cse.compat import core
from jax_cse.foundation import modes

X = jnp.linspace(0.5, 1.5, 4)
Y = jnp.linspace(-1.0, 1.0, 4)


def _close(actual, expected):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=2e-3, atol=2e-4), actual, expected)
  types = lambda tree: [core.typeof(x).strip_weak_type()
                        for x in jax.tree.leaves(tree)]
  assert types(actual) == types(expected)


def _equations(fun, *args) -> int:
  return checking.size(jax.make_jaxpr(fun)(*args))


def _thread_poly(t):
  fun = lambda x: 0.3 * jnp.sin(x) * x**10
  for _ in range(4):
    fun = (lambda f: lambda x: jax.jvp(f, (x,), (t,))[1])(fun)
  return fun(2.)


@functools.cache
def _without(spec, composition):
  """What a composition gives, or the exception, without CSE."""
  fun = specs.SPECS_BY_NAME[spec].fun
  return checking.attempt(specs.COMPOSITIONS[composition](fun), 0.7)


class RebuiltTest(parameterized.TestCase):

  @parameterized.product(
      spec=specs.SPECS, mode=modes.MODES, way=("outside", "inside"))
  def test_compositions(self, spec, mode, way):
    for name, compose in specs.COMPOSITIONS.items():
      plain = compose(spec.fun)
      expected = _without(spec.name, name)
      if isinstance(expected, Exception):
        continue
      fun = (jax_cse.cse(plain, mode) if way == "outside" else
             compose(jax_cse.cse(spec.fun, mode)))
      with self.subTest(name):
        _close(fun(0.7), expected)
        if way == "outside" and name in ("jvp jvp", "grad grad", "scan"):
          _close(jax.jit(fun)(0.7), expected)

  @parameterized.parameters(*specs.SPECS)
  def test_a_jaxpr_is_never_larger_and_is_done_after_once(self, name, fun):
    del name
    for composition in ("itself", "jvp jvp", "grad grad", "grad scan",
                        "grad cond", "jvp grad remat", "custom_jvp"):
      plain = checking.trace(specs.COMPOSITIONS[composition](fun), 0.7)
      for mode in ("reassociate", "ring"):
        simpler = jax_cse.cse_jaxpr(plain, mode)
        core.check_jaxpr(simpler.jaxpr)
        self.assertEqual(simpler.in_avals, plain.in_avals)
        self.assertEqual(simpler.out_avals, plain.out_avals)
        self.assertLessEqual(checking.size(simpler), checking.size(plain))
        self.assertEqual(str(jax_cse.cse_jaxpr(simpler, mode)), str(simpler))
        _close(core.jaxpr_as_fun(simpler)(0.7), core.jaxpr_as_fun(plain)(0.7))

  @given(whole_programs.programs(1, 6),
         st.sampled_from([0, 4]),
         st.sampled_from(sorted(differential.TRANSFORMS)))
  @settings(max_examples=40, deadline=None)
  def test_random_programs(self, program, row, transform):
    differential.check(program, row, transform, "rebuilt")

  def test_the_thread_s_polynomial(self):
    # 302 equations; at most 5 are asked for, and these are t**4 times a number.
    self.assertEqual(_equations(jax_cse.polysimp(_thread_poly), 1.), 2)
    _close(jax_cse.polysimp(_thread_poly)(1.3), _thread_poly(1.3))

  @parameterized.parameters(
      ("(x+y)*(x-y), x*x-y*y", 3), ("x*y+x*z", 2), ("x*y*z + y*x*z", 3),
      ("1 + 2*x + 3*x**2 + 4*x**3", 6), ("x-x, y", 0), ("x*1 + 0*y", 0),
      ("x+x+x+x", 1), ("-(-x)", 0), ("x/4 + x/4", 1), ("x/3", 1), ("1/x*y", 1),
      ("x**2*x**3/x", 2), ("x/y + z/y", 2), ("2*x*(3*y)", 2),
      ("(x+y)*z - x*z", 1),
  )
  def test_counts(self, expression, count):
    fun = lambda x, y, z: eval(expression, {"x": x, "y": y, "z": z})
    args = 0.5, 1.5, -2.5
    simpler = jax_cse.cse(fun)
    _close(simpler(*args), fun(*args))
    self.assertEqual(_equations(simpler, *args), count,
                     jax.make_jaxpr(simpler)(*args))

  def test_a_scalar_is_multiplied_before_an_array(self):
    fun = lambda a, b, x: a * (x * b) * 3.
    jaxpr = jax.make_jaxpr(jax_cse.cse(fun))(2., 3., X).jaxpr
    self.assertEqual([eqn.outvars[0].aval.shape for eqn in jaxpr.eqns],
                     [(), (), (4,)])

  @parameterized.parameters("reassociate", "ring")
  def test_integers_are_exact(self, mode):
    @given(whole_programs_of_integers, st.sampled_from(
        [np.int8, np.uint8, np.int32, np.uint32]))
    @settings(max_examples=60, deadline=None)
    def check(expression, dtype):
      fun = lambda x, y: _evaluate(expression, x, y)
      x, y = (np.array(v).astype(dtype) for v in (
          [0, 1, 127, 200, -1, 2**31 - 1], [3, -128, 77, 13, 2**30, -2**31]))
      expected = fun(jnp.asarray(x), jnp.asarray(y))
      for made in (jax_cse.cse(fun, mode), jax.jit(jax_cse.cse(fun, mode))):
        checking.assert_same_bits(made(x, y), expected)
      with jax_cse.enabled(mode):
        made = jax.jit(lambda *xs: fun(*xs))(x, y)
      checking.assert_same_bits(made, expected)
    check()

  def test_an_integer_multiple_is_not_divided(self):
    def fun(a, b):
      if a * b * 3 < 0:   # wanted first, and by itself
        return a * b, (a + 2 * b) * 5
      return a, b
    checking.assert_same_bits(jax_cse.cse(fun)(jnp.int8(7), jnp.int8(9)),
                              fun(jnp.int8(7), jnp.int8(9)))

  @parameterized.parameters(jnp.float16, jnp.bfloat16, jnp.float32,
                            jnp.complex64)
  def test_dtypes_and_weak_types(self, dtype):
    fun = lambda x, t: (x * t + t * x, x * 0.1 + 0.1 * x, t * 2.0 + t)
    args = X.astype(dtype), 2.0
    simpler = jax_cse.cse(fun)
    for a, b in zip(simpler(*args), fun(*args)):
      self.assertEqual(core.typeof(a), core.typeof(b))
      np.testing.assert_allclose(np.asarray(a, np.complex64),
                                 np.asarray(b, np.complex64), rtol=2e-2)

  def test_half_precision_coefficients_that_do_not_fit(self):
    # 9e8 is infinite in half precision; 1e-6 * 3e4 * 3e4 is not.
    x = jnp.asarray([1e-6, 5e-5], jnp.float16)
    fun = lambda x: (x * 3e4) * 3e4
    np.testing.assert_allclose(jax_cse.cse(fun)(x), fun(x), rtol=1e-2)

  def test_broadcasting(self):
    fun = lambda x, y: ((x[:, None] + y[None]) - y[None], x[:, None] * y[None],
                        jnp.zeros((2, 4)) + x, (x - x) + jnp.ones((3, 4)))
    for a, b in zip(jax_cse.cse(fun)(X, Y), fun(X, Y)):
      self.assertEqual(core.typeof(a), core.typeof(b))
      np.testing.assert_allclose(a, b, rtol=1e-6)

  def test_the_sign_of_a_zero_that_divides(self):
    x = jnp.asarray([1., -2.], jnp.float32)
    for fun in (lambda x: x / jnp.float32(-0.0), lambda x: x / -0.0,
                lambda x: x / jnp.full((2,), -0.0)):
      for mode in modes.MODES:
        np.testing.assert_array_equal(jax_cse.cse(fun, mode)(x), fun(x))

  def test_the_slope_of_tanh_is_a_polynomial(self):
    # By whatever primitive JAX has for it.
    fun = lambda x: jax.jvp(lax.tanh, (x,), (1.,))[1] + lax.tanh(x) ** 2
    self.assertEqual(_equations(jax_cse.cse(fun), 0.5), 0)
    self.assertEqual(jax_cse.cse(fun)(0.5), 1)

  @parameterized.parameters(True, False)
  def test_constants_of_calls_in_a_loop(self, in_remat):
    constants = np.arange(5000, dtype="float32")
    call = jax.jit(lambda x: x * constants + x * constants * 2)
    step = lambda x: call(x) + call(x)
    if in_remat:   # which has no place for them
      step = jax.checkpoint(step)
    fun = lambda x: lax.fori_loop(0, 3, lambda _, c: step(c), x)
    simpler = jax_cse.cse_jaxpr(jax.make_jaxpr(fun)(X[0] + constants))
    if not in_remat:
      self.assertLessEqual(checking.size(simpler), 4)
    _close(core.jaxpr_as_fun(simpler)(constants), [fun(constants)])

  def test_a_constant_takes_no_conversion(self):
    fun = lambda x: lax.atan2(x, jnp.zeros((3,)))
    self.assertEqual(_equations(jax_cse.cse(fun), jnp.ones(3)),
                     _equations(fun, jnp.ones(3)))

  def test_enabled_in_ring_and_reassociate(self):
    def fun(x, y):
      return (x + y) * (x - y), x * x - y * y, (x * y) * 2., x * (2. * y)
    hits = {}
    for mode in modes.MODES:
      with jax_cse.enabled(mode) as memo:
        jaxpr = jax.make_jaxpr(fun)(0.5, 2.)
      hits[mode] = memo.stats.hits
      _close(core.jaxpr_as_fun(jaxpr)(0.5, 2.), list(fun(0.5, 2.)))
      self.assertEqual(jaxpr.jaxpr.outvars[0] is jaxpr.jaxpr.outvars[1],
                       mode == "ring")
      self.assertEqual(jaxpr.jaxpr.outvars[2] is jaxpr.jaxpr.outvars[3],
                       mode != "exact")
    self.assertLess(hits["exact"], hits["reassociate"])
    self.assertLess(hits["reassociate"], hits["ring"])

  def test_a_constant_is_never_taken_from_what_cancels(self):
    # At 0 the first is NaN, which no zero of the program is.
    fun = lambda x: (x / x - x * (1 / x), jnp.zeros_like(x), x * 0. + x)
    for mode in ("reassociate", "ring"):
      with jax_cse.enabled(mode):
        _, zeros, same = jax.jit(lambda x: fun(x))(jnp.zeros(2))
      np.testing.assert_array_equal(zeros, 0)
      np.testing.assert_array_equal(same, 0)

  def test_growth_of_nested_forward_mode(self):
    for spec in specs.SMOOTH:
      counts = []
      for order in (4, 8):
        with jax_cse.enabled("ring"):
          jaxpr = checking.trace(specs.nested(spec.fun, order), 0.3)
        counts.append(checking.size(jax_cse.cse_jaxpr(jaxpr)))
      self.assertLessEqual(counts[1], 5 * counts[0], (spec.name, counts))


whole_programs_of_integers = st.recursive(
    st.sampled_from(["x", "y", 1, -1, 2, 3, 100, -7]),
    lambda inner: st.tuples(st.sampled_from(["add", "sub", "mul"]), inner,
                            inner), max_leaves=10)


def _evaluate(e, x, y):
  if e in ("x", "y"):
    return x if e == "x" else y
  if isinstance(e, int):
    return jnp.full(x.shape, np.asarray(e).astype(x.dtype))
  return getattr(lax, e[0])(_evaluate(e[1], x, y), _evaluate(e[2], x, y))


def _shard_map(x):
  mesh = jax.make_mesh((1,), ("i",),
                       axis_types=(jax.sharding.AxisType.Auto,))
  spec = jax.sharding.PartitionSpec("i")
  return jax.shard_map(
      lambda y: y * y + lax.psum(y * y + y * 2, "i") + y + y,
      mesh=mesh, in_specs=spec, out_specs=spec)(x * 2 + x)


def _while(x):
  return lax.while_loop(
      lambda c: (c[0] < 3) & jnp.all(c[1] + c[1] < 1e9),
      lambda c: (c[0] + 1, c[1] * 2 + c[1]), (0, x))


def _a_reference_read_for_nobody(x):
  unread, used = jax.new_ref(x * 2), jax.new_ref(x)
  def body(c):
    used[...] = used[...] + c[2]
    return c[0] + 1, c[1] + unread[...], c[2] * x
  return lax.while_loop(lambda c: c[0] < 3, body, (0, x, x))[2], used[...]


PROGRAMS = {
    "shard_map": _shard_map,
    "while": _while,
    "a reference read for nobody": _a_reference_read_for_nobody,
    "random": lambda x: jax.random.normal(jax.random.key(3), (4,)) * x * 2,
    "sort": lambda x: lax.sort((x * -1, x + x), num_keys=1),
    "linear algebra": lambda x: jnp.linalg.eigh(
        jnp.outer(x, x) + jnp.eye(4))[0],
    "grad of checkpoint": jax.grad(lambda x: jax.checkpoint(
        lambda y: jnp.sum(jnp.sin(y * y + y * y)))(x)),
    "vmap of scan": jax.vmap(lambda x: lax.scan(
        lambda c, y: (c * y + y * c, c + c), x, jnp.arange(3.))[0]),
    "booleans": lambda x: (x > 0) & (x + x > 0),
    "convolution": lambda x: jnp.convolve(x, x) * 2 + jnp.convolve(x, x),
    "dtypes": lambda x: (x.astype(jnp.float16) * 2 + x.astype(jnp.bfloat16) + x,
                         x.astype(int) * 2.5),
    "nothing": lambda x: (x[:0] * 2 + x[:0], jnp.zeros((0, 3)) + 1),
    "one element": lambda x: x[:1] * x[0] + x[0] * x[:1] + x.sum() * x[:1],
    "select": lambda x: jnp.where(x > 1, x * 2 + x, x * x - x),
    "callback": lambda x: jax.pure_callback(
        lambda y: np.asarray(y) * 2, x, x) + x * 2,
    "fft": lambda x: jnp.abs(jnp.fft.fft(x * 2 + x)),
    "complex": lambda x: (x + 1j * x) * (x - 1j * x),
    "powers": lambda x: x**2.5 + x**0.5 + (x + 1.)**-2 + x**0,
    "no operands": lambda x: jnp.ones(3) * 2,
}


class ProgramsTest(parameterized.TestCase):

  @parameterized.product(name=list(PROGRAMS), mode=modes.MODES)
  def test_values(self, name, mode):
    fun = PROGRAMS[name]
    expected = fun(X)
    _close(jax_cse.cse(fun, mode)(X), expected)
    _close(jax.jit(jax_cse.cse(fun, mode))(X), expected)
    plain = checking.trace(fun, X)
    simpler = jax_cse.cse_jaxpr(plain, mode)
    core.check_jaxpr(simpler.jaxpr)
    _close(core.jaxpr_as_fun(simpler)(X), jax.tree.leaves(expected))
    with jax_cse.enabled(mode):
      _close(jax.jit(lambda x: fun(x))(X), expected)

  @parameterized.product(mode=modes.MODES, transformation=[
      jax.jit, jax.grad, jax.vmap, lambda f: jax.jit(jax.vmap(jax.grad(f))),
      jax_cse.cse])
  def test_a_jaxpr_that_closes_over_a_tracer(self, mode, transformation):
    inner = lambda x, y: jnp.sin(x * y) * jnp.cos(y) + jnp.sin(x * y)

    def fun(y):
      plain = jax.make_jaxpr(lambda x: inner(x, y))(0.5)
      simpler = jax_cse.cse_jaxpr(plain, mode)
      self.assertLess(checking.size(simpler), checking.size(plain))
      return core.jaxpr_as_fun(simpler)(0.5)[0]

    y = X[0] if transformation is jax.grad else X
    _close(transformation(fun)(y),
           transformation(lambda y: inner(jnp.float32(0.5), y))(y))

  def test_a_high_power_of_a_small_multiple(self):
    # 8**-100, and x**100 for most x, are no floats of 32 bits.
    x = jnp.linspace(1., 8., 8)
    fun = lambda x: (x / 8)**100 + (x / 8)**63
    np.testing.assert_allclose(jax_cse.cse(fun)(x), fun(x), rtol=1e-4)


class ExactTest(parameterized.TestCase):

  @parameterized.parameters(
      "(x+y)+z, x+(y+z)", "x*(y*z), (x*y)*z", "x+x, 2*x", "x*1", "x-x", "-(-x)",
      "x/4, 0.25*x", "x*(y+z), x*y+x*z", "x**2, x*x")
  def test_no_algebra(self, expression):
    fun = lambda x, y, z: eval(expression, {"x": x, "y": y, "z": z})
    args = X, Y, X * 1.1 - 3
    self.assertEqual(_equations(jax_cse.cse(fun, "exact"), *args),
                     _equations(fun, *args))
    checking.assert_same_bits(jax_cse.cse(fun, "exact")(*args), fun(*args))

  @parameterized.parameters(*specs.SPECS)
  def test_same_bits(self, name, fun):
    del name
    with jax.disable_jit():
      for composed in (fun, specs.nested(fun, 2)):
        x = jnp.float32(0.7)
        checking.assert_same_bits(jax_cse.cse(composed, "exact")(x),
                                  composed(x))


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
      _close(jax_cse.cse(fun, mode)(x), fun(x))
      _close(jax.jvp(jax_cse.cse(jnp.tanh, mode), (x,), (1.,)),
             jax.jvp(jnp.tanh, (x,), (1.,)))
      _close(jax_cse.cse(lambda v: jax.grad(
          lambda u: u * u if u > 1 else u)(v), mode)(x),
          jax.grad(lambda u: u * u if u > 1 else u)(x))

  def test_nothing_is_computed_that_nobody_wants(self):
    def fun(x):
      lax.lgamma(x)
      return x + 1
    self.assertEqual(_equations(jax_cse.cse(fun), 1.), 1)

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
      _close(made(3.), 9.)
      jax.effects_barrier()
      self.assertEqual(seen, [("a", 9.), ("b", 6.)])

  def test_references(self):
    def fun(x):
      ref = jax.new_ref(x * x)
      ref[...] += x
      first = ref[...]
      ref[...] *= 2.
      return first, ref[...]
    _close(jax_cse.cse(fun)(X), fun(X))
    _close(jax.jit(jax_cse.cse(fun))(X), fun(X))

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
    _close(jax_cse.cse(fun)(0.9), fun(0.9))

  def test_pytrees_keywords_and_constants(self):
    fun = lambda tree, *, scale: {"a": tree[0] * scale, "b": (3, Y),
                                  "c": None}
    _close(jax_cse.cse(fun)((X, 1.), scale=2.), fun((X, 1.), scale=2.))

  def test_itself(self):
    fun = specs.nested(jnp.tanh, 3)
    _close(jax_cse.cse(jax_cse.cse(fun))(0.3), fun(0.3))
    self.assertLessEqual(_equations(jax_cse.cse(jax_cse.cse(fun)), 0.3),
                         _equations(jax_cse.cse(fun), 0.3))

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
      _close(jax_cse.cse(fun, mode)(x), jax.jit(fun)(x))
      jax_cse.derivatives(fun, 1)(x)
      self.assertFalse(x.is_deleted())

  @parameterized.parameters(*modes.MODES)
  def test_a_rule_that_closes_over_what_is_mapped(self, mode):
    def fun(x):
      y = jnp.exp(x)
      g = jax.custom_jvp(lambda z: z * y)
      g.defjvp(lambda xs, ts: (g(*xs), ts[0] * 7 * y))
      return g(x)
    _close(jax.vmap(jax_cse.cse(fun, mode))(X), jax.vmap(fun)(X))

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
      _close(jax_cse.cse(lambda x, read=read: x * read(x))(2.), 4.)

  def test_a_tracer_that_leaves_is_reported(self):
    leaked = []
    jax_cse.cse(lambda x: leaked.append(x * 2) or x)(1.)
    with self.assertRaises(jax.errors.UnexpectedTracerError):
      jnp.sin(leaked[0])


if __name__ == "__main__":
  absltest.main()
