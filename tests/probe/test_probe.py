"""A JAX that nobody tested: probed once, and refused if something differs."""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import textwrap
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
import jax

import jax_cse
from jax_cse.foundation import verdicts
from jax_cse.foundation import versions
from jax_cse.probe import private_names
from jax_cse.probe import probe
from overlays import run

# Appended to a copy of JAX, which then has another version.
OTHER_PARAMETERS = """
from jax._src import core as _core
_plain = _core.Primitive.bind_with_trace
def _bind_with_trace(self, trace, args, avals, params, options=None):
  return _plain(self, trace, args, avals, params)
_core.Primitive.bind_with_trace = _bind_with_trace
"""
LACKS_A_PRIMITIVE = """
from jax._src import debugging as _debugging
del _debugging.debug_print_p
"""
# JAX's own modules know where the value is.
HOLDS_ITS_VALUE_ELSEWHERE = """
import sys as _sys
from jax._src.interpreters import partial_eval as _pe
_slot = _pe.DynamicJaxprTracer.val
def _val(self):
  if _sys._getframe(1).f_globals["__name__"].startswith("jax_cse."):
    raise AttributeError("DynamicJaxprTracer has no attribute 'val'")
  return _slot.__get__(self)
_pe.DynamicJaxprTracer.val = property(_val, _slot.__set__)
"""

TRY = """
import warnings
import jax, jax_cse
from jax._src import core
plain = core.Primitive.bind_with_trace
with warnings.catch_warnings(record=True) as caught:
  warnings.simplefilter("always")
  for use in (lambda: jax_cse.enabled().__enter__(), lambda: jax_cse.cse_jaxpr):
    try:
      use()
      print("fits")
    except jax_cse.UnsupportedJaxVersion as error:
      assert core.Primitive.bind_with_trace is plain
      print("refused", " ".join(str(error).split()))
for warning in caught:
  print("warning", warning.message)
"""


class AlteredJaxTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.folder = pathlib.Path(
        self.enter_context(tempfile.TemporaryDirectory()))
    self.cache = self.folder / "cache"

  def alter(self, addition=""):
    version = 9, 9, 9
    named = (f"\n__version__ = {'.'.join(map(str, version))!r}"
             f"\n__version_info__ = {version}\n")
    installed = pathlib.Path(jax.__file__).parent
    copy = self.folder / "jax"
    shutil.copytree(installed, copy, copy_function=os.symlink)
    for name, more in (("version.py", named), ("__init__.py", addition)):
      text = (installed / name).read_text()
      (copy / name).unlink()
      (copy / name).write_text(text + more)

  def run_python(self, code=TRY, **environment):
    environment = {"XDG_CACHE_HOME": str(self.cache), "JAX_CSE": "",
                   "JAX_CSE_CHECK": ""} | environment
    return run("-c", textwrap.dedent(code), overlay=self.folder,
               **environment).stdout.splitlines()

  def test_a_jax_that_fits_is_probed_once(self):
    self.alter()
    patched, explicit, *warned = self.run_python()
    self.assertEqual([patched, explicit], ["fits", "fits"])
    self.assertRegex(
        warned[0], r"JAX 9.9.9 is installed. It was looked at: \d+ names, "
        r"\d methods, \d+ programs, and nothing that enabled\(\) need differs")
    kept, = (self.cache / "jax_cse").iterdir()
    self.assertIn("9.9.9", kept.name)
    self.assertEqual(json.loads(kept.read_text())["everywhere"], [])
    # The verdict that is kept is taken, whatever it is.
    verdict = {"checked": "it", "everywhere": [], "looked_at": [],
               "patched": ["method m: it moved"]}
    kept.write_text(json.dumps(verdict))
    patched, explicit, *_ = self.run_python()
    self.assertIn("For enabled() these differ: method m: it moved", patched)
    self.assertEqual(explicit, "fits")
    # What cannot be read is made again.
    for text in ("{", json.dumps(verdict | {"patched": "it moved"})):
      kept.write_text(text)
      self.assertEqual(self.run_python()[:2], ["fits", "fits"])
    self.assertLen(list(kept.parent.iterdir()), 1)

  def test_settings_of_the_user_are_not_part_of_it(self):
    self.alter()
    self.assertEqual(
        self.run_python(JAX_DISABLE_JIT="1", JAX_DEBUG_KEY_REUSE="1",
                        PYTHONOPTIMIZE="2")[:2], ["fits", "fits"])

  def test_strict_and_off(self):
    self.alter(OTHER_PARAMETERS)
    for line in self.run_python(JAX_CSE_CHECK="strict"):
      self.assertRegex(line, "refused .* since JAX_CSE_CHECK is strict")
    self.assertEqual(self.run_python(JAX_CSE_CHECK="off"), ["fits", "fits"])
    self.assertFalse(self.cache.exists())

  def test_other_parameters(self):
    self.alter(OTHER_PARAMETERS)
    patched, explicit, warned = self.run_python()
    self.assertIn("method Primitive.bind_with_trace: its parameters are self, "
                  "trace, args, avals, params, options; they were", patched)
    self.assertEqual(explicit, "fits")
    self.assertIn("nothing that explicit transformations need differs", warned)

  def test_what_patches_nothing_works(self):
    self.alter(OTHER_PARAMETERS)
    *_, last = self.run_python("""
        import jax, jax_cse
        from jax import lax, numpy as jnp
        f = lambda x: lax.sin(x) + lax.sin(x)
        jax_cse.redundancy(f)(1.)
        jax_cse.cse(f, check=True)(1.)
        jax_cse.derivatives(f, 2, check=True)(1.)
        jax_cse.laplacian(f, check=True)(1.)
        jax_cse.jarrett(f)(1.)
        with jax_cse.disabled():
          print(jax_cse.cse_jaxpr(jax.make_jaxpr(f)(1.), "exact").eqns[0])
        """)
    self.assertIn("sin", last)

  def test_a_replaced_method_is_gone(self):
    self.alter("""
from jax._src.interpreters import ad as _ad
del _ad.LinearizeTrace
""")
    for line in self.run_python():
      self.assertIn("name jax._src.interpreters.ad.LinearizeTrace: there is no",
                    line)

  def test_a_primitive_is_gone(self):
    self.alter(LACKS_A_PRIMITIVE)
    for line in self.run_python():
      self.assertRegex(line, "refused .*name jax._src.debugging.debug_print_p"
                       ": there is no")

  def test_a_tracer_holds_its_value_elsewhere(self):
    self.alter(HOLDS_ITS_VALUE_ELSEWHERE)
    patched, *_ = self.run_python()
    self.assertIn("program enabled(), an operation twice: ", patched)

  def test_a_cache_that_cannot_be_written(self):
    self.alter()
    self.cache.write_text("a file")
    self.assertEqual(self.run_python()[:2], ["fits", "fits"])

  def test_the_command(self):
    self.alter(OTHER_PARAMETERS)
    *_, last = self.run_python("""
        import sys
        from jax_cse import __main__
        try:
          __main__.main(["check"])
        except SystemExit as error:
          print(error.code)
        """)
    self.assertEqual(last, "1")


