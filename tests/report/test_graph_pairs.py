"""Which graphs show a comparison, and what is marked in them."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax import lax
import numpy as np

from jax_cse.findings import comparison
from jax_cse.report.graph_pairs import graph_pairs
from specs import COMPOSITIONS, SPECS

X = np.ones(3, "float32")


def pairs_of(fun, *args, mode="exact", names=()):
  found = comparison.of(fun, mode)(*args)
  return found, list(graph_pairs(found, names))


def equations(graph):
  return [n for n in graph.nodes if n.kind == "equation"]


class GraphPairsTest(parameterized.TestCase):

  def test_what_is_marked(self):
    def fun(x, unused):
      a = lax.sin(x)
      b = lax.sin(x)
      return a * b, lax.optimization_barrier(x), lax.optimization_barrier(x)
    _, (pair,) = pairs_of(fun, X, X, names=["x", "unused"])
    self.assertEqual(pair.name, "the whole function")
    self.assertEqual(
        [(n.label, n.mark, n.findings) for n in pair.before.nodes],
        [("x", "", ()), ("sin", "before", (1,)), ("sin", "again", (1,)),
         ("mul", "", ()), ("optimization_barrier", "before", (2,)),
         ("optimization_barrier", "apart", (2,)),
         ("out 0", "", ()), ("out 1", "", ()), ("out 2", "", ())])
    self.assertEqual(pair.before.nodes[2].first, 1)
    self.assertEqual([(n.label, n.mark) for n in equations(pair.after)][:2],
                     [("sin", "before"), ("mul", "")])
    self.assertEqual((pair.before.total, pair.after.total), (5, 4))
    title = pair.before.nodes[2].title
    self.assertIn("equation 2 of 5", title)
    self.assertIn("b = lax.sin(x)", title)
    self.assertIn("computed again: finding 1", title)

  def test_findings_have_the_numbers_of_the_table(self):
    def fun(x, y):   # what is kept is dearer
      return (lax.optimization_barrier(x), lax.optimization_barrier(x),
              lax.sin(y), lax.sin(y))
    found, (pair,) = pairs_of(fun, X, np.float32(1))
    report = found.report((None,) * 3)
    self.assertGreater(report.not_merged[0].flops, report.findings[0].flops)
    self.assertEqual(
        [list(finding.primitives) for finding in
         (*report.findings, *report.not_merged)],
        [["sin"], ["optimization_barrier"]])
    self.assertEqual({n.label: n.findings for n in equations(pair.before)},
                     {"sin": (1,), "optimization_barrier": (2,)})

  def test_inner_jaxprs(self):
    def body(c, _):
      return lax.cond(c > 0, lambda: c * lax.sin(c) * lax.sin(c),
                      lambda: lax.cos(c)), None

    def fun(x):
      y, _ = lax.scan(body, x, length=3)
      z = lax.while_loop(lambda c: c < 3, lambda c: c + 1, x)
      return y + jax.jit(lambda x: lax.exp(x))(z)
    _, found = pairs_of(fun, 1.0)
    names = [p.name.replace("(test_graph_pairs.py:", "(") for p in found]
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
    _, found = pairs_of(lambda x: call(call(call(x))), X)
    self.assertLen(found, 2)

  def test_a_jaxpr_that_is_gone(self):
    call = jax.jit(lambda x: lax.sin(lax.cos(x)))
    other = jax.jit(lambda x: lax.sin(lax.cos(x)))
    _, found = pairs_of(lambda x: call(x) + other(x), X)
    self.assertEqual([p.after is None for p in found], [False, False, True])

  def test_a_mode_that_rebuilds(self):
    def body(c, _):
      return lax.cos(c) * c + lax.cos(c) * (c + 1), None
    _, (whole, inside) = pairs_of(
        lambda x: lax.scan(body, x, length=3)[0], 1.0, mode="ring")
    self.assertEqual((whole.before.total, whole.after.total), (1, 1))
    self.assertIn("scan", inside.name)
    self.assertEqual((inside.before.total, inside.after.total), (6, 4))

  @parameterized.parameters("value", "grad", "scan", "vmap of jit")
  def test_each_finding_is_in_a_graph(self, composition):
    compose = COMPOSITIONS.get(composition) or next(
        c for name, c in COMPOSITIONS.items() if composition.split()[0] in name)
    for spec in SPECS:
      found, drawn = pairs_of(compose(spec.fun), 0.7)
      duplicates = {id(d.eqn) for _, group in found.findings for d in group}
      marked = [n for p in drawn if p.before for n in p.before.nodes
                if n.mark in ("again", "apart")]
      self.assertLen(marked, len(duplicates), spec.name)


if __name__ == "__main__":
  absltest.main()
