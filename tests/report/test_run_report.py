"""The page that `run --report` writes, from a program that runs."""

import functools
import pathlib
import runpy
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.findings import comparison
from jax_cse.report import report_page
from jax_cse.report import run_report
from report_parts import Tags

X = np.ones(3, "float32")


class RunTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    folder = self.enter_context(tempfile.TemporaryDirectory())
    self.out = pathlib.Path(folder) / "out.html"

  def written(self):
    return run_report.written(str(self.out), "p.py", "python p.py", "exact",
                              None)

  def test_page(self):
    def twice(x, n):
      return lax.sin(x) * lax.sin(x) + n
    with self.written():
      jax.jit(twice, static_argnums=1)(X, 17)
    page = Tags(self.out.read_text())
    for text in ("twice", "17", "lax.sin(x) * lax.sin(x) + n", "ended well",
                 jax.__version__, "test_run_report.py"):
      self.assertIn(text, page.text)
    self.assertNotIn("could not be traced", page.text)
    self.assertIn(" with CSE. By XLA’s count ", " ".join(page.text.split()))

  def test_what_would_pay(self):
    def f(x):
      h = jnp.tanh(x @ np.ones((6, 32), "float32"))
      return jnp.tanh(h @ np.ones((32, 32), "float32")).sum()

    class Object:
      def __call__(self, x):
        return jnp.trace(jax.hessian(f)(x))

    def function(x):
      return jnp.trace(jax.hessian(f)(x))
    with self.written():
      jax.jit(Object())(np.ones(6, "float32"))
      jax.jit(function)(np.ones(6, "float32"))
    page = Tags(self.out.read_text())
    self.assertNotIn("could not be traced", page.text)
    self.assertEqual(page.text.count("jax_cse.laplacian(f)(x)"), 2)

  def test_what_is_done_already_would_not_pay(self):
    def network(w, x):
      return jnp.tanh(jnp.tanh(x * w[0]) @ w[1]).sum()

    def third(w, x):
      u = functools.partial(network, w)
      return jax.grad(jax.grad(jax.grad(u)))(x)

    def step(w, x):
      return jax.grad(third)(w, x)
    w = np.ones(8, "float32"), np.ones((8, 8), "float32")
    for around, said in ((jax_cse.disabled(), True),
                         (jax_cse.enabled("ring"), False)):
      with self.written():
        with around:
          jax.jit(step)(w, 0.5)
      page = Tags(self.out.read_text())
      self.assertNotIn("could not be traced", page.text)
      self.assertEqual('enabled("ring") on the step' in page.text, said)

  def test_the_example(self):
    root = pathlib.Path(jax_cse.__file__).parent.parent
    path = root / "examples" / "twice.py"
    with self.written():
      runpy.run_path(str(path), run_name="__main__")
    page = Tags(self.out.read_text())
    self.assertNotIn("could not be traced", page.text)
    text = " ".join(page.text.split())
    self.assertIn("3 of 3 jitted functions (one for each signature)", text)
    for name in ("1. swing: ", "2. attention: ", "3. train_step: ",
                 "freqs_cos = jnp.tile(freqs_cos, (1, 2))",
                 '@jax_cse.enabled("ring") on the step'):
      self.assertIn(name, text)

  def test_what_cannot_be_traced_again(self):
    state = []

    def ok(x):
      return x

    with self.written():
      @jax.jit
      def once(x):
        assert not state, "only <once>"
        state.append(1)
        return x
      once(X)
      jax.jit(ok)(X)
    page = Tags(self.out.read_text())
    self.assertIn("AssertionError: only <once>", page.text)
    self.assertTrue("0 of 2 jitted functions" in " ".join(page.text.split()))

  def test_what_was_traced_at_once(self):
    class Object:
      count = 0

      def __call__(self, x):
        self.count += 1
        assert self.count < 3, "once more"
        return lax.sin(x) * lax.sin(x)
    with self.written():
      jax.jit(Object())(X)
    page = Tags(self.out.read_text())
    self.assertNotIn("could not be traced", page.text)
    self.assertIn("return lax.sin(x) * lax.sin(x)", page.text)

  def test_what_ends_the_program_when_it_is_traced_again(self):
    state = []

    def once(x):
      if state:
        raise SystemExit("so <long>")
      state.append(1)
      return x
    with self.written():
      jax.jit(once)(X)
    self.assertIn("SystemExit: so <long>", Tags(self.out.read_text()).text)

  def test_static_arguments(self):
    class Loud(str):
      def __repr__(self):
        raise RuntimeError("not to be shown")

    def fun(x, long, large, loud):
      return x
    with self.written():
      jax.jit(fun, static_argnums=(1, 2, 3))(
          X, 9999 * "y", 10**9999, Loud("a"))
    text = Tags(self.out.read_text()).text
    self.assertIn("'yyyy", text)
    self.assertNotIn(200 * "y", text)
    self.assertNotIn(200 * "0", text)
    self.assertNotIn("loud", text.split("def fun")[0])

  def test_a_lone_surrogate(self):
    with self.assertRaises(ValueError):
      with self.written():
        raise ValueError("not \udc80 text")
    self.assertIn("not \\udc80 text", self.out.read_text())

  def test_a_page_that_cannot_be_made_leaves_what_is_there(self):
    self.out.write_text("before")
    with mock.patch.object(report_page, "render", side_effect=KeyError):
      with self.assertRaises(KeyError):
        with self.written():
          pass
    self.assertEqual(self.out.read_text(), "before")

  def test_64_bits(self):
    def wide(x):
      assert jnp.arange(2.0).dtype == "float64", "only in 64 bits"
      return x
    with self.written():
      with jax.enable_x64(True):
        jax.jit(wide)(np.float64(1))
    self.assertNotIn("only in 64 bits", Tags(self.out.read_text()).text)

  def test_what_cannot_be_compiled(self):
    def callback(x):
      return jax.pure_callback(lambda y: y, x, x, vmap_method="sequential")
    found = comparison.Comparison.flops
    self.addCleanup(setattr, comparison.Comparison, "flops", found)

    def fail(self):
      raise NotImplementedError("not <here>")
    comparison.Comparison.flops = fail
    with self.written():
      jax.jit(callback)(X)
    page = Tags(self.out.read_text())
    self.assertIn("NotImplementedError: not <here>", page.text)

  @parameterized.parameters(
      (SystemExit(3), "ended with exit status 3"),
      (SystemExit(), "ended with exit status 0"),
      (SystemExit("so <sorry>"), "ended with the message so <sorry>"),
      (ValueError("<mine>"), "ended with ValueError: <mine>"),
      (KeyboardInterrupt(), "ended with KeyboardInterrupt"))
  def test_however_it_ends(self, error, text):
    with self.assertRaises(type(error)) as caught:
      with self.written():
        raise error
    self.assertIs(caught.exception, error)
    self.assertIn(text, Tags(self.out.read_text()).text)

  def test_a_page_that_cannot_be_written(self):
    with self.assertRaises(OSError):
      with self.written():
        self.out.mkdir()
    with self.assertRaisesRegex(ValueError, "mine"):
      with self.written():
        raise ValueError("mine")


if __name__ == "__main__":
  absltest.main()
