"""The tables of JAX's releases are those that the tools write."""

import re

from absl.testing import absltest
import jax

from documents import versions
from jax_cse.foundation import releases


class VersionsTest(absltest.TestCase):

  def test_the_page_is_as_written(self):
    text = versions.PAGE.read_text()
    self.assertEqual(versions.written(text), text)

  def test_every_branch_is_in_the_table(self):
    there = set(re.findall(r"^\| ([\d.]+) \|", versions.changes(),
                           re.MULTILINE))
    for path in (versions.ROOT / "jax_cse" / "compat").glob("*.py"):
      text = path.read_text()
      for branch in re.findall(r"VERSION \S+ \(([\d, ]+)\)", text):
        numbers = [*map(int, branch.split(",")), 0][:3]
        self.assertIn(".".join(map(str, numbers)), there, path)

  def test_the_installed_jax_is_in_the_table(self):
    self.assertIn(jax.__version__, releases.TESTED)

  def test_releases_are_in_order(self):
    versions_of = [tuple(map(int, version.split(".")))
                   for version in releases.TESTED]
    self.assertEqual(versions_of, sorted(versions_of))
    self.assertLen({version[:2] for version in versions_of},
                   len(releases.NEWEST))


if __name__ == "__main__":
  absltest.main()
