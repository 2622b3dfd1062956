"""Every composition, rebuilt: never larger, and the same values."""

import functools

from absl.testing import absltest
from absl.testing import parameterized
from hypothesis import given, settings
from hypothesis import strategies as st
import jax

import checking
from checking import assert_close
import differential
import jax_cse
from jax_cse.compat import core
from jax_cse.foundation import modes
import specs
import whole_programs


@functools.cache
def _without(spec, composition):
  """What a composition gives, or the exception, without CSE."""
  fun = specs.SPECS_BY_NAME[spec].fun
  return checking.attempt(specs.COMPOSITIONS[composition](fun), 0.7)


class CompositionsTest(parameterized.TestCase):

  @parameterized.product(
      spec=specs.SPECS, mode=modes.MODES, way=("outside", "inside"))
  def test_compositions(self, spec, mode, way):
    for name, compose in specs.COMPOSITIONS.items():
      plain = compose(spec.fun)
      expected = _without(spec.name, name)
      if isinstance(expected, Exception):
        continue
      fun = (jax_cse.cse(plain, mode) if way == "outside" else
             compose(jax_cse.cse(spec.fun, mode)))
      with self.subTest(name):
        assert_close(fun(0.7), expected)
        if way == "outside" and name in ("jvp jvp", "grad grad", "scan"):
          assert_close(jax.jit(fun)(0.7), expected)

  @parameterized.parameters(*specs.SPECS)
  def test_a_jaxpr_is_never_larger_and_is_done_after_once(self, name, fun):
    del name
    for composition in ("itself", "jvp jvp", "grad grad", "grad scan",
                        "grad cond", "jvp grad remat", "custom_jvp"):
      plain = checking.trace(specs.COMPOSITIONS[composition](fun), 0.7)
      for mode in ("reassociate", "ring"):
        simpler = jax_cse.cse_jaxpr(plain, mode)
        core.check_jaxpr(simpler.jaxpr)
        self.assertEqual(simpler.in_avals, plain.in_avals)
        self.assertEqual(simpler.out_avals, plain.out_avals)
        self.assertLessEqual(checking.size(simpler), checking.size(plain))
        self.assertEqual(str(jax_cse.cse_jaxpr(simpler, mode)), str(simpler))
        assert_close(core.jaxpr_as_fun(simpler)(0.7),
                     core.jaxpr_as_fun(plain)(0.7))

  @given(whole_programs.programs(1, 6),
         st.sampled_from([0, 4]),
         st.sampled_from(sorted(differential.TRANSFORMS)))
  @settings(max_examples=20, deadline=None)
  def test_random_programs(self, program, row, transform):
    differential.check(program, row, transform, "rebuilt")

  def test_growth_of_nested_forward_mode(self):
    for spec in specs.SMOOTH:
      counts = []
      for order in (4, 8):
        with jax_cse.enabled("ring"):
          jaxpr = checking.trace(specs.nested(spec.fun, order), 0.3)
        counts.append(checking.size(jax_cse.cse_jaxpr(jaxpr)))
      self.assertLessEqual(counts[1], 5 * counts[0], (spec.name, counts))


if __name__ == "__main__":
  absltest.main()
