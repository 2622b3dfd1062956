"""Each line of docs/gallery.md draws a picture, at a small order here, and the
picture below it is there and has the name that the line gives it.
"""

import os
import pathlib
import re
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized
from documents import gallery

LINES = gallery.lines(gallery.PAGE.read_text())


def small(line, out):
  """The same at order 3, with its picture in another place."""
  line = re.sub(r"--order \d+|, \d+\)", lambda m: (
      "--order 3" if m[0].startswith("--") else ", 3)"), line)
  return re.sub(r"docs/pictures/\w+\.png", str(out), line)


class GalleryTest(parameterized.TestCase):

  def test_there_are_pictures(self):
    self.assertBetween(len(LINES), 3, 7)

  @parameterized.parameters(*LINES)
  def test_a_line(self, name):
    size = (gallery.ROOT / "docs" / "pictures" / f"{name}.png").stat().st_size
    self.assertBetween(size, 10_000, gallery.MOST_BYTES)
    with tempfile.TemporaryDirectory() as folder:
      out = pathlib.Path(folder) / "small.png"
      path = os.pathsep.join(["docs", os.environ.get("PYTHONPATH", "")])
      with mock.patch.dict(os.environ, PYTHONPATH=path):
        gallery.draw(small(LINES[name], out))
      self.assertTrue(out.read_bytes().startswith(b"\x89PNG"))

  @parameterized.parameters(
      "    python -m jax_cse blowup --out docs/a.png\n\n![a](b.png)\n",
      "    python -m jax_cse blowup --out docs/a.png\n",
      "    python -m jax_cse blowup\n\n![a](a.png)\n",
      "    jax_cse.plot_counts(f)(1.).savefig(\"docs/a.png\")\n\n![a](b.png)\n")
  def test_a_picture_that_is_not_of_its_line(self, page):
    with self.assertRaisesRegex(ValueError, "is not the one it draws"):
      gallery.lines(page)

  def test_a_name_that_is_not_there(self):
    with self.assertRaisesRegex(SystemExit, "no picture 'x'; .* blowup"):
      gallery.main(["x"])


if __name__ == "__main__":
  absltest.main()
