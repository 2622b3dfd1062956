"""The tables of JAX's releases are those that the tools write."""

from absl.testing import absltest

from documents import versions
from jax_cse.foundation import releases


class VersionsTest(absltest.TestCase):

  def test_pages_are_as_written(self):
    for page in versions.PAGES:
      text = page.read_text()
      self.assertEqual(versions.written(text), text, page)

  def test_every_release_and_every_branch_is_in_a_table(self):
    for release in releases.RELEASES:
      self.assertIn(release.jax, versions.releases())
    self.assertIn("| 0.11.2 | 1 - x * x is a primitive", versions.changes())

  def test_releases_are_in_order(self):
    versions_of = [tuple(map(int, version.split(".")))
                   for version in releases.TESTED]
    self.assertEqual(versions_of, sorted(versions_of))
    self.assertIn(releases.for_python(), releases.NEWEST)
    self.assertLen({version[:2] for version in versions_of},
                   len(releases.NEWEST))


if __name__ == "__main__":
  absltest.main()
