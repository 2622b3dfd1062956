"""Pictures of a function: what is counted, and what is drawn."""

from collections import Counter
import operator
import subprocess
import sys
import tempfile
from unittest import mock
import warnings

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.orders import blowup
from jax_cse.orders import order_counts
from jax_cse.orders import order_figure
from programs import PROGRAMS

thread = blowup.function
LOOP = PROGRAMS["fori_loop"]
PLAIN = [13, 39, 110, 302, 822]
MERGED = [11, 18, 28, 40, 54]
JET = [68, 140, 234, 350, 488]


def totals(fun, order, *args, mode="exact", v=None, bound=None):
  ways = order_counts.count_orders(fun, order, mode, v, bound, args)
  return [list(way.totals.values()) for way in ways]


def curve(ax, label):
  """The points of the line that the legend calls so, or of the black one."""
  lines = [line for line in ax.get_lines() if
           (line.get_color() == "black") == (label == "total")]
  return [list(map(float, xs)) for xs in lines[0].get_data()]


def texts(fig):
  """All that is written in a figure, breaks of lines as spaces."""
  return " ".join(" ".join(t.get_text().split())
                  for t in fig.findobj(lambda x: hasattr(x, "get_text")))


class CountsTest(parameterized.TestCase):

  def test_the_threads_function(self):
    self.assertEqual(totals(thread, 5, 1.1), [PLAIN, MERGED, JET])
    with jax_cse.enabled():
      self.assertEqual(totals(thread, 5, 1.1), [PLAIN, MERGED, JET])
    # Ones are an equation, and so are their multiples.
    self.assertEqual(totals(thread, 5, jnp.ones((2, 3))), [
        PLAIN, [13, 24, 39, 57, 78], totals(thread, 5, jnp.float32(1))[2]])

  def test_modes(self):
    ring = totals(thread, 4, 1.1, mode="ring")
    self.assertEqual(ring[0], PLAIN[:4])
    self.assertLess(ring[1][-1], MERGED[3])

  def test_trees_directions_and_further_arguments(self):
    def fun(x, power, shift=0.0):
      return {"a": thread(x["t"])**power, "b": (x["u"] @ x["u"] + shift, 1.0)}
    x = {"t": 1.1, "u": jnp.arange(3.0)}
    v = {"t": 2.0, "u": jnp.array([1.0, 0.0, 0.0])}
    plain, merged, jet = totals(fun, 3, x, 2.5, 1.0)
    along = totals(fun, 3, x, 2.5, 1.0, v=v)
    self.assertEqual([plain, jet], [along[0], along[2]])
    # Along 1 a product is its other factor.
    self.assertTrue(all(map(operator.lt, merged, along[1])))
    self.assertLess(merged[2], plain[2])
    self.assertLen(jet, 3)

  def test_directions_are_those_of_the_derivatives(self):
    fun = lambda x, a: a * jnp.sin(x[0] * x[1])
    x, v = jnp.array([0.3, 0.5]), jnp.array([1.0, 2.0])
    expected = jax_cse.derivatives(lambda x: fun(x, 3.0), 3)(x, v)[3]
    for make in (order_counts.nested_jvp, order_counts.taylor):
      np.testing.assert_allclose(make(fun, 3, v)(x, 3.0), expected, rtol=1e-5)

  def test_where_jet_refuses(self):
    ways = order_counts.count_orders(LOOP, 2, "exact", None, None, (1.1,))
    self.assertEqual([way.totals for way in ways],
                     [{1: 9, 2: 25}, {1: 9, 2: 18}, {}])
    self.assertEqual([way.ended for way in ways],
                     [None, None, "refuses order 1: KeyError: scan"])
    self.assertEqual([way.itself for way in ways], [4, 4, 4])

  def test_the_bound(self):
    plain, merged, jet = order_counts.count_orders(
        thread, 6, "exact", None, 500, (1.1,))
    self.assertEqual(list(plain.totals.values()), PLAIN[:4])
    self.assertEqual(plain.ended,
                     "order 5: about 829 equations, above the bound of 500")
    self.assertEqual((max(merged.totals), merged.ended), (6, None))
    self.assertEqual(max(jet.totals), 4)   # 522 are foreseen, 488 would come

  def test_the_bound_is_never_passed_by_much(self):
    # Each order is at most this much more than foreseen.
    for name in ("scan", "softplus mlp", "checkpoint"):
      with self.subTest(name):
        sizes = totals(PROGRAMS[name], 9, 1.1, bound=400)[0]
        self.assertLess(sizes[-1], 600)
        self.assertLess(len(sizes), 9)

  def test_errors_of_the_function_pass_through(self):
    with self.assertRaisesRegex(ZeroDivisionError, "mine"):
      def fun(t):
        raise ZeroDivisionError("mine")
      totals(fun, 2, 1.1)
    with self.assertRaisesRegex(TypeError, "np.inexact.*got int32"):
      totals(thread, 2, jnp.arange(3))
    with self.assertRaisesRegex(ValueError, r"tangent shape as \(3,\)"):
      totals(thread, 2, 1.1, v=jnp.ones(3))
    with self.assertRaises(TypeError):
      totals(thread, 2, 1.1, v=[1.0])

  def test_what_is_off_is_said_to_be(self):
    with mock.patch.dict("os.environ", JAX_CSE="off"):
      ways = order_counts.count_orders(thread, 3, "exact", None, None, (1.1,))
    self.assertEqual([*ways[1].totals.values()], PLAIN[:3])
    self.assertEqual(ways[1].title, "nested jvp, with CSE (off by JAX_CSE)")


class FiguresTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enter_context(warnings.catch_warnings(action="error",
                                               category=UserWarning))

  def check(self, fig):
    """Draws it, as a notebook does; a glyph or place that lacks is an error."""
    png = fig._repr_png_()
    self.assertTrue(png.startswith(b"\x89PNG"))
    return fig

  def test_counts(self):
    fig = self.check(jax_cse.plot_counts(thread, 4)(1.1))
    self.assertEqual([ax.get_title() for ax in fig.axes],
                     list(order_counts.TITLES.values()))
    for ax, sizes in zip(fig.axes, (PLAIN, MERGED, JET)):
      self.assertEqual(curve(ax, "total"), [[1, 2, 3, 4], sizes[:4]])
      self.assertEqual(ax.get_yscale(), "log")
    labels = [t.get_text() for t in fig.legends[0].get_texts()]
    self.assertEqual(labels[-1], "total")
    self.assertIn("cos, sin, each", labels)
    shown = ", ".join(labels).replace("\n", " ").split(", ")
    self.assertContainsSubset(
        {"mul", "add_any", "integer_pow", "neg", "lgamma", "div"}, shown)
    self.assertIn("302", texts(fig))

  def test_what_is_equal_in_all_panels_shares_a_line_that_counts_each(self):
    way = order_counts.OrderCounts("a way", {
        n: Counter(sin=n, cos=n, mul=n * n, tan=4) for n in (1, 2, 3)})
    ax, = self.check(order_figure.draw_counts("f", [way])).axes
    heights = sorted(list(map(int, line.get_ydata()))
                     for line in ax.get_lines())
    self.assertEqual(heights,
                     [[1, 2, 3], [1, 4, 9], [4, 4, 4], [7, 12, 19]])

  def test_too_many_primitives_are_gathered_and_none_is_lost(self):
    counts = Counter({f"p{i}": i + 1 for i in range(40)})
    way = order_counts.OrderCounts("a way", {1: counts, 2: counts})
    fig = self.check(order_figure.draw_counts("f", [way]))
    labels = [t.get_text() for t in fig.legends[0].get_texts()]
    self.assertLen(labels, order_figure.MOST_LINES + 2)
    self.assertEqual(labels[-2],
                     f"{40 - order_figure.MOST_LINES} others in all")
    *lines, total = [line.get_ydata()[0] for line in fig.axes[0].get_lines()]
    self.assertEqual(sum(lines), total)

  def test_a_refusal_and_a_bound_are_in_the_figure(self):
    fig = self.check(jax_cse.plot_counts(LOOP, 6, max_equations=100)(1.1))
    self.assertIn("refuses order 1: KeyError: scan", texts(fig))
    self.assertIn("order 4: about 207 equations, above the bound of 100",
                  texts(fig))
    self.assertEqual([len(ax.get_lines()) > 0 for ax in fig.axes],
                     [True, True, False])
    self.assertEqual(fig.axes[0].get_xlim(), (0.5, 6.5))

  def test_when_all_ways_end(self):
    fig = self.check(jax_cse.plot_counts(thread, 9, max_equations=20)(1.1))
    self.assertEqual(fig.axes[0].get_xlim(), (0.5, 3.5))
    self.assertEqual(texts(fig).count("above the bound of 20"), 3)

  def test_a_long_error(self):
    def fun(t):
      if isinstance(t, jax.core.Tracer) and "Jet" in type(t).__name__:
        raise NotImplementedError("a $ or _ or ^, and " + "long words " * 99)
      return jnp.sin(t)
    fig = self.check(jax_cse.plot_counts(fun, 3)(1.1))
    self.assertIn("refuses order 1: NotImplementedError: a $ or _ or ^, and "
                  "long words", texts(fig))

  def test_what_looks_like_a_formula_is_none(self):
    def fun(t):
      if isinstance(t, jax.core.Tracer) and "Jet" in type(t).__name__:
        raise NotImplementedError(r"no $\nosuch$ and no $x$")
      return jnp.sin(t)
    fun.__name__ = r"a $\nosuch$ b"
    self.check(jax_cse.plot_counts(fun, 3)(1.1))
    way = order_counts.OrderCounts("a way", {
        n: Counter({r"$\a$": n, r"$\b$": n, r"$\c$": 2}) for n in (1, 2)})
    self.check(order_figure.draw_counts(r"$t^{10}$", [way]))

  def test_no_equations(self):
    fig = self.check(jax_cse.plot_counts(lambda t: t, 3)(1.1))
    self.assertEqual(["no equations" in {t.get_text() for t in ax.texts}
                      for ax in fig.axes], [
                          not any(sizes) for sizes in totals(
                              lambda t: t, 3, 1.1)])
    self.assertIn("no equations", texts(fig))

  def test_no_equations_from_some_order_on(self):
    way = order_counts.OrderCounts("a way", {
        1: Counter(sin=3), 2: Counter(sin=1), 3: Counter()})
    fig = self.check(order_figure.draw_counts("f", [way]))
    self.assertEqual(curve(fig.axes[0], "total"), [[1, 2], [3, 1]])

  def test_orders_do_not_run_into_each_other(self):
    self.assertEqual(order_figure._apart(range(1, 9), "linear", 9),
                     [*range(1, 9)])
    self.assertEqual(order_figure._apart(range(1, 9), "linear", 4),
                     [1, 3, 5, 7])
    kept = order_figure._apart(range(1, 41), "log", 20)
    self.assertEqual(kept[:5], [1, 2, 3, 4, 5])
    self.assertGreater(min(np.diff(np.log(kept))), np.log(40) / 21)

  def test_names(self):
    class Model:
      def __call__(self, t):
        return t * t
    fig = jax_cse.plot_counts(Model(), 1)(1.1)
    self.assertIn("Derivatives of Model:", texts(fig))

  @parameterized.parameters(
      (lambda: jax_cse.plot_counts(thread, 0), "order .* 1 or more; got 0"),
      (lambda: jax_cse.plot_counts(thread, 2.0), "order .* 1 or more; got 2.0"),
      (lambda: jax_cse.plot_counts(thread, True), "1 or more; got True"),
      (lambda: jax_cse.plot_counts(thread, mode="fast"), "'ring'; got 'fast'"),
      (lambda: jax_cse.plot_counts(thread, max_equations=0),
       "max_equations must be None or .* 1 or more; got 0"))
  def test_errors(self, make, message):
    with self.assertRaisesRegex(ValueError, message):
      make()


class ImportsTest(absltest.TestCase):

  def run_python(self, *lines):
    done = subprocess.run([sys.executable, "-c", "\n".join(lines)],
                          capture_output=True, text=True,
                          cwd=tempfile.gettempdir())
    self.assertEqual(done.returncode, 0, done.stderr)
    return done.stdout

  def test_what_is_imported_when(self):
    said = self.run_python(
        "import sys, jax_cse",
        "print({'matplotlib', 'jax.experimental.jet'} & sys.modules.keys())",
        "jax_cse.plot_counts(lambda t: t * t, 2)(1.1)",
        "print({'matplotlib', 'matplotlib.pyplot'} & sys.modules.keys())")
    self.assertEqual(said, "set()\n{'matplotlib'}\n")

  def test_without_matplotlib(self):
    said = self.run_python(
        "import sys, jax_cse", "sys.modules['matplotlib'] = None",
        "try: jax_cse.plot_counts(abs)",
        "except ImportError as e: print(e)")
    self.assertEqual(said, "plot_counts needs matplotlib, which is missing. To "
                     "install it: pip install 'jax_cse[plot]'\n")


if __name__ == "__main__":
  absltest.main()
