"""Derivatives along directions, without those that are known to be zero."""

import functools
import operator
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.primitives import costs
from jax_cse.directions import reslotting
from jax_cse.directions import slots
from jax_cse.directions import sparse_directions

N = 6   # electrons
RNG = np.random.RandomState(0)
POINT = RNG.randn(3 * N)
# Constants have 32 bits. Those of 64, used with x64 and without in one process,
# JAX may take for what they were before: plain `jit` and `vmap` then raise.
W1, W2, W3, W4, WIDE = (
    RNG.randn(*shape).astype("float32")
    for shape in ((3, 5), (5, 4), (8, 5), (3, N), (3 * N, 5)))
FIRST, SECOND = map(np.int32, np.triu_indices(N, 1))


def points(x):
  return x.reshape(N, 3)


def one(x):
  return jnp.tanh(points(x) @ W1)


def pairs(x):
  return jnp.tanh((points(x)[:, None] - points(x) + 0.3) @ W1)


def distances(x):
  difference = points(x)[:, None] - points(x)
  return jnp.sqrt((difference ** 2).sum(-1) + jnp.eye(N) / 2)


def envelopes(x):
  r = jnp.linalg.norm(points(x)[:, None] - np.arange(6).reshape(2, 3), axis=-1)
  return jnp.exp(-r[..., None] * W2[:2]).sum(1)


def attention(x):
  h = one(x)
  return jax.nn.softmax(h @ h.T) @ h


def loop(x):
  def step(carry, point):
    return carry * jnp.sin(point).sum(), jnp.cos(carry) * point
  return jax.lax.scan(step, 1., points(x))


FUNCTIONS = {
    "a product": jnp.prod,
    "a sorted layer": lambda x: jnp.sort(one(x), 0),
    "a layer that mixes": lambda x: jnp.tanh(x @ WIDE),
    "a tree": lambda x: {"a": x[0], "b": (points(x)[1:] * points(x)[:-1],)},
    "attention": attention,
    "columns": lambda x: jnp.sin(points(x).T) @ jnp.cos(points(x)),
    "cumsum over electrons": lambda x: jnp.cumsum(one(x), 0),
    "cumsum over features": lambda x: jnp.cumsum(one(x), 1),
    "distances": lambda x: jnp.exp(-distances(x)).sum(),
    "envelopes": envelopes,
    "features, means of pairs": lambda x: jnp.sin(jnp.concatenate(
        [points(x), pairs(x)[:, :3].mean(1)], -1) @ W3),
    "gathered": lambda x: jnp.sin(points(x)[np.array([3, 1, 1, -1])] @ W1),
    "gathered pairs": lambda x: jnp.tanh(
        (points(x)[FIRST] - points(x)[SECOND]) @ W1).sum(0),
    "joined electrons": lambda x: jnp.sin(jnp.concatenate(
        [points(x)[:2], jnp.cos(points(x)[2:])]) @ W1),
    "joined with the reverse": lambda x: (jnp.concatenate(
        [points(x), points(x)[::-1]], -1) ** 2).sum(-1),
    "layers": lambda x: jnp.tanh(one(x) @ W2),
    "means of electrons": lambda x: jnp.sin(one(x).mean(0) @ W2),
    "means of pairs": lambda x: jnp.sin(pairs(x).mean(1)),
    "means of pairs, over both": lambda x: jnp.sin(pairs(x).mean((0, 1))),
    "means of pairs, over the first": lambda x: jnp.sin(pairs(x).mean(0)),
    "outer": lambda x: jnp.outer(jnp.sin(x), jnp.cos(x)),
    "padded": lambda x: jnp.sin(jnp.pad(points(x), ((1, 2), (0, 1))))[
        :N, :3] * points(x),
    "padded with ones": lambda x: x[0] * jnp.pad(
        jnp.sin(points(x)), 1, constant_values=x[1]),
    "products of pairs": lambda x: jnp.einsum(
        "ijc,ijc,ijd->id", pairs(x), jnp.sin(pairs(x)), pairs(x)),
    "reshaped": lambda x: one(x).reshape(3, 2, 5).sum(1),
    "scan": loop,
    "slogdet": lambda x: jnp.linalg.slogdet(jnp.sin(
        points(x) @ W4))[1],
    "triples": lambda x: jnp.tanh(functools.reduce(operator.mul, (
        points(x)[:, None, None], points(x)[:, None], points(x)))).sum(),
    "where": lambda x: jnp.where(points(x) > 0, jnp.sin(points(x)),
                                 points(x) ** 3),
    "where, of others": lambda x: x[0] * jnp.where(
        np.arange(N)[:, None] > 2, jnp.sin(points(x)), 1.),
}


def always():
  """Compresses whether it pays or not."""
  return mock.patch.object(sparse_directions, "_MIN_SAVED", -np.inf)


def never():
  return mock.patch.object(sparse_directions, "_MIN_SAVED", np.inf)


