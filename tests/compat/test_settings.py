"""The release whose internals JAX has is known without its number."""

from absl.testing import absltest
import jax

from jax_cse.compat import settings


class VersionTest(absltest.TestCase):

  def test_it_is_that_of_the_release(self):
    known = (*settings.VERSION, 0, 0)[:3]
    self.assertEqual(known, (*jax.__version_info__, 0, 0)[:3])


if __name__ == "__main__":
  absltest.main()
