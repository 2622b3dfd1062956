"""Pictures of a function: what is counted, what is fitted, what is drawn."""

from collections import Counter
import doctest
import gc
import subprocess
import sys
import tempfile
from unittest import mock
import warnings
import weakref

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.memo import statistics
from jax_cse.report import blowup
from jax_cse.report import growth
from jax_cse.report import history
from jax_cse.report import order_counts
from jax_cse.report import pictures
from programs import PROGRAMS

thread = blowup.function
LOOP = PROGRAMS["fori_loop"]
PLAIN = [13, 39, 110, 302, 822]
MERGED = [13, 28, 49, 77, 113]
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


class FitsTest(parameterized.TestCase):

  @parameterized.parameters((3, 2), (0.5, 2.78), (1000, 1.1), (7, 0.5))
  def test_an_exponential(self, a, b):
    fits = growth.fit({n: a * b**n for n in range(1, 8)})
    self.assertEqual(fits.better.kind, "exponential")
    self.assertIs(fits.better, fits.exponential)
    self.assertIs(fits.worse, fits.polynomial)
    np.testing.assert_allclose(fits.better[1:3], (a, b), rtol=1e-9)
    self.assertLess(fits.better.deviation, 1e-9)
    self.assertGreater(fits.worse.deviation, 1e-3)
    np.testing.assert_allclose(fits.better([2, 10]), [a * b**2, a * b**10])

  @parameterized.parameters((3, 2), (0.5, 1.5), (1000, 7), (7, -1))
  def test_a_polynomial(self, a, k):
    fits = growth.fit({n: a * n**k for n in range(1, 8)})
    self.assertIs(fits.better, fits.polynomial)
    self.assertIs(fits.worse, fits.exponential)
    np.testing.assert_allclose(fits.better[1:3], (a, k), rtol=1e-9)
    np.testing.assert_allclose(fits.better([2, 10]), [a * 2.**k, a * 10.**k])

  def test_what_never_changes_is_a_polynomial(self):
    fits = growth.fit(dict.fromkeys(range(1, 6), 7))
    self.assertEqual(str(fits.better), "7 * n**0")
    self.assertEqual(str(fits.worse), "7 * 1**n")

  def test_noise_changes_the_numbers_and_not_the_law(self):
    noise = np.random.RandomState(0).uniform(0.95, 1.05, 9)
    fits = growth.fit({n: noise[n] * 4 * 2**n for n in range(1, 9)})
    self.assertIs(fits.better, fits.exponential)
    self.assertAlmostEqual(fits.better.rate, 2, delta=0.05)
    self.assertBetween(fits.better.deviation, 0.01, 0.05)

  def test_the_upper_half(self):
    sizes = {n: n for n in range(1, 9)}
    self.assertEqual(list(growth.upper_half(sizes)), [4, 5, 6, 7, 8])
    self.assertEqual(list(growth.upper_half({3: 1, 1: 1, 2: 1})), [1, 2, 3])

  def test_beyond(self):
    self.assertEqual(growth.beyond(5, {1: 4, 2: 5, 3: 9}), {3: 4})

  @parameterized.parameters(
      ({1: 1, 2: 2}, "3 orders or more; got 2"),
      ({1: 1, 2: 0, 3: 4}, "positive orders and sizes; got 0 at order 2"),
      ({0: 1, 2: 2, 3: 4}, "positive orders and sizes; got 1 at order 0"))
  def test_errors(self, sizes, message):
    with self.assertRaisesRegex(ValueError, message):
      growth.fit(sizes)

  def test_examples(self):
    self.assertEqual(doctest.testmod(growth), (0, 6))


