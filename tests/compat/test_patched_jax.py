"""The fork: patches that only insert, the overlay, the toggle; and that a JAX
that asks and one that is patched from outside give the same."""

from concurrent import futures
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import textwrap

from absl.testing import absltest
from absl.testing import parameterized
import jax
from jax_cse.foundation import versions
import patched_jax

ROOT = pathlib.Path(__file__).parents[2]
PROGRAMS = ROOT / "tests" / "programs"


def run(*command, overlay=None, **environment):
  path = [str(PROGRAMS)] if overlay is None else [str(overlay), str(PROGRAMS)]
  done = subprocess.run(
      [sys.executable, *map(str, command)], capture_output=True, text=True,
      env=os.environ | {"PYTHONPATH": os.pathsep.join(path)} | environment)
  assert done.returncode == 0, done.stderr
  return done


def overlay():
  version, base = patched_jax.installed()
  path = patched_jax.OVERLAYS / version
  patched_jax.make(path, base, patched_jax.series(version))
  return path


class SeriesTest(parameterized.TestCase):

  @parameterized.parameters(*versions.SUPPORTED)
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


def script(text):
  return "-c", textwrap.dedent(text)


class PatchedTest(absltest.TestCase):

  def test_the_same_as_from_outside(self):
    plain = run(PROGRAMS / "patched_program.py")
    patched = run(PROGRAMS / "patched_program.py", overlay=overlay())
    self.assertEqual((plain.stderr.split()[-1], patched.stderr.split()[-1]),
                     ("plain", "patched"))
    plain, patched = (list(map(json.loads, done.stdout.splitlines()))
                      for done in (plain, patched))
    self.assertGreater(len(plain), 300)
    for one, other in zip(plain, patched, strict=True):
      self.assertEqual(one, other)

  def test_nothing_is_replaced(self):
    run(*script("""
        from jax._src import core
        import jax_cse
        from jax_cse import compat
        look = lambda: [core.Primitive.bind, *(
            getattr(*seam) for seam in (compat.BIND, compat.STAGE,
                                        *compat.NODES, *compat.EXITS))]
        before = look()
        assert core.cse is None
        with jax_cse.enabled():
          assert core.cse is not None
          assert look() == before
        assert core.cse is None
        """), overlay=overlay())

  def test_the_toggle_alone(self):
    done = run(*script("""
        import sys
        import jax
        from jax import core
        def fun(t):
          return 0.3 * jax.numpy.sin(t) * t**10
        for _ in range(4):
          fun = lambda t, f=fun: jax.jvp(f, (t,), (1.0,))[1]
        count = lambda: len(jax.make_jaxpr(fun)(1.1).eqns)
        assert core.enable_cse is False
        plain = count()
        assert "jax_cse" not in sys.modules
        for value in (True, "ring", False, True):
          core.enable_cse = value
          assert core.enable_cse is value
          print(value, count(), end="; ")
          wanted = {True: "exact", False: None}.get(value, value)
          assert sys.modules["jax_cse"].active_mode() == wanted
        core.enable_cse = False
        print(plain)
        """), overlay=overlay())
    exact, ring, off, again, plain = (
        int(part.split()[-1]) for part in done.stdout.split(";"))
    self.assertLess(ring, exact)
    self.assertLess(exact, plain / 2)
    self.assertEqual((off, again), (plain, exact))

  def test_the_toggle_of_the_module_inside(self):
    run(*script("""
        import jax
        from jax import lax
        from jax._src import core
        twice = lambda t: lax.sin(t) + lax.sin(t)
        core.enable_cse = True
        assert len(jax.make_jaxpr(twice)(1.0).eqns) == 2
        core.enable_cse = False
        assert len(jax.make_jaxpr(lambda t: twice(t))(1.0).eqns) == 3
        assert core.cse is None
        """), overlay=overlay())

  def test_what_is_no_mode_is_refused(self):
    run(*script("""
        import jax
        from jax._src import core as inside
        for core in (jax.core, inside):
          for before in (False, "ring"):
            core.enable_cse = before
            jax.lax.add(1.0, 2.0)
            try:
              core.enable_cse = 3
              jax.lax.add(1.0, 2.0)
            except ValueError as error:
              message = str(error)
              assert "'exact', 'reassociate', 'ring'" in message, message
              assert "got 3" in message, message
            else:
              assert False
            assert core.enable_cse is before
        """), overlay=overlay())

  def test_the_environment(self):
    text = script("""
        import jax
        from jax import lax
        twice = lambda t: lax.sin(t) + lax.sin(t)
        before = jax.core.enable_cse
        jax.core.enable_cse = True
        print(before, len(jax.make_jaxpr(twice)(1.0).eqns))
        """)
    self.assertEqual(run(*text, overlay=overlay(), JAX_CSE="off").stdout,
                     "False 3\n")
    text = script("""
        import jax, jax_cse
        from jax import lax
        twice = lambda t: lax.sin(t) + lax.sin(t)
        assert jax.core.enable_cse == "exact", jax.core.enable_cse
        assert len(jax.make_jaxpr(twice)(1.0).eqns) == 2
        jax.core.enable_cse = False
        assert len(jax.make_jaxpr(twice)(1.0).eqns) == 3
        """)
    run(*text, overlay=overlay(), JAX_CSE="1")

  def test_an_interrupt_before_the_question(self):
    run(*script("""
        import sys
        import jax
        from jax import lax
        import jax_cse

        def interrupt(frame, event, arg):
          if event == "call" and frame.f_code.co_name == "bind_with_trace" and (
              frame.f_back.f_code.co_name == "plain"):
            sys.setprofile(None)
            raise KeyboardInterrupt

        twice = lambda t: lax.sin(t) + lax.sin(t)
        with jax_cse.enabled():
          sys.setprofile(interrupt)
          try:
            jax.make_jaxpr(lambda t: twice(t))(1.0)
          except KeyboardInterrupt:
            pass
          else:
            assert False
          assert len(jax.make_jaxpr(twice)(1.0).eqns) == 2
        """), overlay=overlay())

  def test_the_last_assignment_holds(self):
    run(*script("""
        from concurrent import futures
        import time
        import jax
        from jax_cse.memo import contexts
        plain = contexts.follow_toggle

        def slow(value):
          plain(value)
          time.sleep(0.2)

        contexts.follow_toggle = slow
        with futures.ThreadPoolExecutor(1) as pool:
          first = pool.submit(setattr, jax.core, "enable_cse", True)
          time.sleep(0.1)
          jax.core.enable_cse = "ring"
          first.result()
        assert jax.core.enable_cse == "ring"
        assert contexts.active_mode() == "ring"
        """), overlay=overlay())

  def test_may_be_mocked(self):
    run(*script("""
        from unittest import mock
        import jax, jax_cse
        with mock.patch.object(jax.core, "enable_cse", True):
          assert jax_cse.active_mode() == "exact"
        assert jax_cse.active_mode() is None
        """), overlay=overlay())

  def test_on_threads(self):
    run(*script("""
        from concurrent import futures
        import jax
        from jax import lax
        twice = lambda t: lax.sin(t) + lax.sin(t)
        count = lambda: len(jax.make_jaxpr(lambda t: twice(t))(1.0).eqns)
        with futures.ThreadPoolExecutor(2) as pool:
          for value, wanted in ((True, 2), (False, 3), (True, 2)):
            jax.core.enable_cse = value
            counts = [pool.submit(count) for _ in range(20)]
            counts = [done.result() for done in counts]
            assert counts == [wanted] * 20, counts
        """), overlay=overlay())


class CommandTest(absltest.TestCase):

  def test_runs_on_the_overlay(self):
    tool = ROOT / "tools" / "patched_jax.py"
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
    tool = ROOT / "tools" / "patched_jax.py"
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
