"""What one run of `compare` writes down, from what was timed."""

import os
from unittest import mock

from absl.testing import absltest
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.gains import measured_run
from jax_cse.gains import timed_calls
from jax_cse.memo import contexts
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


class EnteredTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.entered = []
    self.enter_context(mock.patch.object(
        contexts.enabled, "_enter", contexts.enabled._enter))
    measured_run._watch(self.entered)

  def test_what_the_program_enters(self):
    with jax_cse.enabled("ring"):
      pass
    with mock.patch.dict(os.environ, JAX_CSE="off"), jax_cse.enabled():
      pass
    self.assertEqual(self.entered, ["ring", "exact"])

  def test_what_a_report_enters_is_not_the_programs(self):
    def loss(w):
      u = lambda x: jnp.sum(jnp.tanh(w * x) * w)
      return jax.grad(jax.grad(jax.grad(u)))(1.0)**2
    with mock.patch.dict(os.environ, JAX_CSE="off"):
      report = jax_cse.redundancy(jax.grad(loss), compiled=False)(X)
    self.assertIn('enabled("ring")', str(report))
    self.assertEmpty(self.entered)


if __name__ == "__main__":
  absltest.main()
