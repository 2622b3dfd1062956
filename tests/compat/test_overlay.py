"""The overlay of a wheel: how patches are read, applied and written again."""

from concurrent import futures
import pathlib
import tempfile

from absl.testing import absltest

from patched import overlay as patched_jax


class OverlayTest(absltest.TestCase):
  """On a wheel of three lines."""

  def setUp(self):
    super().setUp()
    folder = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory()))
    self.base, self.overlay = folder / "base", folder / "overlays" / "1"
    (self.base / "jax").mkdir(parents=True)
    self.file = self.base / "jax" / "a.py"
    self.file.write_text("one\ntwo\nthree\n")
    self.other = self.base / "jax" / "b.py"
    self.other.write_text("other\n")
    self.patch = folder / "0001-add-line.patch"
    self.write("sha256: "
               f"{patched_jax.digest(self.file.read_bytes())}  jax/a.py\n",
               "@@ -2,0 +3 @@\n+more\n")

  def write(self, sums, hunk):
    self.patch.write_text(f"Why.\n\nTest: tests/test.py\n{sums}"
                          f"--- a/jax/a.py\n+++ b/jax/a.py\n{hunk}")

  def make(self):
    patches = [patched_jax.read(self.patch)]
    patched_jax.make(self.overlay, self.base, patches)
    return patches

  def made(self):
    return (self.overlay / "jax" / "a.py").read_text()

  def test_a_copy_with_more_lines(self):
    self.make()
    self.assertEqual(self.made(), "one\ntwo\nmore\nthree\n")
    self.assertEqual((self.overlay / "jax" / "b.py").read_text(), "other\n")
    self.assertEqual(self.file.read_text(), "one\ntwo\nthree\n")

  def test_another_base_is_refused(self):
    self.file.write_text("one\ntwo\nfour\n")
    with self.assertRaisesRegex(
        patched_jax.Refused, r"0001-add-line.patch is for a jax/a.py with "
        r"sha256 [0-9a-f]{64}, but .*base/jax/a.py has [0-9a-f]{64}"):
      self.make()
    self.assertFalse(self.overlay.exists())

  def test_what_does_more_than_insert_is_refused(self):
    sums = f"sha256: {64 * '0'}  jax/a.py\n"
    for hunk in ("@@ -2 +2 @@\n-two\n+2\n",
                 "@@ -1,2 +1,3 @@\n one\n+2\n two\n"):
      self.write(sums, hunk)
      with self.assertRaisesRegex(patched_jax.Refused, "more than insert"):
        patched_jax.read(self.patch)
    self.write("", "@@ -2,0 +3 @@\n+more\n")
    with self.assertRaisesRegex(patched_jax.Refused, "each file needs one"):
      patched_jax.read(self.patch)

  def test_patches_of_what_was_edited(self):
    patches = self.make()
    (self.overlay / "jax" / "a.py").write_text("one\ntwo\nthree\nlast\n")
    new = patched_jax.regenerate(self.overlay, self.base, patches)
    self.patch.write_text(new[self.patch])
    self.make()
    self.assertEqual(self.made(), "one\ntwo\nthree\nlast\n")
    self.assertIn("@@ -3,0 +4 @@\n+last\n", self.patch.read_text())

  def test_a_patch_for_another_file(self):
    """As the message of what refuses says."""
    patches = self.make()
    (self.overlay / "jax" / "b.py").write_text("other\nmore\n")
    second = self.patch.with_name("0002-add-another.patch")
    second.write_text("Why.\n\nTest: tests/test.py\n"
                      f"sha256: {64 * '0'}  jax/b.py\n")
    patches.append(patched_jax.read(second))
    new = patched_jax.regenerate(self.overlay, self.base, patches)
    self.assertEqual(
        new[second],
        "Why.\n\nTest: tests/test.py\n"
        f"sha256: {patched_jax.digest(b'other' + bytes([10]))}  jax/b.py\n"
        "--- a/jax/b.py\n+++ b/jax/b.py\n@@ -1,0 +2 @@\n+more\n")
    self.assertEqual(new[self.patch], self.patch.read_text())

  def test_no_patches_of_an_overlay_that_is_not_theirs(self):
    patches = [patched_jax.read(self.patch)]
    with self.assertRaisesRegex(patched_jax.Refused, "is not there"):
      patched_jax.regenerate(self.overlay, self.base, patches)
    self.make()
    self.write("sha256: "
               f"{patched_jax.digest(self.file.read_bytes())}  jax/a.py\n",
               "@@ -1,0 +2 @@\n+newer\n")
    with self.assertRaisesRegex(patched_jax.Refused, "not of this series"):
      patched_jax.regenerate(self.overlay, self.base,
                             [patched_jax.read(self.patch)])

  def test_many_at_once(self):
    patches = [patched_jax.read(self.patch)]
    with futures.ThreadPoolExecutor(4) as pool:
      for done in [pool.submit(patched_jax.make, self.overlay, self.base,
                               patches) for _ in range(8)]:
        done.result()
    self.assertEqual(self.made(), "one\ntwo\nmore\nthree\n")

  def test_what_was_edited_is_not_lost(self):
    self.make()
    (self.overlay / "jax" / "a.py").write_text("mine\n")
    self.make()   # the same series: it stays
    self.assertEqual(self.made(), "mine\n")
    self.write("sha256: "
               f"{patched_jax.digest(self.file.read_bytes())}  jax/a.py\n",
               "@@ -1,0 +2 @@\n+another\n")
    with self.assertRaisesRegex(patched_jax.Refused, "was edited"):
      self.make()
    self.assertEqual(self.made(), "mine\n")

  def test_a_new_series_makes_it_again(self):
    self.make()
    self.write("sha256: "
               f"{patched_jax.digest(self.file.read_bytes())}  jax/a.py\n",
               "@@ -1,0 +2 @@\n+another\n")
    self.make()
    self.assertEqual(self.made(), "one\nanother\ntwo\nthree\n")

  def test_what_no_patch_can_say_is_refused(self):
    patches = self.make()
    edits = {"a.py": ("one\n2\nthree\n", "changed or removed"),
             "b.py": ("other\nmore\n", "no patch says that it is for them"),
             "c.py": ("new\n", "is new"), "b.py ": (None, "not there any more"),
             "a.py ": ("one\ntwo\nthree\n", "nothing is inserted")}
    for name, (text, message) in edits.items():
      with self.subTest(name):
        path = self.overlay / "jax" / name.strip()
        before = path.read_text() if path.exists() else None
        path.unlink() if text is None else path.write_text(text)
        with self.assertRaisesRegex(patched_jax.Refused, message):
          patched_jax.regenerate(self.overlay, self.base, patches)
        path.unlink() if before is None else path.write_text(before)


if __name__ == "__main__":
  absltest.main()
