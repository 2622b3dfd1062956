"""`redundancy`: each duplicate at its line, and none that is not one."""

import functools
from html.parser import HTMLParser
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import equinox as eqx
from flax import nnx
import jax
from jax import lax
from jax.extend import core
import numpy as np

import checking
import jax_cse
from jax_cse.findings import comparison
from jax_cse.findings import duplicates
from jax_cse.findings import findings
from jax_cse.findings import naming
from jax_cse.findings.redundancy_report import Line
import op_by_op
from specs import COMPOSITIONS, SPECS

X = np.arange(6, dtype="float32").reshape(2, 3)
W = np.ones((3, 4), "float32")


def projections(x, w):
  first = lax.sin(x) @ w
  second = lax.sin(x) @ w
  return first * second


def texts(findings):
  return [(f.line.text, f.first and f.first.text) for f in findings]


class Block(nnx.Module):
  """A block of a transformer as flax has it: attention, then a network."""

  def __init__(self, rngs):
    self.attention = nnx.MultiHeadAttention(2, 8, rngs=rngs, decode=False)
    self.before = nnx.LayerNorm(8, rngs=rngs)
    self.between = nnx.LayerNorm(8, rngs=rngs)
    self.up = nnx.Linear(8, 16, rngs=rngs)
    self.down = nnx.Linear(16, 8, rngs=rngs)

  def __call__(self, x, mask=None):
    if mask is None:
      mask = nnx.make_causal_mask(x[..., 0])
    x = x + self.attention(self.before(x), mask=mask)
    return x + self.down(nnx.gelu(self.up(self.between(x))))


