"""What one run of `compare` writes down, from what was timed."""

import types

from absl.testing import absltest
import jax
from jax import lax
import numpy as np

import jax_cse
from jax_cse.gains import measured_run
from jax_cse.gains import timed_calls
from jax_cse.memo.seconds import Seconds

X = np.ones(3, "float32")


def function(**fields):
  made = timed_calls.Function("f:1")
  for name, value in fields.items():
    setattr(made, name, value)
  return made


class FiguresTest(absltest.TestCase):

  def test_parts_add_up(self):
    timing = timed_calls.Timing()
    timing.functions = {
        "f:1": function(took=Seconds(1.0, 2.0, 3.0), first=0.25, later=0.5),
        "g:1": function(took=Seconds(0.5, 0.0, 0.0))}
    timing.later = 0.5
    self.assertEqual(measured_run._parts(timing, 10.0), {
        "to trace": 1.5, "to lower": 2.0, "to compile": 3.0,
        "in first calls": 0.25, "in later calls": 0.5, "in the rest": 2.75})
    # Threads may be counted in several functions at once.
    self.assertEqual(measured_run._parts(timing, 1.0)["in the rest"], 0.0)

  def test_a_function(self):
    program = timed_calls.Program(None, 10, 100.0, 64)
    found = measured_run._figures(function(
        took=Seconds(1.0, 2.0, 3.0), first=0.5, later=0.75, later_calls=3,
        programs={1: program, 2: program}))
    self.assertEqual(found, {
        "to the first results": 6.5, "a call": 0.25, "later calls": 3,
        "equations": 20, "flops": 200.0, "temporary bytes": 128, "error": None})

  def test_what_is_not_known(self):
    program = timed_calls.Program(None, 10)
    found = measured_run._figures(function(programs={1: program}))
    self.assertEqual((found["equations"], found["flops"], found["a call"]),
                     (10, None, None))
    for fields in ({}, {"programs": {1: program}, "error": "no"}):
      found = measured_run._figures(function(**fields))
      self.assertIsNone(found["equations"])


class LineTest(absltest.TestCase):

  def test_the_function_where_most_is_twice(self):
    def few(x):
      return lax.sin(x) * lax.sin(x)

    def many(x):
      return lax.dot(x, x) * lax.dot(x, x)
    with timed_calls.timed() as timing:
      jax.jit(few)(X)
      jax.jit(many)(np.ones((9, 9), "float32"))
    line = measured_run._line(timing, "exact")
    self.assertRegex(
        line, r"^test_measured_run.py:\d+ computes again what it computed "
        r"before: 1 equations, 1,[0-9]+ flops\n    return lax.dot")

  def test_nothing(self):
    self.assertIsNone(measured_run._line(timed_calls.Timing(), "exact"))
    report = jax_cse.redundancy(lax.sin, compiled=False)(1.0)
    self.assertIsNone(measured_run._dearest(report))

  def test_lines_that_are_not_known(self):
    report = jax_cse.redundancy(lambda x: lax.sin(x) * lax.sin(x),
                                compiled=False)(X)
    finding, = report.findings
    unknown = finding._replace(line=None, first=None)
    self.assertStartsWith(measured_run._dearest(report._replace(
        findings=[unknown, finding])), "test_measured_run.py")
    self.assertStartsWith(measured_run._dearest(report._replace(
        findings=[unknown])), "a line that is not known computes again")
    self.assertIn("again what it was given", measured_run._dearest(
        report._replace(findings=[finding._replace(is_given=True)])))

  def test_advice_comes_first(self):
    report = types.SimpleNamespace(advice=["do this"], findings=[])
    self.assertEqual(measured_run._dearest(report), "do this")


if __name__ == "__main__":
  absltest.main()
