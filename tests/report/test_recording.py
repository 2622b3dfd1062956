"""Which functions are recorded while a program runs, and on what."""

import functools
import threading

from absl.testing import absltest
from absl.testing import parameterized
import equinox as eqx
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.report import recording
from report_parts import Model

X = np.ones(3, "float32")


def scaled(x, factor, *, shift=0):
  return factor * x["a"] + shift


def by_jit():
  return jax.jit(lambda x: 2 * x)(X)


def by_decorator_with_arguments():
  @jax.jit(donate_argnums=0)
  def double(x):
    return 2 * x
  return double(jnp.array(X))


def by_static_names():
  @functools.partial(jax.jit, static_argnames=("factor", "shift"))
  def fun(x, factor, *, shift=0):
    return scaled({"a": x}, factor, shift=shift)
  return fun(X, 1, shift=1)


def by_static_numbers():
  return jax.jit(scaled, static_argnums=1)({"a": X}, 2)


def by_method():
  return jax.jit(Model(2).method)(X)


def by_method_in_a_class():
  class Other(Model):
    jitted = functools.partial(jax.jit, static_argnums=0)(Model.method)
  return Other(2).jitted(X)


def by_object():
  return jax.jit(Model(2))(X)


def by_partial():
  return jax.jit(functools.partial(scaled, shift=0))({"a": X}, 2)


def of_jitted():
  return jax.jit(jax.jit(lambda x: 2 * x))(X)


def by_lower():
  return jax.jit(lambda x: 2 * x).lower(X).compile()(X)


def by_equinox():
  @eqx.filter_jit
  def fun(model, x):
    return model.weight * x + model.bias + 1
  linear = eqx.nn.Linear("scalar", "scalar", key=jax.random.key(0))
  linear = eqx.tree_at(lambda m: (m.weight, m.bias), linear,
                       (jnp.ones(()), jnp.zeros(())))
  return fun(linear, jnp.array(X))


def under_grad():
  return jax.grad(jax.jit(lambda x: (x * x).sum()))(X)


def under_vmap():
  return jax.vmap(jax.jit(lambda x: 2 * x))(X)