def plain(fun, x):
  """Value, gradient and Laplacian, by nested jvp."""
  first = lambda f: lambda x, v: jax.jvp(f, (x,), (v,))[1]
  basis = np.eye(x.size).reshape(x.size, *x.shape)
  along = jax.vmap(lambda v: (first(fun)(x, v), first(
      lambda y: first(fun)(y, v))(x, v)))
  du, ddu = along(basis)
  last = lambda y: jnp.moveaxis(y, 0, -1).reshape(*y.shape[1:], *x.shape)
  return (fun(x), jax.tree.map(last, du),
          jax.tree.map(lambda y: y.sum(0), ddu))


def work(fun, *args):
  """Multiplications in matrix products."""
  jaxpr = jax.make_jaxpr(fun)(*args)
  return sum(costs.flops(eqn) // 2 for eqn in jaxpr.eqns
             if eqn.primitive.name == "dot_general")


def assert_near(got, wanted):
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, 1e-9, 1e-9 * max(1, abs(np.asarray(b)).max())), got, wanted)


class ValuesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(jax.enable_x64(True))

  @parameterized.named_parameters((name, fun) for name, fun in
                                  FUNCTIONS.items())
  def test_are_those_of_nested_jvp(self, fun):
    with always():
      got = jax.jit(jax_cse.value_grad_laplacian(fun))(POINT)
    assert_near(got, plain(fun, POINT))

  @parameterized.product(
      name=("features, means of pairs", "distances", "attention"),
      shape=((N, 3), (3, N), (2, 3, N // 2)))
  def test_of_a_point_of_another_shape(self, name, shape):
    fun = lambda x: FUNCTIONS[name](x.reshape(-1))
    x = POINT.reshape(shape)
    with always():
      got = jax_cse.value_grad_laplacian(fun)(x)
    assert_near(got, plain(fun, x))

  @parameterized.parameters(jax.jit, jax.vmap, jax.jacfwd, jax.jacrev)
  def test_compose(self, transformation):
    fun = FUNCTIONS["features, means of pairs"]
    x = POINT[None] if transformation is jax.vmap else POINT
    with always():
      got = transformation(jax_cse.laplacian(fun))(x)
    assert_near(got, transformation(lambda x: plain(fun, x)[2])(x))

  def test_of_a_laplacian(self):
    fun = lambda x: jnp.tanh(x.reshape(3, 3) @ W1).sum(0)
    x = POINT[:9]
    once = lambda fun: lambda x: jnp.trace(jax.hessian(fun)(x), axis1=-2,
                                           axis2=-1)
    with always():
      got = jax_cse.laplacian(jax_cse.laplacian(fun))(x)
    assert_near(got, once(once(fun))(x))

  @parameterized.parameters(True, False)
  def test_weights_of_the_coordinates(self, summed):
    weights = RNG.randn(3 * N) * (np.arange(3 * N) % 4 > 0)
    fun = FUNCTIONS["means of pairs"]
    hessian = jax.hessian(fun)(POINT)
    each = weights * jnp.diagonal(hessian, axis1=-2, axis2=-1)
    wanted = each.sum(-1) if summed else each
    along = lambda w: jax_cse.laplacian(fun, weights=w, summed=summed)(POINT)
    with always():
      assert_near(along(weights), wanted)
      assert_near(jax.jit(along)(weights), wanted)
      assert_near(along(np.diag(weights)) if summed else each, wanted)

  def test_are_checked(self):
    fun = FUNCTIONS["means of pairs"]
    weights = RNG.randn(3 * N)
    for w in (None, weights):
      along = lambda x, w: jax_cse.laplacian(fun, weights=w, check=True)(x)
      with always():
        for got in (along(POINT, w), jax.jit(along)(POINT, w)):
          np.testing.assert_allclose(
              got, jax_cse.laplacian(fun, weights=w)(POINT), 1e-9)

  def test_a_wrong_rule_is_found(self):
    right = reslotting.reslotted
    wrong = mock.patch.object(reslotting, "reslotted",
                              lambda *args: 2 * right(*args))
    with always(), wrong, self.assertRaises(jax_cse.CheckFailed):
      jax_cse.value_grad_laplacian(one, check=True)(POINT)

  def test_of_small_types(self):
    fun = lambda x: FUNCTIONS["means of pairs"](x).astype(x.dtype).sum()
    wanted = plain(fun, POINT)
    for dtype in (jnp.float32, jnp.bfloat16, jnp.float16):
      with always():
        got = jax_cse.value_grad_laplacian(fun)(POINT.astype(dtype))
      self.assertEqual({y.dtype for y in got}, {jnp.dtype(dtype)})
      for a, b in zip(got, wanted):
        np.testing.assert_allclose(np.float64(a), b, 0.1, 0.1 * abs(b).max())


class WorkTest(parameterized.TestCase):

  def test_a_layer_of_pairs_is_passed_along_six_directions(self):
    layers = lambda x: jnp.tanh(pairs(x) @ W2)
    # For the value, two slots times three coordinates, and the Laplacian.
    self.assertEqual(work(jax_cse.laplacian(layers), POINT),
                     (1 + 6 + 1) * N * N * 20 + (1 + 6) * N * N * 15)
    with never():
      self.assertEqual(work(jax_cse.laplacian(layers), POINT),
                       (1 + 18 + 1) * N * N * 20 + (1 + 18) * N * N * 15)

  def test_a_layer_of_electrons_is_passed_along_three_directions(self):
    layers = lambda x: jnp.tanh(one(x) @ W2)
    self.assertEqual(work(jax_cse.laplacian(layers), POINT),
                     (1 + 3 + 1) * N * 20 + (1 + 3) * N * 15)

  def test_pairs_at_known_places(self):
    layers = lambda x: jnp.tanh(jnp.tanh(
        (points(x)[FIRST] - points(x)[SECOND]) @ W1) @ W2)
    count = len(FIRST)
    self.assertEqual(work(jax_cse.laplacian(layers), POINT),
                     (1 + 6 + 1) * count * 20 + (1 + 6) * count * 15)

  def test_a_slot_of_each_coordinate_is_one_slice(self):
    with always():
      counts = jax_cse.count_primitives(
          jax_cse.laplacian(FUNCTIONS["means of pairs"]))(POINT)
    # XLA compiles what three slices, joined, are made of three times.
    self.assertEqual((counts["slice"], counts["concatenate"]), (6, 0))

  def test_what_does_not_pay_stays_as_it_was(self):
    fun = lambda x: jnp.tanh(jnp.tanh(x @ WIDE) @ W2)
    program = lambda: str(jax.make_jaxpr(jax_cse.laplacian(fun))(POINT))
    now = program()
    with never():
      self.assertEqual(program(), now)
    with always():   # so that they can differ
      self.assertNotEqual(program(), now)


class SlotsTest(absltest.TestCase):

  def test_a_pair_has_no_direction_twice(self):
    a = slots.Layout(0, 0, 12, np.arange(4).reshape(1, 4, 1) * 3)
    b = a._replace(table=a.table.reshape(1, 1, 4))
    table = slots.united([a, b]).table
    self.assertEqual(table.shape, (2, 4, 4))
    np.testing.assert_array_equal(table[1].diagonal(), -1)
    self.assertEqual(set(table[:, 1, 2]), {3, 6})

  def test_too_many_slots_are_none(self):
    a = slots.Layout(0, 0, 6, np.arange(6).reshape(1, 6))
    self.assertIsNone(slots.spread(a, (1,)))


@st.composite
def programs(draw):
  """A list of operations on an array of some axes, the last two of features of
  electrons; each is a function, and its name."""
  def weights(x):
    return x @ np.random.RandomState(x.shape[-1]).randn(x.shape[-1], 3)
  k = draw(st.integers(0, 1))
  places = draw(st.lists(st.integers(0, 1), min_size=1, max_size=4))
  steps = {
      "cumsum": lambda x: jnp.cumsum(x, k - 2),
      "double": lambda x: jnp.concatenate([x, jnp.sin(x)], k - 2),
      "gather": lambda x: jnp.take(x, np.array(places) % x.shape[k - 2],
                                   k - 2, mode="clip"),
      "index": lambda x: x[np.array(places) % x.shape[0]],
      "half": lambda x: x[..., :(x.shape[-1] + 1) // 2],
      "mask": lambda x: jnp.where(np.arange(x.shape[-2])[:, None] > 1, x, 0.),
      "mean": lambda x: x.mean(k - 2, keepdims=True),
      "merge": lambda x: x.reshape(*x.shape[:-2], 1, -1)[..., :12],
      "mix": weights,
      "norm": lambda x: jnp.sqrt((x * x).sum(k - 2, keepdims=True) + 1),
      "pad": lambda x: jnp.pad(x, [(0, 0)] * (x.ndim - 2) + [(1, 0), (0, 1)]),
      "pair": lambda x: (x[..., :4, None, :3] - x[..., None, :4, :3])
              if x.ndim < 4 else x * x,
      "reverse": lambda x: x[::-1] * x,
      "rows": lambda x: x * x[..., :1, :],
      "sine": jnp.sin,
      "softmax": lambda x: jax.nn.softmax(x, k - 2),
      "sort": lambda x: jnp.sort(x, k - 2),
      "square": lambda x: x * x,
      "sum": lambda x: x.sum(0) if x.ndim > 2 else x,
      "swap": lambda x: jnp.swapaxes(x, -1, -2),
      "transposed": lambda x: x @ jnp.swapaxes(x, -1, -2),
      "where": lambda x: jnp.where(x > 0, x, x * x),
  }
  names = draw(st.lists(st.sampled_from(sorted(steps)), min_size=1, max_size=7))
  return [(name, steps[name]) for name in names]


class RandomProgramsTest(absltest.TestCase):

  @settings(max_examples=30, deadline=None, derandomize=True, database=None)
  @given(programs())
  def test_have_the_derivatives_of_nested_jvp(self, program):
    def fun(x):
      y = jnp.sin(x.reshape(4, 3))
      for _, step in program:
        y = step(y)
      return y
    x = np.linspace(-1, 1.2, 12) ** 3
    with jax.enable_x64(True):
      with always():
        got = jax_cse.value_grad_laplacian(fun)(x)
      assert_near(got, plain(fun, x))


if __name__ == "__main__":
  absltest.main()
