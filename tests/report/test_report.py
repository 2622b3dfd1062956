"""The page that `run --report` writes, from what is recorded to its text."""

import functools
from html.parser import HTMLParser
import itertools
import pathlib
import random
import runpy
import tempfile
import threading
from unittest import mock
from xml.etree import ElementTree

from absl.testing import absltest
from absl.testing import parameterized
import equinox as eqx
import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

import jax_cse
from jax_cse.memo.statistics import Statistics
from jax_cse.report import comparison
from jax_cse.report import jaxpr_graph
from jax_cse.report import jaxpr_pictures
from jax_cse.report import recording
from jax_cse.report import report_page
from jax_cse.report import run_report
from jax_cse.report.jaxpr_graph import Graph, Node
from jax_cse.report.layered_layout import layout
from jax_cse.report.redundancy_report import Line
from jax_cse.report.source_listing import listing
from specs import COMPOSITIONS, SPECS

X = np.ones(3, "float32")


class Model:

  def __init__(self, factor):
    self.factor = factor

  def __call__(self, x):
    return self.factor * x

  def method(self, x):
    return self.factor * x


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

  def test_a_function_is_not_traced_at_once(self):
    count = []
    with recording.jitted() as recorded:
      jax.jit(jax.jit(lambda x: count.append(x)))(X)
    self.assertLen(count, 1)
    self.assertIsNone(recorded.programs[0].plain)

  def test_jitting_a_function_again_traces_nothing_again(self):
    count = []

    def fun(x):
      count.append(x)
      return x

    with recording.jitted():
      for _ in range(5):
        jax.jit(fun)(X)
      self.assertLen(count, 1)

      @functools.wraps(fun)   # takes what `fun` keeps along
      def other(x):
        return fun(x) + 1
      np.testing.assert_array_equal(jax.jit(other)(X), X + 1)

  # JAX traces a method again each time that it is bound, and so do its results
  # follow what the object holds.
  @parameterized.parameters("an object", "a partial", "a method")
  def test_jitting_what_keeps_nothing_again_traces_nothing_again(self, which):
    count = []

    class Counted:
      def __call__(self, x):
        count.append(x)
        return x

      def method(self, x):
        return self(x)

    counted = Counted()
    partial = functools.partial(counted)
    use = {"an object": lambda: counted, "a partial": lambda: partial,
           "a method": lambda: counted.method}[which]

    def times():
      count.clear()
      for _ in range(5):
        jax.jit(use())(X)
      return len(count)

    plain = times()
    jax.clear_caches()
    with recording.jitted() as recorded:
      # An object is traced once more, at once.
      self.assertEqual(times(), plain + (which == "an object"))
    self.assertLen(recorded.programs, 1)

  def test_few_wrappers_are_kept(self):
    with recording.jitted() as recorded:
      for _ in range(recording.LIMIT + 3):
        jax.jit(Model(2))
      self.assertLen(recorded._wrappers, recording.LIMIT)
    self.assertEmpty(recorded._wrappers)

  def test_a_second_recording_sees_the_function(self):
    def fun(x):
      return 2 * x
    for _ in range(2):
      jax.clear_caches()
      with recording.jitted() as recorded:
        jax.jit(fun)(X)
      self.assertLen(recorded.programs, 1)

  def test_a_method_is_one_function(self):
    model = Model(2)
    with recording.jitted() as recorded:
      for _ in range(3):
        jax.clear_caches()
        jax.jit(model.method)(X)
      jax.jit(Model(3).method)(X)
    self.assertLen(recorded.programs, 2)

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

  def test_a_method_sees_what_its_object_holds_now(self):
    model = Model(2)
    with recording.jitted():
      for factor in (2, 3):
        model.factor = factor
        np.testing.assert_array_equal(jax.jit(model.method)(X), factor * X)

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

  def test_ends(self):
    plain = jax.jit
    with self.assertRaises(ZeroDivisionError):
      with recording.jitted() as recorded:
        self.assertIsNot(jax.jit, plain)
        kept, f = jax.jit, jax.jit(lambda x: 2 * x)
        raise ZeroDivisionError
    self.assertIs(jax.jit, plain)
    np.testing.assert_array_equal(f(X), 2 * X)
    np.testing.assert_array_equal(kept(lambda x: 3 * x)(X), 3 * X)
    self.assertEmpty(recorded.programs)

  def test_errors_are_those_of_jax(self):
    def generator(x):
      yield x

    def said(*args, **kwargs):
      try:
        jax.jit(*args, **kwargs)
      except Exception as e:
        return type(e), str(e)
      raise AssertionError("nothing was raised")

    wrong = [((3,), {}), ((generator,), {}), ((), {"nothing": 1}),
             ((lambda x: x,), {"static_argnums": "a"})]
    expected = [said(*args, **kwargs) for args, kwargs in wrong]
    with recording.jitted():
      self.assertEqual([said(*args, **kwargs) for args, kwargs in wrong],
                       expected)

  def test_looking_is_not_recorded(self):
    with recording.jitted() as recorded:
      jax_cse.redundancy(lambda x: 2 * x)(X)
    self.assertEmpty(recorded.programs)