class RecordingTest(parameterized.TestCase):

  @parameterized.parameters(
      (by_jit, "<lambda>", [("x", (3,))]),
      (by_decorator_with_arguments, "double", [("x", (3,))]),
      (by_static_names, "fun",
       [("x", (3,)), ("factor", 1), ("shift", 1)]),
      (by_static_numbers, "scaled", [("x['a']", (3,)), ("factor", 2)]),
      (by_method, "method", [("x", (3,))]),
      (by_method_in_a_class, "method", [("self", Model), ("x", (3,))]),
      (by_object, "Model", [("x", (3,))]),
      (by_partial, "scaled", [("x['a']", (3,)), ("factor", ())]),
      (of_jitted, "<lambda>", [("x", (3,))]),
      (by_lower, "<lambda>", [("x", (3,))]),
      (by_equinox, "fun", None),
      (under_grad, "<lambda>", [("x", (3,))]),
      (under_vmap, "<lambda>", [("x", ())]))
  def test_uses(self, use, name, leaves):
    expected = use()
    with recording.jitted() as recorded:
      np.testing.assert_array_equal(use(), expected)
    program, = recorded.programs
    self.assertEqual(program.name, name)
    file, line, function = program.called
    self.assertEqual((file, function), (__file__, use.__name__))
    self.assertGreater(line, 0)
    if leaves is not None:
      self.assertEqual(leaves, [
          (what, leaf.shape if isinstance(leaf, jax.ShapeDtypeStruct) else
           Model if isinstance(leaf, Model) else leaf)
          for what, leaf in program.leaves()])
    fun, arrays, names = program.on_arrays()
    self.assertLen(names, len(arrays))
    self.assertEqual(fun.__name__, name)
    out = jax.eval_shape(fun, *arrays)
    if use not in (under_grad, under_vmap, by_equinox):
      self.assertEqual((out.shape, out.dtype), ((3,), "float32"))

  def test_each_signature_once(self):
    with recording.jitted() as recorded:
      f = jax.jit(lambda x, n: n * x, static_argnums=1)
      for x, n in ((X, 2), (X + 1, 2), (X, 3), (X, 1), (X, True), (1.0, 2),
                   (np.float32(1), 2), (1, 2)):
        f(x, n)
      jax.clear_caches()
      f(X, 2)
    self.assertEqual(
        [(p.args[0].shape, p.args[0].dtype, p.args[0].weak_type, p.args[1])
         for p in recorded.programs],
        [((3,), "float32", False, 2), ((3,), "float32", False, 3),
         ((3,), "float32", False, 1), ((3,), "float32", False, True),
         ((), "float32", True, 2), ((), "float32", False, 2),
         ((), "int32", True, 2)])
    self.assertIs(recorded.programs[3].args[1], True)

  def test_weak_types_are_traced_again(self):
    with recording.jitted() as recorded:
      jax.jit(lambda x: x + np.ones(2, "bfloat16"))(1.0)
    fun, arrays, _ = recorded.programs[0].on_arrays()
    self.assertEqual(jax.eval_shape(fun, *arrays).dtype, "bfloat16")

  def test_each_width_of_numbers_is_a_signature(self):
    with recording.jitted() as recorded:
      f = jax.jit(lambda x: x)
      for x64 in (True, False):
        with jax.enable_x64(x64):
          f(X)
    self.assertEqual([p.x64 for p in recorded.programs], [True, False])

  def test_what_is_traced_inside_is_no_program(self):
    with recording.jitted() as recorded:
      inner = jax.jit(lambda x: 2 * x)

      @jax.jit
      def outer(x):
        return inner(x) + inner(x + 1)
      outer(X)
    self.assertEqual([p.name for p in recorded.programs], ["outer"])

  def test_what_is_traced_on_another_thread_is(self):
    with recording.jitted() as recorded:
      inner = jax.jit(lambda x: 2 * x)

      @jax.jit
      def outer(x):
        thread = threading.Thread(target=inner, args=(X,))
        thread.start()
        thread.join()
        return x
      outer(X)
    self.assertEqual([p.name for p in recorded.programs],
                     ["outer", "<lambda>"])

  def test_what_runs_without_jit_is_no_program(self):
    with recording.jitted() as recorded:
      f = jax.jit(lambda x: 2 * x)
      f.__wrapped__(X)
      with jax.disable_jit():
        f(X)
      self.assertEmpty(recorded.programs)
      jax.jit(lambda: jnp.zeros(3))()
    self.assertLen(recorded.programs, 1)

  def test_what_fails_is_a_program(self):
    with recording.jitted() as recorded:
      with self.assertRaises(ZeroDivisionError):
        jax.jit(lambda x: 1 // 0)(X)
      jax.jit(lambda x: x)(X)
    self.assertLen(recorded.programs, 2)

  def test_an_object_that_only_works_in_its_call(self):
    class Prepared:   # as what `nnx.jit` of flax jits
      ready = False

      def __call__(self, x):
        if not self.ready:
          raise ValueError("not ready")
        return lax.sin(x) * lax.sin(x)

    call = Prepared()
    with recording.jitted() as recorded:
      jitted = jax.jit(functools.wraps(projected := lambda x: x)(call))
      with self.assertRaisesRegex(ValueError, "not ready"):
        jitted(X)
      call.ready = True
      np.testing.assert_array_equal(jitted(X + 1), np.sin(X + 1)**2)
      jitted(np.ones(5, "f4"))
      call.ready = False
    self.assertIs(call.__wrapped__, projected)
    self.assertEqual([p.plain and len(p.plain.jaxpr.eqns)
                      for p in recorded.programs], [None, 3])

  def test_what_cannot_be_noted_is_counted_and_runs(self):
    @jax.tree_util.register_pytree_node_class
    class Choosy:
      def __init__(self, x):
        if isinstance(x, jax.ShapeDtypeStruct):
          raise RuntimeError("not an array")
        self.x = x

      def tree_flatten(self):
        return (self.x,), None

      @classmethod
      def tree_unflatten(cls, _, children):
        return cls(*children)

    with recording.jitted() as recorded:
      np.testing.assert_array_equal(
          jax.jit(lambda c: 2 * c.x)(Choosy(X)), 2 * X)
    self.assertEqual((len(recorded.programs), recorded.left_out), (0, 1))

  def test_an_object_that_ends_the_program_ends_it_once(self):
    class Ending:
      count = 0

      def __call__(self, x):
        self.count += 1
        if self.count == 1:   # when it is traced at once
          raise SystemExit(3)
        return x

    with recording.jitted() as recorded:
      np.testing.assert_array_equal(jax.jit(Ending())(X), X)
    self.assertIsNone(recorded.programs[0].plain)

  def test_is_bounded(self):
    with recording.jitted() as recorded:
      for i in range(recording.LIMIT + 3):
        jax.jit(lambda x, i=i: x)(X)
    self.assertLen(recorded.programs, recording.LIMIT)
    self.assertEqual(recorded.left_out, 3)

  def test_keeps_no_arrays(self):
    with recording.jitted() as recorded:
      jax.jit(lambda x, y: x + y["b"])(jnp.array(X), y={"b": jnp.array(X)})
    for _, leaf in recorded.programs[0].leaves():
      self.assertIsInstance(leaf, jax.ShapeDtypeStruct)

  def test_looking_is_not_recorded(self):
    with recording.jitted() as recorded:
      jax_cse.redundancy(lambda x: 2 * x)(X)
    self.assertEmpty(recorded.programs)


if __name__ == "__main__":
  absltest.main()
