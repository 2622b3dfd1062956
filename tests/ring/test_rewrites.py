"""Every rewrite gives what was written, and each gives something of its own."""

from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st

from jax_cse.ring import factoring
from jax_cse.ring import rewrites
from jax_cse.ring.cores import Factor, Power, Product, Sum
from jax_cse.ring.extraction import Extraction
from jax_cse.ring.normal_form import NormalForms
from test_ring import POINTS, element, expressions, of_element, of_tree, ring


def _site(r, x, is_free=lambda n: False):
  return rewrites.Site(r, NormalForms(r), None, x.core, is_free)


def _text(tree, names="xyz"):
  if type(tree) is int:
    return names[tree] if tree < len(names) else "?"
  if type(tree) is factoring.Plus:
    return "(" + " + ".join(
        (f"{c}*" if c != 1 else "") + _text(t) for c, t in tree.terms) + ")"
  return "*".join(_text(t) + (f"**{e}" if e != 1 else "")
                  for t, e in tree.factors) or "1"


class RewritesTest(parameterized.TestCase):

  @given(expressions, st.sampled_from(POINTS), st.booleans())
  @settings(max_examples=300, deadline=None)
  def test_candidates_are_what_was_written(self, expression, point, is_free):
    r, atoms = ring()
    x = element(r, atoms, expression)
    if isinstance(r.cores[x.core], Sum | Product | Power | Factor):
      site = _site(r, x, lambda n: is_free)
      wanted = of_element(r, x._replace(coefficient=1), point)
      for rewrite in rewrites.REWRITES:
        for c, tree in rewrite(site):
          self.assertEqual(c * of_tree(r, tree, point), wanted, rewrite)

  @parameterized.parameters(
      (rewrites.written, ["(? + ?)"]),
      (rewrites.of_terms, ["(z*? + x*y)", "(z*? + x*y)"]),
      (rewrites.normal_form, ["(x*(y + z) + y*z)"]))
  def test_what_each_gives(self, rewrite, wanted):
    r, (x, y, z) = ring()
    found = r.add(r.mul(r.add(x, y), z), r.mul(x, y))
    texts = [_text(tree) for _, tree in rewrite(_site(r, found))]
    self.assertEqual(texts, wanted)

  def test_a_rewrite_that_is_entered_is_asked(self):
    r, (x, y, z) = ring()
    written = r.add(r.mul(x, y), r.mul(x, z))
    cheap = factoring.Times(((x.core, 7),))   # which is wrong, and cheap

    def choose():
      choices = Extraction(r, None).choose(
          [written], lambda n: n in (x.core, y.core, z.core), lambda n: [])
      return {choice.number: choice.multiple for choice in choices}

    self.assertNotEqual(choose()[written.core], (1, cheap))
    with mock.patch.object(rewrites, "REWRITES", (
        *rewrites.REWRITES, lambda site: [(1, cheap)])):
      self.assertEqual(choose()[written.core], (1, cheap))


if __name__ == "__main__":
  absltest.main()