class HistoryTest(absltest.TestCase):

  def test_it_counts_what_statistics_count(self):
    plain, record = statistics.Statistics(), history.History()
    for stats in (plain, record):
      for i in range(20):
        stats.hits_of["sin"] += i % 2
        stats.misses_of["cos"] += 1
        stats.bypass("io_callback", "a reason")
        stats.evict("cos", 100)
    self.assertEqual(str(record), str(plain))
    self.assertEqual(record.hits_of.copy(), plain.hits_of)
    self.assertEqual(record.by_primitive, plain.by_primitive)

  def test_samples(self):
    held = [0]
    record = history.History(lambda: held[0])
    record.misses_of["sin"] += 1
    held[0] = 10
    record.evict("sin", 5)
    record.hits_of["sin"] += 1
    record.bypass("io_callback", "a reason")
    record.finish()
    self.assertEqual(record.samples, [
        (1, 0, 1, 0, 0, 0), (2, 1, 1, 0, 1, 10), (3, 1, 1, 1, 1, 10)])
    record.clear()
    self.assertEqual((record.samples, record.lookups), ([], 0))

  def test_there_are_few_samples_of_many_lookups(self):
    record = history.History()
    for i in range(10_007):
      counts = record.hits_of if i % 3 else record.misses_of
      counts["sin"] += 1
    record.finish()
    record.finish()
    lookups = [s.lookups for s in record.samples]
    self.assertBetween(len(lookups), history.MOST_SAMPLES // 2,
                       history.MOST_SAMPLES)
    self.assertEqual(set(np.diff(lookups)[:-1]), {16})
    for s in record.samples:
      self.assertEqual((s.misses, s.hits + s.misses),
                       (-(-s.lookups // 3), s.lookups))
    self.assertEqual(lookups[-1], 10_007)

  def test_it_lets_go_of_the_memo(self):
    with jax_cse.enabled(max_bytes=1000) as memo:
      memo.stats = record = history.History(lambda memo=memo: memo.nbytes)
      lax.sin(1.0)
    gone = weakref.ref(memo)
    record.finish()
    del memo
    gc.collect()
    self.assertIsNone(gone())
    self.assertEqual(record.misses, 1)


class CountsTest(parameterized.TestCase):

  def test_the_threads_function(self):
    self.assertEqual(totals(thread, 5, 1.1), [PLAIN, MERGED, JET])
    with jax_cse.enabled():
      self.assertEqual(totals(thread, 5, 1.1), [PLAIN, MERGED, JET])
    self.assertEqual(totals(thread, 5, jnp.ones((2, 3))), [
        PLAIN, MERGED, totals(thread, 5, jnp.float32(1))[2]])

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
    self.assertEqual([plain, merged, jet], totals(fun, 3, x, 2.5, 1.0, v=v))
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
    ax, = self.check(pictures.draw_counts("f", [way])).axes
    heights = sorted(list(map(int, line.get_ydata()))
                     for line in ax.get_lines())
    self.assertEqual(heights,
                     [[1, 2, 3], [1, 4, 9], [4, 4, 4], [7, 12, 19]])

  def test_too_many_primitives_are_gathered_and_none_is_lost(self):
    counts = Counter({f"p{i}": i + 1 for i in range(40)})
    way = order_counts.OrderCounts("a way", {1: counts, 2: counts})
    fig = self.check(pictures.draw_counts("f", [way]))
    labels = [t.get_text() for t in fig.legends[0].get_texts()]
    self.assertLen(labels, pictures.MOST_LINES + 2)
    self.assertEqual(labels[-2], f"{40 - pictures.MOST_LINES} others in all")
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
    self.check(jax_cse.plot_growth(fun, 3)(1.1))

  def test_what_looks_like_a_formula_is_none(self):
    def fun(t):
      if isinstance(t, jax.core.Tracer) and "Jet" in type(t).__name__:
        raise NotImplementedError(r"no $\nosuch$ and no $x$")
      return jnp.sin(t)
    fun.__name__ = r"a $\nosuch$ b"
    for plot in (jax_cse.plot_counts(fun, 3), jax_cse.plot_growth(fun, 3),
                 jax_cse.plot_hits(fun)):
      self.check(plot(1.1))
    way = order_counts.OrderCounts("a way", {
        n: Counter({r"$\a$": n, r"$\b$": n, r"$\c$": 2}) for n in (1, 2)})
    self.check(pictures.draw_counts(r"$t^{10}$", [way]))

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
    fig = self.check(pictures.draw_counts("f", [way]))
    self.assertEqual(curve(fig.axes[0], "total"), [[1, 2], [3, 1]])

  def test_growth(self):
    fig = self.check(jax_cse.plot_growth(thread, 8)(1.1))
    plain, merged, jet = [t.get_text() for t in fig.legends[0].get_texts()]
    self.assertRegex(plain, r"^nested jvp, without.*2\.7\d?\^\{n\}\$, exp")
    self.assertRegex(merged, r"^nested jvp, with CSE: .* n\^\{1\.91\}\$, poly")
    self.assertRegex(jet, r"^jax.experimental.jet: .* n\^\{1\.5\d\}\$, poly")
    self.assertEqual([ax.get_xscale() for ax in fig.axes], ["linear", "log"])
    points = fig.axes[0].get_lines()[0].get_ydata()
    self.assertEqual(list(points[:5]), [n - 4 for n in PLAIN])

  def test_growth_with_too_little_to_fit(self):
    for fun, bound in ((lambda t: t, None), (thread, 20)):
      fig = self.check(jax_cse.plot_growth(fun, 4, max_equations=bound)(1.1))
      labels = [t.get_text() for t in fig.legends[0].get_texts()]
      for label in labels[:2]:
        self.assertIn(":  too few orders add equations to fit a law", label)

  def test_orders_do_not_run_into_each_other(self):
    self.assertEqual(pictures._apart(range(1, 9), "linear", 9), [*range(1, 9)])
    self.assertEqual(pictures._apart(range(1, 9), "linear", 4), [1, 3, 5, 7])
    kept = pictures._apart(range(1, 41), "log", 20)
    self.assertEqual(kept[:5], [1, 2, 3, 4, 5])
    self.assertGreater(min(np.diff(np.log(kept))), np.log(40) / 21)

  def test_hits(self):
    fun = lambda t: [lax.sin(lax.cos(t)) for _ in range(3)]
    with jax_cse.enabled() as memo:
      fun(1.1)
    fig = self.check(jax_cse.plot_hits(fun)(1.1))
    self.assertEqual((memo.stats.hits, memo.stats.misses), (4, 2))
    for label in ("hits: 4 (67%)", "misses: 2 (33%)", "bypassed: 0 (0%)"):
      self.assertIn(label, texts(fig))
    hits, misses, bypassed = [list(line.get_ydata())
                              for line in fig.axes[0].get_lines()]
    self.assertEqual(hits, [0, 0, 0, 1, 2, 3, 4])
    self.assertEqual(misses, [0, 1, 2, 2, 2, 2, 2])
    self.assertEqual(bypassed, [0] * 7)
    self.assertLen(fig.axes, 2)
    self.assertNotIn("budget", texts(fig))

  def test_hits_of_a_trace_hold_nothing(self):
    fun = jax.make_jaxpr(lambda t: lax.add(lax.sin(t), lax.sin(t)))
    fig = self.check(jax_cse.plot_hits(fun, "ring")(1.1))
    self.assertLen(fig.axes, 1)
    self.assertIn("hits: 1 (33%)", texts(fig))
    self.assertIn("'ring'", texts(fig))

  def test_hits_within_a_budget(self):
    x = jnp.ones(1000)
    fig = self.check(jax_cse.plot_hits(
        lambda: [lax.mul(x, float(i)) for i in range(9)], max_bytes=20_000)())
    self.assertRegex(texts(fig), r"budget; \d+ results left for it")
    held, budget = fig.axes[1].get_lines()
    self.assertLessEqual(max(held.get_ydata()), budget.get_ydata()[0])

  def test_hits_are_those_of_a_memo_of_its_own(self):
    with jax_cse.enabled() as memo:
      lax.sin(1.1)
      before = str(memo.stats)
      fig = jax_cse.plot_hits(lambda: lax.sin(1.1))()
      self.assertEqual(str(memo.stats), before)
    self.assertIn("misses: 1 (100%)", texts(fig))

  def test_hits_of_nothing(self):
    self.assertIn("nothing was looked up",
                  texts(self.check(jax_cse.plot_hits(lambda: None)())))

  def test_hits_of_a_function_that_fails(self):
    def fun():
      raise ZeroDivisionError("mine")
    with self.assertRaisesRegex(ZeroDivisionError, "mine"):
      jax_cse.plot_hits(fun)()
    self.assertIsNone(jax_cse.active_mode())

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
      (lambda: jax_cse.plot_growth(thread, 2), "order .* 3 or more; got 2"),
      (lambda: jax_cse.plot_counts(thread, mode="fast"), "'ring'; got 'fast'"),
      (lambda: jax_cse.plot_counts(thread, max_equations=0),
       "max_equations must be None or .* 1 or more; got 0"),
      (lambda: jax_cse.plot_hits(thread, "fast"), "'ring'; got 'fast'"),
      (lambda: jax_cse.plot_hits(thread, max_bytes=-1), "max_bytes .* got -1"))
  def test_errors(self, make, message):
    with self.assertRaisesRegex(ValueError, message):
      make()

  def test_hits_when_off(self):
    with mock.patch.dict("os.environ", JAX_CSE="off"):
      fig = self.check(jax_cse.plot_hits(thread)(1.1))
    self.assertIn("nothing was looked up", texts(fig))


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
        "for plot in ('plot_counts', 'plot_growth', 'plot_hits'):",
        "  try: getattr(jax_cse, plot)(abs)",
        "  except ImportError as e: print(e)")
    self.assertEqual(said.splitlines(), [
        f"{plot} needs matplotlib, which is missing. To install it: "
        "pip install 'jax_cse[plot]'"
        for plot in ("plot_counts", "plot_growth", "plot_hits")])


if __name__ == "__main__":
  absltest.main()