class InstalledJaxTest(absltest.TestCase):

  def test_it_fits(self):
    rows = list(probe.rows())
    self.assertEmpty([row for row in rows if row.difference is not None])
    kinds = {row.kind for row in rows}
    self.assertEqual(kinds, {"name", "method", "program"})
    self.assertEqual(probe.of_rows(rows).differences(True), [])

  def test_too_old(self):
    with (mock.patch.object(jax, "__version__", "0.9.2"),
          mock.patch.object(jax, "__version_info__", (0, 9, 2)),
          self.assertRaisesRegex(jax_cse.UnsupportedJaxVersion,
                                 "needs JAX 0.10.0 or later, but JAX 0.9.2")):
      versions.check.__wrapped__(versions.EXPLICIT)

  def test_another_value_of_the_variable(self):
    with (mock.patch.dict(os.environ, JAX_CSE_CHECK="maybe"),
          self.assertRaisesRegex(ValueError, "strict or off; got 'maybe'")):
      versions.check.__wrapped__(versions.EXPLICIT)

  def test_names_that_are_missing(self):
    missing = private_names.missing
    self.assertIsNone(missing("jax._src.core.Primitive.bind_with_trace"))
    self.assertIsNone(missing("jax._src.lax.lax.sin_p"))
    self.assertEqual(missing("jax._src.nothing.at_all"), "jax._src.nothing")
    self.assertEqual(missing("jax._src.core.Nothing"), "jax._src.core.Nothing")

  def test_a_program_that_differs_is_told(self):
    row = probe._counted("twice", lambda x: (x + 1, x + 2), "add", 1, True)
    self.assertEqual(row.difference, "2 add are left, not 1")
    row = probe._counted("raises", lambda x: x.nothing, "add", 1, True)
    self.assertStartsWith(row.difference, "AttributeError")
    self.assertEqual(probe.of_rows([row]).patched,
                     [f"program raises: {row.difference}"])

  def test_a_probe_that_fails_is_not_kept(self):
    with mock.patch.object(sys, "executable", "/nothing/is/here"):
      found = verdicts.probe()
    self.assertRegex(found.everywhere[0], "the probe itself failed")
    with mock.patch.object(sys, "executable", None):
      found = verdicts.probe()
    self.assertIn("no Python to run it with", found.everywhere[0])


if __name__ == "__main__":
  absltest.main()
