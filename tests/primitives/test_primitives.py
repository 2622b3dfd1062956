"""Somebody decided on every primitive of the JAX that is installed."""

import json
import subprocess
import sys

from absl.testing import absltest

from jax_cse.primitives import exclusions
from jax_cse.primitives.merged import MERGED

# All modules of JAX are imported, in a process of its own; those for chips and
# formats that are not there, and tests, cannot be.
PROGRAM = """
import contextlib, gc, importlib, io, json, pkgutil, warnings
import jax
from jax._src import core
from jax_cse import compat
from jax_cse.primitives import exclusions
warnings.simplefilter("ignore")
with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(
    io.StringIO()):
  for module in pkgutil.walk_packages(jax.__path__, "jax.",
                                      onerror=lambda name: None):
    if not any(x in module.name for x in (
        "test", "tools", "pallas", "mosaic", "triton", "cloud_tpu")):
      with contextlib.suppress(Exception):
        importlib.import_module(module.name)
print(json.dumps({
    p.name: "structured" if p in compat.STRUCTURED
    else exclusions.reason_against(p) or "merged"
    for p in gc.get_objects() if isinstance(p, core.Primitive)}))
"""


class PrimitivesTest(absltest.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    done = subprocess.run([sys.executable, "-c", PROGRAM], check=True,
                          capture_output=True, text=True, timeout=600)
    cls.decisions = json.loads(done.stdout.splitlines()[-1])

  def test_there_are_many(self):
    self.assertGreater(len(self.decisions), 300)
    self.assertContainsSubset({"sin", "scan", "pure_callback", "dot_general"},
                              self.decisions)

  def test_what_is_merged_was_looked_at(self):
    merged = {p for p, decision in self.decisions.items()
              if decision == "merged"}
    self.assertEqual(
        merged - MERGED, set(), "nobody decided on these: see `An exclusion` "
        "in CONTRIBUTING.md, or enter them in primitives/merged.py")

  def test_what_was_looked_at_is_not_excluded(self):
    self.assertFalse(MERGED & exclusions.NEVER.keys())
    # Some have effects in one version of JAX and none in another.
    for primitive in MERGED & self.decisions.keys():
      self.assertIn(self.decisions[primitive],
                    ("merged", "may have effects", "structured"))


if __name__ == "__main__":
  absltest.main()
