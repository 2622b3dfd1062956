"""Each command of docs/gallery.md draws a picture, at a small order here, and
the picture below it is there and has the name that the command gives it.
"""

import contextlib
import io
import pathlib
import tempfile

from absl.testing import absltest
from absl.testing import parameterized
import gallery

from jax_cse import __main__ as command_line

COMMANDS = gallery.commands(gallery.PAGE.read_text())
SMALL = {"--order": "3"}


def small(args, out):
  """The same command at a small order, with its picture in another place."""
  values = SMALL | {"--out": str(out)}
  return [values.get(before, arg) for before, arg in zip(["", *args], args)]


class GalleryTest(parameterized.TestCase):

  def test_there_are_pictures(self):
    self.assertBetween(len(COMMANDS), 4, 7)

  @parameterized.parameters(*COMMANDS)
  def test_a_command(self, name):
    args = COMMANDS[name]
    options = command_line._parser().parse_args(args)
    size = (gallery.ROOT / options.out).stat().st_size
    self.assertBetween(size, 10_000, gallery.MOST_BYTES)
    with tempfile.TemporaryDirectory() as folder:
      out = pathlib.Path(folder) / "small.png"
      with contextlib.chdir(gallery.ROOT), contextlib.redirect_stdout(
          io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        command_line.main(small(args, out))
      self.assertTrue(out.read_bytes().startswith(b"\x89PNG"))

  def test_the_page_names_every_function(self):
    text = (gallery.PAGE.parent / "functions.py").read_text()
    page = gallery.PAGE.read_text()
    for line in text.splitlines():
      if line.startswith("def "):
        name = line[4:line.index("(")]
        self.assertIn(f"docs/functions.py:{name}", page)

  @parameterized.parameters(
      "    python -m jax_cse blowup --out docs/a.png\n\n![a](b.png)\n",
      "    python -m jax_cse blowup --out docs/a.png\n",
      "    python -m jax_cse blowup\n\n![a](a.png)\n")
  def test_a_picture_that_is_not_of_its_command(self, page):
    with self.assertRaisesRegex(ValueError, "blowup.* is not the one it draws"):
      gallery.commands(page)

  def test_a_name_that_is_not_there(self):
    with self.assertRaisesRegex(SystemExit, "no picture 'x'; .* blowup"):
      gallery.main(["x"])


if __name__ == "__main__":
  absltest.main()
