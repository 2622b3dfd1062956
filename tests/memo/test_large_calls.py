"""Large calls and loops: compared whole until a derivative is nested."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax

import jax_cse
from jax_cse.memo import memo_table

_LARGE = memo_table._MAX_SIZE


def _loop(kind, size):
  """A loop with two carries that stay equal, of `size` equations."""
  def step(c):
    for _ in range(size // 2):
      c = tuple(map(lax.sin, c))
    return c

  if kind == "scan":
    return lambda x: lax.scan(lambda c, _: (step(c), None), (x, x),
                              length=3)[0]
  if kind == "while":
    return lambda x: lax.while_loop(lambda c: c[0] > 2, step, (x, x))
  return lambda x: jax.jit(step)((x, x))


def _goes_on(c):
  return c > 2


def _sines(fun):
  with jax_cse.enabled() as memo:
    count = jax_cse.count_primitives(fun)(0.5)["sin"]
  return count, memo.stats.whole.total()


class LargeCallsTest(parameterized.TestCase):

  @parameterized.parameters("scan", "while", "jit")
  def test_whole_until_a_derivative_is_nested(self, kind):
    self.assertEqual(_sines(_loop(kind, _LARGE - 20))[1], 0)
    large = _loop(kind, _LARGE + 20)
    count, whole = _sines(large)
    self.assertEqual(whole, 1)
    self.assertGreater(count, _LARGE)

    def first(x):
      return jax.jvp(large, (x,), (1.,))[1]

    self.assertGreater(_sines(first)[1], 0)
    count, _ = _sines(lambda x: jax.jvp(first, (x,), (1.,))[1])
    self.assertLess(count, _LARGE)

  @parameterized.parameters("scan", "while", "jit", "custom_jvp")
  def test_the_same_call_twice_is_one(self, kind):
    def step(c):
      for _ in range(_LARGE + 20):
        c = lax.sin(c)
      return c

    def body(c, _):
      return step(c), None

    compiled, custom = jax.jit(step), jax.custom_jvp(step)
    custom.defjvp(lambda primals, tangents: (custom(*primals), tangents[0]))
    call = {"jit": compiled, "custom_jvp": custom,
            "scan": lambda x: lax.scan(body, x, None, length=3)[0],
            "while": lambda x: lax.while_loop(_goes_on, step, x)}[kind]
    once, _ = _sines(call)
    twice, whole = _sines(lambda x: (call(x), call(x)))
    self.assertEqual(once, twice)
    self.assertEqual(whole, 2 if kind != "custom_jvp" else 0)
    apart, _ = _sines(lambda x: (call(x), call(x + 1)))
    self.assertEqual(apart, 2 * once)

  def test_a_rule_that_raises_leaves_the_order_as_it_was(self):
    @jax.custom_jvp
    def f(x):
      return x

    @f.defjvp
    def _(primals, tangents):
      raise ValueError

    large = _loop("scan", _LARGE + 20)

    def fun(x):
      for _ in range(2):
        with self.assertRaises(ValueError):
          jax.jvp(lambda x: jax.jvp(f, (x,), (1.,)), (x,), (1.,))
      return large(x)

    self.assertEqual(_sines(fun)[1], 1)

  def test_a_loop_in_a_derived_loop(self):
    inner = _loop("scan", _LARGE + 20)

    def outer(x):
      return lax.scan(lambda c, _: (inner(c)[0], None), x, length=2)[0]

    def second(x):
      return jax.jvp(lambda y: jax.jvp(outer, (y,), (1.,))[1], (x,), (1.,))[1]

    def first(x):
      return jax.jvp(outer, (x,), (1.,))[1]

    self.assertGreater(_sines(first)[0], _LARGE)
    self.assertLess(_sines(second)[0], _LARGE)

  def test_it_is_printed(self):
    with jax_cse.enabled() as memo:
      jax.make_jaxpr(_loop("scan", _LARGE + 20))(1.)
    self.assertIn("compared whole, large and not in a nested derivative: "
                  "1 scan", str(memo.stats))


class CustomRulesTest(absltest.TestCase):

  def test_a_rule_is_asked_when_a_second_call_is_equal(self):
    asked = []

    @jax.custom_jvp
    def f(x):
      return lax.sin(x)

    @f.defjvp
    def _(primals, tangents):
      asked.append(primals)
      return f(*primals), tangents[0] * 2

    with jax_cse.enabled():
      jax.make_jaxpr(lambda x: f(x) + f(x * 2))(1.)
      self.assertEmpty(asked)
      count = jax_cse.count_primitives(lambda x: f(x) + f(x))(1.)
    self.assertLen(asked, 1)
    self.assertEqual(count["sin"], 1)

  def test_a_rule_that_acts_keeps_calls_apart(self):
    @jax.custom_jvp
    def f(x):
      return lax.sin(x)

    @f.defjvp
    def _(primals, tangents):
      jax.debug.callback(lambda: None)
      return f(*primals), tangents[0] * 2

    for calls in (2, 3):
      with jax_cse.enabled():
        count = jax_cse.count_primitives(
            lambda x, calls=calls: sum(f(x) for _ in range(calls)))(1.)
      self.assertEqual(count["sin"], calls)


if __name__ == "__main__":
  absltest.main()