class RedundancyTest(parameterized.TestCase):

  def assert_true(self, fun, *args):
    """Each duplicate has the bits of what it is said to repeat."""
    plain = jax.make_jaxpr(fun)(*args)
    pairs = [(d.eqn, d.first) for d in duplicates.find(plain, "exact")
             if d.first is not None and d.eqn in plain.eqns]
    self.assertNotEmpty(pairs)
    wanted = [eqn.outvars[0] for pair in pairs for eqn in pair]
    outs = op_by_op.evaluate(
        core.ClosedJaxpr(plain.jaxpr.replace(outvars=wanted), plain.consts),
        *jax.tree.leaves(args))
    for (eqn, _), a, b in zip(pairs, outs[::2], outs[1::2], strict=True):
      np.testing.assert_array_equal(a, b, str(eqn))

  def test_lines_and_costs(self):
    report = jax_cse.redundancy(projections)(X, W)
    finding, = report.findings
    self.assertEqual(texts([finding]), [
        ("second = lax.sin(x) @ w", "first = lax.sin(x) @ w")])
    self.assertEqual(finding.line.number, finding.first.number + 1)
    self.assertEqual(finding.line.function, "projections")
    self.assertEqual(finding.line.file, __file__)
    self.assertEqual(finding.primitives, {"sin": 1, "dot_general": 1})
    # Six sines, and 2 * 4 numbers that take 3 multiplications each.
    self.assertEqual(finding.flops, 6 + 2 * 2 * 4 * 3)
    self.assertEqual(finding.nbytes, 4 * (6 + 2 * 4))
    self.assertEqual(finding.equations, 2)
    self.assertEqual((report.plain, report.merged), (5, 3))
    self.assertEqual((report.name, report.mode), ("projections", "exact"))
    self.assertEmpty(report.not_merged)

  def test_what_xla_merges(self):
    traced, compiled, merged = jax_cse.redundancy(projections)(X, W).flops
    self.assertGreater(traced, compiled)
    self.assertEqual(compiled, merged)

    def loop(x):   # whose carries XLA keeps apart
      return lax.fori_loop(
          0, 5, lambda _, c: (lax.sin(c[0]) @ W.T @ W, lax.sin(c[1]) @ W.T @ W),
          (x, x))

    _, compiled, merged = jax_cse.redundancy(loop)(np.ones((2, 4), "f4")).flops
    self.assertLess(merged, 0.7 * compiled)

  def test_xla_counts_transcendentals_too(self):
    self.assertEqual(jax_cse.redundancy(lambda x: lax.sin(x))(X).flops,
                     (X.size,) * 3)
    self.assertEqual(comparison.work({"flops": 2.0, "transcendentals": 3.0}),
                     5)
    self.assertEqual(comparison.work({"bytes accessed": 2.0}), 0)
    self.assertIsNone(comparison.work(None))
    self.assertIsNone(comparison.work({}))

  def test_prints(self):
    text = str(jax_cse.redundancy(projections)(X, W))
    self.assertRegex(
        text, r"(?s)projections, mode 'exact': 5 equations, 3 with CSE\n"
        r"flops by XLA's count: .* as traced.*\n"
        r" +2 +54 +56  test_redundancy.py:\d+  second = lax.sin\(x\) @ w  "
        r"\(sin, dot_general\)\n"
        r" +again what was computed at test_redundancy.py:\d+  first = ")

  def test_in_a_notebook(self):
    class Table(HTMLParser):
      open_tags, cells = [], []

      def handle_starttag(self, tag, attrs):
        self.open_tags.append(tag)

      def handle_endtag(self, tag):
        assert self.open_tags.pop() == tag

      def handle_data(self, data):
        self.cells.append(data)

    fun = lambda x: (lax.sin(x) < 1, lax.sin(x) < 1)
    table = Table()
    table.feed(jax_cse.redundancy(fun)(X)._repr_html_())
    self.assertEmpty(table.open_tags)
    self.assertIn("sin, lt", table.cells)
    self.assertTrue(any("lax.sin(x) < 1" in cell for cell in table.cells))

  def test_a_scan_counts_its_steps(self):
    def fun(xs):
      return lax.scan(lambda c, x: (c + lax.sin(x) * lax.sin(x), None),
                      np.float32(0), xs)[0]
    finding, = jax_cse.redundancy(fun)(np.ones(7, "float32")).findings
    self.assertEqual((finding.equations, finding.flops, finding.nbytes),
                     (1, 7, 28))

  def test_a_call_counts_what_is_inside(self):
    call = jax.jit(lambda x: lax.sin(lax.cos(x)))
    finding, = jax_cse.redundancy(
        lambda x: (call(x), call(x)))(X).findings
    self.assertEqual(finding.equations, 3)
    self.assertEqual(finding.flops, 2 * X.size)

  def test_what_was_given(self):
    finding, = jax_cse.redundancy(
        lambda x: lax.transpose(lax.transpose(x, (1, 0)), (1, 0)))(X).findings
    self.assertIsNone(finding.first)
    self.assertTrue(finding.is_given)
    self.assertEqual(finding.primitives, {"transpose": 1})

  def test_what_goes_since_nobody_reads_it_is_no_finding(self):
    report = jax_cse.redundancy(lambda x: lax.transpose(
        lax.transpose(x, (1, 0)), (1, 0)), compiled=False)(X)
    self.assertEqual((report.plain, report.merged), (2, 0))
    self.assertEqual([f.equations for f in report.findings], [1])

  def test_a_line_that_is_not_known_is_not_what_was_given(self):
    report = jax_cse.redundancy(jax.hessian(jax.nn.gelu), compiled=False)(1.0)
    unknown = [f for f in report.findings if f.first is None]
    self.assertNotEmpty(unknown)
    self.assertFalse(any(f.is_given for f in unknown))
    self.assertNotIn("given", str(report))
    self.assertNotIn("given", report._repr_html_())
    self.assertIn("again what was computed at a line that is not known",
                  str(report))

  def test_what_was_given_is_not_grouped_with_what_is_not_known(self):
    eqn = jax.make_jaxpr(lambda x: lax.sin(x))(X).eqns[0]
    with mock.patch.object(findings, "line_of", lambda eqn: None):
      found = [f for f, _ in findings.grouped([
          duplicates.Duplicate(eqn, first, 1) for first in (None, eqn)])]
    self.assertEqual([f.is_given for f in found], [True, False])

  def test_names(self):
    class Model:
      def __call__(self, x):
        return x

      def __repr__(self):
        raise RuntimeError("as large as its arrays")

    for fun, name in ((Model(), "Model"), (functools.partial(Model()), "Model"),
                      (functools.partial(functools.partial(projections), X),
                       "projections"), (lambda x: x, "<lambda>")):
      self.assertEqual(naming.name_of(fun), name)
    self.assertEqual(
        jax_cse.redundancy(Model(), compiled=False)(X).name, "Model")

  def test_one_branch_of_a_cond_counts(self):
    def branches(i, x):
      return lax.switch(i, [lambda: lax.sin(lax.sin(x)), lambda: lax.cos(x),
                            lambda: x])
    findings = jax_cse.redundancy(
        lambda i, x: (branches(i, x), branches(i, x)),
        compiled=False)(1, X).findings
    cond, = [f for f in findings if "cond" in f.primitives]
    others = sum(n for name, n in cond.primitives.items() if name != "cond")
    self.assertEqual(cond.flops, 2 * X.size + others)

  def test_what_nothing_reads(self):
    def fun(x):
      lax.sin(x) @ W
      lax.sin(x) @ W
      return lax.cos(x)

    report = jax_cse.redundancy(fun)(X)
    self.assertEmpty(report.findings)
    self.assertEqual((report.plain, report.merged, report.unread), (1, 1, 4))
    self.assertIn("1 equations, 1 with CSE; 4 more that nothing reads",
                  str(report))

  def test_modes(self):
    fun = lambda x, y: (x + y) + 1 + ((1 + x) + y)
    count = {mode: sum(f.equations for f in jax_cse.redundancy(
        fun, mode)(X, X + 1).findings) for mode in ("exact", "ring")}
    self.assertEqual(count["exact"], 0)
    self.assertGreater(count["ring"], 0)
    with self.assertRaisesRegex(ValueError, "other"):
      jax_cse.redundancy(fun, "other")

  def test_what_is_not_merged_and_why(self):
    report = jax_cse.redundancy(lambda x: (
        lax.optimization_barrier(x), lax.optimization_barrier(x)))(X)
    self.assertEmpty(report.findings)
    finding, = report.not_merged
    self.assertEqual(finding.primitives, {"optimization_barrier": 1})
    self.assertIn(f"since it {finding.reason}", str(report))
    self.assertIn(finding.reason, report._repr_html_())

  def test_nothing_to_find(self):
    report = jax_cse.redundancy(lambda x: lax.sin(lax.cos(x)),
                                compiled=False)(X)
    self.assertEmpty(report.findings)
    self.assertNotIn("flops", str(report))
    self.assertNotIn("computed again", str(report))

  def test_the_mode_in_force_does_not_matter(self):
    plain = jax_cse.redundancy(projections)(X, W)
    with jax_cse.enabled():
      self.assertEqual(jax_cse.redundancy(projections)(X, W), plain)

  @parameterized.parameters(*COMPOSITIONS)
  def test_adds_up(self, composition):
    # Without calls what is found goes, and else ones that something was
    # multiplied by.
    for spec in SPECS:
      fun = COMPOSITIONS[composition](spec.fun)
      report = jax_cse.redundancy(fun, compiled=False)(0.7)
      plain = checking.trace(fun, 0.7)
      self.assertEqual(report.plain + report.unread, checking.size(plain))
      gone = report.plain - report.merged
      found = sum(f.equations for f in report.findings)
      if checking.size(plain) == len(plain.jaxpr.eqns):
        ones = sum(eqn.primitive is lax.broadcast_in_dim_p
                   for eqn in plain.jaxpr.eqns)
        self.assertBetween(gone, found, found + ones, spec.name)
      else:
        self.assertGreaterEqual(gone, bool(found), spec.name)

  # Verified by hand, in equinox's own code: the tables of cosines and sines
  # depend on the shape alone, so `q` and `k` of one length tile the same ones.
  def test_rotary_embeddings_of_equinox(self):
    eqx.clear_caches()   # or the tables are slices of longer ones made before
    rotary = eqx.nn.RotaryPositionalEmbedding(8)
    fun = lambda q, k: (rotary(q), rotary(k))
    q, k = np.ones((5, 8), "float32"), np.zeros((5, 8), "float32")
    self.assert_true(fun, q, k)
    report = jax_cse.redundancy(fun)(q, k)
    lines = texts(report.findings)
    for name in "cos", "sin":
      line = f"freqs_{name} = jnp.tile(freqs_{name}, (1, 2))"
      self.assertIn((line, line), lines)
    self.assertLen(lines, 2)
    for finding in report.findings:
      self.assertEndsWith(finding.line.file, "_embedding.py")
      self.assertEqual(finding.nbytes, 4 * 5 * 8)

  # Verified by hand, in flax's own code: the causal mask depends on the shape
  # alone, so the second block makes it again, from the positions on.
  def test_transformer_of_flax(self):
    blocks = [Block(nnx.Rngs(seed)) for seed in range(2)]
    net = lambda x: blocks[1](blocks[0](x))
    x = np.random.RandomState(0).randn(1, 6, 8).astype("float32")
    self.assert_true(net, x)
    found = {f.line.text: f for f in jax_cse.redundancy(
        net, compiled=False)(x).findings}
    mask = 6 * 6
    expected = {
        "idxs = jnp.broadcast_to(jnp.arange(x.shape[-1], dtype=jnp.int32), "
        "x.shape)": ({"iota": 1, "broadcast_in_dim": 1}, 4 * (6 + 6)),
        "jnp.expand_dims(query_input, axis=-1), jnp.expand_dims(key_input, "
        "axis=-2)": ({"broadcast_in_dim": 2}, 4 * (6 + 6)),
        "mask = pairwise_fn(": ({"ge": 1}, mask),
        "mask = jnp.expand_dims(mask, axis=-3)": (
            {"broadcast_in_dim": 1}, mask),
        "return mask.astype(dtype)": ({"convert_element_type": 1}, 4 * mask),
        "mask = mask.astype(jnp.bool)": ({"convert_element_type": 1}, mask)}
    for line, (primitives, nbytes) in expected.items():
      with self.subTest(line):
        self.assertEqual(found[line].line, found[line].first)
        self.assertEndsWith(found[line].line.file, "flax/nnx/nn/attention.py")
        self.assertEqual(found[line].primitives, primitives)
        self.assertEqual(found[line].nbytes, nbytes)

    # Where both are given one mask, they do not make it.
    mask = nnx.make_causal_mask(x[..., 0])
    shared = lambda x: blocks[1](blocks[0](x, mask), mask)
    np.testing.assert_array_equal(net(x), shared(x))
    left = {f.line.text for f in jax_cse.redundancy(
        shared, compiled=False)(x).findings}
    self.assertEqual(left & expected.keys(), {"mask = mask.astype(jnp.bool)"})

  # One layer norm on two arrays: its weight and its bias are broadcast twice.
  def test_layer_norm_of_equinox(self):
    norm = eqx.nn.LayerNorm(8)
    fun = lambda x, y: (jax.vmap(norm)(x), jax.vmap(norm)(y))
    x, y = np.ones((5, 8), "float32"), np.zeros((5, 8), "float32")
    self.assert_true(fun, x, y)
    report = jax_cse.redundancy(fun)(x, y)
    lines = [(f.line.text.split("#")[0].strip(), f.line == f.first,
              dict(f.primitives)) for f in report.findings]
    self.assertCountEqual(lines, [
        ("out = self.weight.astype(dtype) * out", True,
         {"broadcast_in_dim": 1}),
        ("out = out + self.bias.astype(dtype)", True,
         {"broadcast_in_dim": 1})])


class LineTest(absltest.TestCase):

  def test_a_file_that_is_gone(self):
    line = Line("/nowhere/gone.py", 3, "f")
    self.assertEqual((str(line), line.text), ("gone.py:3", ""))


if __name__ == "__main__":
  absltest.main()