def node(label="sin", **fields):
  return Node("equation", label, "f32[]", **fields)


def chain(number, marked=()):
  return Graph([node(f"n{i}", mark="again" if i in marked else "")
                for i in range(number)],
               [(i, i + 1) for i in range(number - 1)], number)


class GraphTest(parameterized.TestCase):

  def test_nodes_do_not_overlap_and_edges_go_down(self):
    random.seed(0)
    for number in (0, 1, 2, 10, 80):
      widths = [random.choice((40, 90, 170)) for _ in range(number)]
      edges = sorted({(random.randrange(i), i) for i in range(1, number)
                      for _ in range(random.randrange(3))})
      places, paths, (width, height) = layout(widths, edges)
      self.assertLen(places, number)
      rows = {}
      for (x, y), w in zip(places, widths):
        rows.setdefault(y, []).append((x - w / 2, x + w / 2))
        self.assertBetween(x, w / 2, width - w / 2)
        self.assertBetween(y, 0, height)
      for row in rows.values():
        row.sort()
        for (_, end), (start, _) in itertools.pairwise(row):
          self.assertLess(end, start)
      for (start, end), path in zip(edges, paths, strict=True):
        self.assertEqual((path[0], path[-1]), (places[start], places[end]))
        for (_, above), (_, below) in itertools.pairwise(path):
          self.assertLess(above, below)

  def test_long_edges_go_around(self):
    # From the first to the last past 10 others: not through any of them.
    places, paths, _ = layout(
        [60] * 12, [(i, i + 1) for i in range(11)] + [(0, 11)])
    for (x, y), (other, same) in zip(paths[-1][1:-1], places[1:-1]):
      self.assertEqual(y, same)
      self.assertGreater(abs(x - other), 30)

  def test_svg(self):
    graph = Graph([
        Node("in", "x", "f32[]"),
        node("sin", title="a <b> & c", findings=(1,), mark="before"),
        node("<script>", findings=(1, 2), mark="again", first=1),
        Node("out", "out", "f32[]")],
        [(0, 1), (0, 2), (1, 3), (1, 3)], 2)
    root = ElementTree.fromstring(jaxpr_graph.svg(graph, 'say "<what>"'))
    space = "{http://www.w3.org/2000/svg}"
    boxes = root.findall(f"{space}g")
    self.assertEqual([box.get("class") for box in boxes],
                     ["n in", "n before", "n again", "n out"])
    self.assertEqual([box.get("data-findings") for box in boxes],
                     [None, "1", "1 2", None])
    self.assertEqual([box.find(f"{space}text").text for box in boxes],
                     ["x", "sin", "<script>", "out"])
    self.assertEqual(boxes[1].find(f"{space}title").text, "a <b> & c")
    self.assertEqual(root.get("aria-label"), 'say "<what>"')
    edges, pair = root.findall(f"{space}path")
    self.assertEqual((edges.get("class"), pair.get("class")), ("e", "pair"))
    self.assertEqual(edges.get("d").count("M"), 3)

  def test_cut(self):
    graph = cut = jaxpr_graph.cut(chain(10), 10)
    self.assertIs(cut, graph)
    cut = jaxpr_graph.cut(chain(50, marked=[20]), 5)
    self.assertEqual([n.label for n in cut.nodes],
                     ["n18", "n19", "n20", "n21", "n22"])
    self.assertEqual(cut.edges, [(0, 1), (1, 2), (2, 3), (3, 4)])
    self.assertEqual((cut.shown, cut.total), (5, 50))
    self.assertEqual([n.label for n in jaxpr_graph.cut(chain(50), 2).nodes],
                     ["n0", "n1"])

  def test_cut_keeps_what_belongs_to_it(self):
    nodes = [Node("in", "x", ""), Node("in", "y", ""), node("a"), node("b"),
             node("far"), node("again", mark="again", first=3)]
    graph = Graph(nodes, [(0, 4), (1, 5)], 4)   # in pieces
    cut = jaxpr_graph.cut(graph, 2)
    self.assertEqual([n.label for n in cut.nodes], ["y", "a", "again"])
    self.assertIsNone(cut.nodes[-1].first)
    cut = jaxpr_graph.cut(graph, 3)
    self.assertEqual([n.label for n in cut.nodes], ["y", "a", "b", "again"])
    self.assertEqual(cut.nodes[-1].first, 2)


