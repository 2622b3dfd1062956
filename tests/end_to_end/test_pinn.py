"""The example examples/pinn.py, in a small size."""

import contextlib
import io
import re
import warnings

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax.extend import core
import pinn

import jax_cse
import small_runs

AT = (0.4, 0.7)


class PinnTest(parameterized.TestCase):

  @parameterized.parameters(*pinn.DERIVATIVES)
  def test_the_front_solves_the_equation(self, way):
    left = pinn.residual(pinn.exact, pinn.DERIVATIVES[way])
    with jax.enable_x64(True), jax_cse.enabled():
      self.assertLess(abs(jax.jit(left)(*AT)), 1e-12)

  def test_the_mixed_partial(self):
    d = jax.grad
    with jax.enable_x64(True):
      params = pinn.init(jax.random.key(1), 1, 5)
      u = lambda t, x: pinn.network(params, t, x)
      expected = jax.jit(d(d(d(d(u, 1), 0), 1), 1))(*AT)
      for way in (pinn.mixed, pinn.mixed_by_jet):
        with jax_cse.enabled():
          found = jax.jit(lambda *at, way=way: way(u, *at))(*AT)
        self.assertAlmostEqual(found / expected, 1, delta=1e-12)

  def test_merging_before_the_last_differentiation_leaves_less(self):
    start, step = pinn.training(jax.grad, 3, 1)
    params = pinn.init(jax.random.key(1), 2, 5)
    state = params, start(params)
    with jax_cse.disabled():
      plain = jax.make_jaxpr(step)(*state)
    after = core.jaxpr_as_fun(jax_cse.cse_jaxpr(plain, mode="exact"))
    with jax_cse.enabled():
      before = jax_cse.count_primitives(step)(*state).total()
    self.assertLess(before, 0.9 * jax_cse.count_primitives(after)(
        *jax.tree.leaves(state)).total())

  def test_a_run(self):
    run = small_runs.run(pinn, "--steps=8", "--points=4", "--layers=1",
                         "--width=3", "--repeats=1", "--x64")
    self.assertIn("8/8", run.stderr)
    rows = {tuple(cells[0].rsplit(maxsplit=1)): [c.split() for c in cells[1:]]
            for cells in (line.split("|") for line in run.stdout.splitlines())
            if len(cells) == 5 and cells[0].strip().startswith("nested")}
    self.assertLen(rows, 4)
    for way in pinn.DERIVATIVES:
      plain, merged = rows[way, "plain"], rows[way, "jax_cse"]
      for a, b in zip(plain[0], merged[0]):
        self.assertLess(int(b.replace(",", "")), 0.7 * int(a.replace(",", "")))
      self.assertEqual(plain[3], merged[3])
      for seconds in (*plain[1], *plain[2], *merged[1], *merged[2]):
        self.assertGreaterEqual(float(seconds), 0)
    # In double precision, over eight steps, it is rounding and no more.
    apart = re.findall(r"by (\S+) at most", run.stdout)
    self.assertLen(apart + re.findall("to the last bit", run.stdout), 2)
    for most in apart:
      self.assertLess(float(most), 1e-10)
    partials = re.findall(r"^  (?:pushfwd|nested grad|jet).* (\S+\.\d+)",
                          run.stdout, re.MULTILINE)
    self.assertLen(partials, 3)
    self.assertLen(set(partials), 1)

  def test_losses_that_are_the_same(self):
    runs = [pinn.Run(way, cse, 9, 9, *[1.0] * 5, [2.0, 1.0], 0.1)
            for way in pinn.DERIVATIVES for cse in (False, True)]
    self.assertIn("to the last bit", pinn.agreement(*runs[:2]))
    with warnings.catch_warnings(action="error"):
      pinn.figure(runs).savefig(io.BytesIO())

  @parameterized.parameters(
      ("--steps=0", "--steps must be 1 or more; got 0"),
      ("--points=1", "--points must be 2 or more; got 1"),
      ("--layers=0", "--layers must be 1 or more; got 0"),
      ("--width=x", "invalid int value: 'x'"),
      ("--seed=-1", "--seed must be 0 or more; got -1"),
      ("--out=nowhere/a.png", "--out: there is no folder 'nowhere'"),
      ("--fast", "unrecognized arguments: --fast"))
  def test_a_bad_option(self, option, message):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as e:
      pinn.main([option])
    self.assertEqual(e.exception.code, 2)
    self.assertIn(message, said.getvalue())


if __name__ == "__main__":
  absltest.main()
