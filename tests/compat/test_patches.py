"""The patches of each version only insert, and give what they were made from;
and the command that makes an overlay of them."""

import os
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import jax

from jax_cse.foundation import releases
from overlays import overlay, run
from patched import overlay as patched_jax

ROOT = pathlib.Path(__file__).parents[2]


class SeriesTest(parameterized.TestCase):

  @parameterized.parameters(*releases.NEWEST)
  def test_says_what_it_is_for(self, version):
    patches = patched_jax.series(version)   # inserts, with a sha256 for each
    self.assertNotEmpty(patches)
    for patch in patches:
      self.assertIn("@@", patch.hunks)
      self.assertRegex(patch.header, r"^[A-Z].*\.\n\n")
      for test in patch.header.partition("Test: ")[2].split():
        self.assertTrue((ROOT / test).exists(), test)
      self.assertIn("Test: ", patch.header)
    files = [name for patch in patches for name in patch.files]
    self.assertLen(set(files), len(files))
    self.assertCountEqual(
        (patched_jax.PATCHES / version / "series").read_text().split(),
        [p.name for p in (patched_jax.PATCHES / version).glob("*.patch")])

  def test_holds_no_line_of_jax(self):
    version, base = patched_jax.installed()
    for patch in patched_jax.series(version):
      theirs = {line.strip() for name in patch.files
                for line in (base / name).read_text().splitlines()}
      mine = {line[1:].strip() for line in patch.hunks.splitlines()
              if line.startswith("+") and not line.startswith("+++")}
      # But for what is anybody's: `try:`, and imports of its own modules.
      self.assertEmpty({line for line in mine & theirs if len(line) > 8
                        and not line.startswith("from jax._src import ")})

  def test_gives_what_it_was_made_from(self):
    version, base = patched_jax.installed()
    patches = patched_jax.series(version)
    self.assertEqual(
        patched_jax.regenerate(overlay(), base, patches),
        {patch.path: patch.path.read_text() for patch in patches})


class CommandTest(absltest.TestCase):

  def test_runs_on_the_overlay(self):
    tool = ROOT / "tools" / "patched" / "overlay.py"
    done = run(tool, "--", sys.executable, "-c",
               "import jax; print(jax.__version__, jax.core.enable_cse)")
    self.assertEqual(done.stdout, f"{jax.__version__} False\n")
    self.assertEqual(pathlib.Path(run(tool).stdout.strip()), overlay())

  def test_where_it_is_run(self):
    tool = ROOT / "tools" / "patched_jax"
    with tempfile.TemporaryDirectory() as folder:
      done = subprocess.run([tool, "--", "pwd"], cwd=folder, check=True,
                            capture_output=True, text=True)
      self.assertTrue(os.path.samefile(done.stdout.strip(), folder))

  def test_wrong_use(self):
    tool = ROOT / "tools" / "patched" / "overlay.py"
    for arguments, message in ((["--regenerate", "--", "true"], "no command"),
                               (["--", "no such"], "no such: No such file")):
      done = subprocess.run([sys.executable, tool, *arguments],
                            capture_output=True, text=True)
      self.assertNotEqual(done.returncode, 0)
      self.assertIn(message, done.stderr)

  def test_is_not_needed(self):
    self.assertFalse(hasattr(jax.core, "enable_cse"))


if __name__ == "__main__":
  absltest.main()