def pictures(fun, *args, mode="exact", names=()):
  found = comparison.of(fun, mode)(*args)
  return found, list(jaxpr_pictures.pictures(found, names))


def equations(graph):
  return [n for n in graph.nodes if n.kind == "equation"]


class PicturesTest(parameterized.TestCase):

  def test_what_is_marked(self):
    def fun(x, unused):
      a = lax.sin(x)
      b = lax.sin(x)
      return a * b, lax.optimization_barrier(x), lax.optimization_barrier(x)
    _, (picture,) = pictures(fun, X, X, names=["x", "unused"])
    self.assertEqual(picture.name, "the whole function")
    self.assertEqual(
        [(n.label, n.mark, n.findings) for n in picture.before.nodes],
        [("x", "", ()), ("sin", "before", (1,)), ("sin", "again", (1,)),
         ("mul", "", ()), ("optimization_barrier", "before", (2,)),
         ("optimization_barrier", "apart", (2,)),
         ("out 0", "", ()), ("out 1", "", ()), ("out 2", "", ())])
    self.assertEqual(picture.before.nodes[2].first, 1)
    self.assertEqual([(n.label, n.mark) for n in equations(picture.after)][:2],
                     [("sin", "before"), ("mul", "")])
    self.assertEqual((picture.before.total, picture.after.total), (5, 4))
    title = picture.before.nodes[2].title
    self.assertIn("equation 2 of 5", title)
    self.assertIn("b = lax.sin(x)", title)
    self.assertIn("computed again: finding 1", title)

  def test_inner_jaxprs(self):
    def body(c, _):
      return lax.cond(c > 0, lambda: c * lax.sin(c) * lax.sin(c),
                      lambda: lax.cos(c)), None

    def fun(x):
      y, _ = lax.scan(body, x, length=3)
      z = lax.while_loop(lambda c: c < 3, lambda c: c + 1, x)
      return y + jax.jit(lambda x: lax.exp(x))(z)
    _, found = pictures(fun, 1.0)
    names = [p.name.replace("(test_report.py:", "(") for p in found]
    at = lambda name: [i for i, n in enumerate(names) if n.startswith(name)]
    self.assertLen(at("scan ("), 1 + 2)   # with the branches inside of it
    self.assertLen(at("while: cond"), 1)
    self.assertLen(at("while: body"), 1)
    self.assertLen(at("jit <lambda> ("), 1)
    branches = [p for p in found if "branches" in p.name]
    self.assertEqual([p.name.count(" › ") for p in branches], [1, 1])
    self.assertEqual(sorted((p.before.total, p.after.total) for p in branches),
                     [(1, 1), (4, 3)])

  def test_what_shares_a_jaxpr_is_drawn_once(self):
    call = jax.jit(lambda x: lax.sin(x))
    _, found = pictures(lambda x: call(call(call(x))), X)
    self.assertLen(found, 2)

  def test_a_jaxpr_that_is_gone(self):
    call = jax.jit(lambda x: lax.sin(lax.cos(x)))
    other = jax.jit(lambda x: lax.sin(lax.cos(x)))
    _, found = pictures(lambda x: call(x) + other(x), X)
    self.assertEqual([p.after is None for p in found], [False, False, True])

  def test_a_mode_that_rebuilds(self):
    def body(c, _):
      return lax.cos(c) * c + lax.cos(c) * (c + 1), None
    _, (whole, inside) = pictures(
        lambda x: lax.scan(body, x, length=3)[0], 1.0, mode="ring")
    self.assertEqual((whole.before.total, whole.after.total), (1, 1))
    self.assertIn("scan", inside.name)
    self.assertEqual((inside.before.total, inside.after.total), (6, 4))

  @parameterized.parameters("value", "grad", "scan", "vmap of jit")
  def test_each_finding_is_in_a_picture(self, composition):
    compose = COMPOSITIONS.get(composition) or next(
        c for name, c in COMPOSITIONS.items() if composition.split()[0] in name)
    for spec in SPECS:
      found, drawn = pictures(compose(spec.fun), 0.7)
      duplicates = {id(d.eqn) for _, group in found.findings for d in group}
      marked = [n for p in drawn if p.before for n in p.before.nodes
                if n.mark in ("again", "apart")]
      self.assertLen(marked, len(duplicates), spec.name)


