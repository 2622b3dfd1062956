"""The line and the change that a person is shown first."""

from absl.testing import absltest
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.gains import first_look
from jax_cse.gains import timed_calls
from jax_cse.report import recording

X = np.ones(3, "float32")


def loss(w):
  u = lambda x: jnp.sum(jnp.tanh(w * x) * w)
  return jax.grad(jax.grad(jax.grad(u)))(1.0)**2


step = jax.grad(loss)


class ComputedAgainTest(absltest.TestCase):

  def test_the_function_where_most_is_twice(self):
    def few(x):
      return lax.sin(x) * lax.sin(x)

    def many(x):
      return lax.dot(x, x) * lax.dot(x, x)
    with timed_calls.timed() as timing:
      jax.jit(few)(X)
      jax.jit(many)(np.ones((9, 9), "float32"))
    line = first_look.computed_again(timing, "exact")
    self.assertRegex(
        line, r"^test_first_look.py:\d+ computes again what it computed "
        r"before: 1 equation, 1,[0-9]+ flops\n    return lax.dot")

  def test_nothing(self):
    self.assertIsNone(first_look.computed_again(timed_calls.Timing(), "exact"))
    report = jax_cse.redundancy(lax.sin, compiled=False)(1.0)
    self.assertIsNone(first_look._dearest(report))
    report = jax_cse.redundancy(lambda x: (x.reshape(3, 1), x.reshape(3, 1)),
                                compiled=False)(X)
    self.assertNotEmpty(report.findings)   # which take no operation
    self.assertIsNone(first_look._dearest(report))

  def test_lines_that_are_not_known(self):
    report = jax_cse.redundancy(lambda x: lax.sin(x) * lax.sin(x),
                                compiled=False)(X)
    finding, = report.findings
    unknown = finding._replace(line=None, first=None)
    self.assertStartsWith(first_look._dearest(report._replace(
        findings=[unknown, finding])), "test_first_look.py")
    self.assertStartsWith(first_look._dearest(report._replace(
        findings=[unknown])), "a line that is not known computes again")
    self.assertIn("again what it was given", first_look._dearest(
        report._replace(findings=[finding._replace(is_given=True)])))


class WouldPayTest(absltest.TestCase):

  def recorded(self, *functions):
    with recording.jitted(objects=False) as recorded:
      for function in functions:
        jax.jit(function)(X)
    return recorded

  def test_the_change_that_saves_most(self):
    recorded = self.recorded(lax.sin, step)
    said = first_look.would_pay(recorded, "exact")
    best = jax_cse.redundancy(step, compiled=False)(X).advice[0]
    self.assertStartsWith(said, f"{best.line}: {best.seen}; write {best.write}")
    self.assertStartsWith(said, "test_first_look.py:")
    self.assertIn(f"({best.share:.0%} fewer flops)", said)
    # The mode does that by itself.
    self.assertIsNone(first_look.would_pay(recorded, "ring"))

  def test_nothing(self):
    self.assertIsNone(first_look.would_pay(self.recorded(lax.sin), "exact"))

  def test_what_cannot_be_traced_again(self):
    traced = []

    def once(w):
      if traced:
        raise SystemExit(3)
      traced.append(w)
      return step(w)
    self.assertIsNone(first_look.would_pay(self.recorded(once), "exact"))

  def test_an_object_is_not_traced_while_it_runs(self):
    class Model:
      traces = 0

      def __call__(self, w):
        self.traces += 1
        return step(w)
    model = Model()
    recorded = self.recorded(model)
    self.assertEqual(model.traces, 1)
    self.assertIsNone(first_look.would_pay(recorded, "exact"))


if __name__ == "__main__":
  absltest.main()