class Tags(HTMLParser):
  """Checks that what is opened is closed, and keeps the text."""
  VOID = {"meta"}

  def __init__(self, page):
    super().__init__()
    self.open_tags, self.text, self.started = [], "", []
    self.feed(page)
    self.close()
    assert not self.open_tags, self.open_tags

  def handle_starttag(self, tag, attrs):
    self.started.append((tag, dict(attrs)))
    if tag not in self.VOID:
      self.open_tags.append(tag)

  def handle_startendtag(self, tag, attrs):
    pass

  def handle_endtag(self, tag):
    assert self.open_tags.pop() == tag, tag

  def handle_data(self, data):
    self.text += data


def run_of(*entries, **fields):
  fields = {"program": "train.py", "command": "python train.py",
            "mode": "exact", "outcome": "ended well",
            "versions": [("jax", "1.2")], "left_out": 0,
            "statistics": None} | fields
  return report_page.Run(entries=entries, **fields)


EVIL = '</script><img src=x onerror="alert(1)">&amp;'


class PageTest(parameterized.TestCase):

  def test_nothing_was_jitted(self):
    page = Tags(report_page.render(run_of()))
    self.assertIn("No function was given to jax.jit", page.text)
    self.assertIn("CSE was off", page.text)

  def test_nothing_was_kept(self):
    page = Tags(report_page.render(run_of(left_out=2)))
    self.assertNotIn("No function was given", page.text)
    self.assertIn("could be kept", page.text)
    self.assertIn("2 more were traced and not kept", page.text)

  def test_nothing_could_be_traced_again(self):
    page = Tags(report_page.render(run_of(
        report_page.Entry("step", None, [], error="no"))))
    self.assertIn("could be traced again, so there is nothing", page.text)
    self.assertNotIn("Without CSE", page.text)

  def test_what_is_said(self):
    page = Tags(report_page.render(run_of(
        report_page.Entry("step", None, [("x", "f32[3]")], error="no <way>"),
        left_out=7, outcome="ended with exit status 3")))
    for text in ("no <way>", "f32[3]", "ended with exit status 3", "train.py",
                 "1.2", "7 more were traced", "could not be traced again"):
      self.assertIn(text, page.text)

  def test_statistics(self):
    stats = Statistics()
    stats.hits_of["sin"] = 1234
    stats.bypass("print", "may have <effects>")
    page = Tags(report_page.render(run_of(statistics=stats)))
    self.assertIn("1,234", page.text)
    self.assertIn("may have <effects>", page.text)

  def test_everything_is_escaped(self):
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
      file.write(f"x = '{EVIL}'\n")
      file.flush()
      line = Line(file.name, 1, EVIL)
      finding = jax_cse.redundancy(
          lambda x: lax.sin(x) * lax.sin(x))(X).findings[0]._replace(
              line=line, first=line)
      report = jax_cse.redundancy(lambda x: x)(X)._replace(
          findings=[finding], not_merged=[finding._replace(reason=EVIL)])
      graph = Graph([node(EVIL, title=EVIL)], [], 1)
      page = report_page.render(run_of(
          report_page.Entry(
              EVIL, line, [(EVIL, EVIL)], None, report, EVIL,
              report_page.sources(report), [(EVIL, 2, 1)],
              report_page.draw([(EVIL, graph, graph)]), 1),
          report_page.Entry(EVIL, line, [], EVIL),
          program=EVIL, command=EVIL, outcome=EVIL, mode=EVIL,
          versions=[(EVIL, EVIL)]))
    tags = Tags(page)
    self.assertNotIn("img", [tag for tag, _ in tags.started])
    self.assertNotIn(EVIL, page)
    self.assertEqual(page.count("</script>"), 1)
    self.assertGreater(tags.text.count(EVIL), 10)

  def test_what_was_given_and_what_is_not_known(self):
    report = jax_cse.redundancy(lambda x: lax.sin(x) * lax.sin(x),
                                compiled=False)(X)
    finding = report.findings[0]._replace(first=None)
    for is_given in (True, False):
      page = Tags(report_page.render(run_of(report_page.Entry(
          "f", None, [], report=report._replace(
              findings=[finding._replace(is_given=is_given)])))))
      self.assertEqual("is that already" in page.text, is_given)
      self.assertEqual("a line that is not known" in page.text, not is_given)

  def test_needs_nothing_else(self):
    report = jax_cse.redundancy(lambda x: lax.sin(x) * lax.sin(x))(X)
    graph = chain(3, marked=[1])
    page = report_page.render(run_of(report_page.Entry(
        "f", None, [], None, report, None, report_page.sources(report),
        [("sin", 2, 1)], report_page.draw([("all", graph, graph)]), 1)))
    self.assertIn("<svg", page)
    # A name of a namespace, which nobody loads.
    page = page.replace('xmlns="http://www.w3.org/2000/svg"', "")
    self.assertNotIn("http:", page)
    self.assertNotIn("https:", page)
    for tag, attributes in Tags(page).started:
      self.assertNotIn("src", attributes, tag)
      self.assertTrue(attributes.get("href", "#").startswith("#"), tag)
    self.assertNotIn("url(", page)
    self.assertNotIn("@import", page)

  def test_large_graphs_are_cut_and_said_to_be(self):
    graph = chain(jaxpr_graph.LIMIT + 1)
    report = jax_cse.redundancy(lambda x: x, compiled=False)(X)
    page = Tags(report_page.render(run_of(report_page.Entry(
        "f", None, [], report=report, number_of_pictures=30,
        pictures=report_page.draw([("all", graph, None)])))))
    self.assertIn("400 of 401 equations are shown", page.text)
    self.assertIn("1 of 30 graphs are here", page.text)
    self.assertIn("There is no such jaxpr any more", page.text)

  def test_which_graphs_are_drawn(self):
    large, small = chain(3), chain(1)
    marked = Graph([node(mark="again", findings=(1,))], [], 1)
    graphs = [("whole", small, small)]
    graphs += [(f"small {i}", small, small)
               for i in range(report_page.PICTURES)]
    graphs += [("large", None, large), ("marked", marked, small)]
    drawn = report_page.draw(graphs)
    self.assertLen(drawn, report_page.PICTURES)
    names = [p.name for p in drawn]
    self.assertEqual((names[0], *names[-2:]), ("whole", "large", "marked"))
    self.assertEqual(drawn[-1].findings, [1])

  def test_lines(self):
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
      file.write("".join(f"line {i}\n" for i in range(1, 31)))
      file.flush()
      at = lambda n: Line(file.name, n, "f")
      finding = jax_cse.redundancy(
          lambda x: lax.sin(x) * lax.sin(x))(X).findings[0]
      found, gone = listing([
          finding._replace(line=at(4), first=at(2)),
          finding._replace(line=at(30), first=None),
          finding._replace(line=at(4), first=Line("/nowhere.py", 1, "f")),
          finding._replace(line=None, first=at(4))], around=1)
    self.assertEqual([[row.number for row in run] for run in found.runs],
                     [[1, 2, 3, 4, 5], [29, 30]])
    row = found.runs[0][3]
    self.assertEqual(row, (4, "line 4", (1, 3), (4,)))
    self.assertEqual(row.findings, (1, 3, 4))
    self.assertEqual(found.runs[0][1].before, (1,))
    self.assertEqual((gone.path, list(gone.runs)), ("/nowhere.py", []))


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
                 jax.__version__, "test_report.py"):
      self.assertIn(text, page.text)
    self.assertNotIn("could not be traced", page.text)
    self.assertIn(" with CSE. By XLA’s count ", " ".join(page.text.split()))

  def test_the_example(self):
    path = pathlib.Path(__file__).parent.parent / "examples" / "twice.py"
    with self.written():
      runpy.run_path(str(path), run_name="__main__")
    page = Tags(self.out.read_text())
    self.assertNotIn("could not be traced", page.text)
    text = " ".join(page.text.split())
    self.assertIn("3 of 3 jitted functions (one for each signature)", text)
    for name in ("1. swing: ", "2. attention: ", "3. train_step: ",
                 "freqs_cos = jnp.tile(freqs_cos, (1, 2))"):
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

  def test_each_width_of_numbers_is_a_signature(self):
    with recording.jitted() as recorded:
      f = jax.jit(lambda x: x)
      for x64 in (True, False):
        with jax.enable_x64(x64):
          f(X)
    self.assertEqual([p.x64 for p in recorded.programs], [True, False])

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
