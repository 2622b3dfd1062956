"""`python -m jax_cse compare` on small programs, each in processes of its own.

What is asserted are counts and plumbing, and no seconds.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

from absl.testing import absltest
from absl.testing import parameterized

NESTED = """
import sys
import jax
from jax import lax
f = lambda t: lax.sin(t) * lax.exp(t)
for _ in range(7):
  f = lambda t, f=f: jax.jvp(f, (t,), (1.0,))[1]

@jax.jit
def seventh(t):
  return f(t)

for i in range(3): seventh(float(i))
print("said", sys.argv[1:])
"""

FLAT = """
import jax
from jax import lax

@jax.jit
def once(x):
  return lax.sin(x) + 1.0

once(1.0)
"""

ENTERS = NESTED.replace("@jax.jit", "import jax_cse\n"
                        "@jax.jit\n@jax_cse.enabled()")

FAILS = """
import jax_cse
if jax_cse.active_mode() == "ring": raise ZeroDivisionError("mine")
"""


class CompareTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.dir = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    for name, text in {"nested": NESTED, "flat": FLAT, "enters": ENTERS,
                       "fails": FAILS}.items():
      (self.dir / f"{name}.py").write_text(text)

  def compare(self, *args, **environment):
    env = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    ran = subprocess.run(
        [sys.executable, "-m", "jax_cse", "compare", "--turns=2",
         "--json=out.json", *args], cwd=self.dir, env=env, capture_output=True,
        text=True, timeout=300)
    out = self.dir / "out.json"
    return ran, json.loads(out.read_text()) if out.exists() else None

  def test_nested_jvp(self):
    ran, read = self.compare("nested.py", "a", "-b", JAX_CSE="")
    self.assertIn(ran.returncode, (0, 1), ran.stderr)
    self.assertEqual(ran.returncode, read["status"])
    self.assertEqual(list(read["ways"]), ["plain", "mode exact", "mode ring"])
    counts = []
    for turns in read["ways"].values():
      self.assertLen(turns, 2)
      for turn in turns:
        (name, function), = turn["functions"].items()
        self.assertStartsWith(name, "seventh:")
        self.assertEqual(function["later calls"], 2)
        self.assertIsNone(function["error"])
        self.assertEqual(turn["ended"], "well")
      counts.append(function["equations"])
    self.assertGreater(counts[0], 5 * counts[1])
    self.assertGreater(counts[0], 5 * counts[2])
    self.assertIn("nested.py:5 computes again", read["line"])
    self.assertIn(read["verdict"]["reason"], ran.stdout)
    self.assertNotIn("said", ran.stdout)
    self.assertIn("run 6 of 6, plain", ran.stderr)

  def test_where_nothing_is_twice(self):
    ran, read = self.compare("--mode", "exact", "-mflat")
    self.assertIn(ran.returncode, (0, 1), ran.stderr)
    self.assertEqual({turns[0]["functions"]["once:5"]["equations"]
                      for turns in read["ways"].values()}, {2})
    self.assertIsNone(read["line"])
    self.assertNotIn("To look at first", ran.stdout)

  def test_the_mode_of_the_environment(self):
    _, read = self.compare("flat.py", JAX_CSE="reassociate")
    self.assertEqual(list(read["ways"]), ["plain", "mode reassociate"])

  def test_as_it_is_written(self):
    _, read = self.compare("enters.py", JAX_CSE="")
    self.assertEqual(list(read["ways"]), ["plain", "as written"])
    plain, written = (
        next(iter(turns[0]["functions"].values()))["equations"]
        for turns in read["ways"].values())
    self.assertGreater(plain, 5 * written)
    self.assertEqual(read["ways"]["plain"][0]["entered"], ["exact"])

  def test_what_fails_in_one_mode(self):
    ran, read = self.compare("--mode=ring", "fails.py")
    self.assertEqual(ran.returncode, 2)
    self.assertEqual(list(read["ways"]), ["plain"])
    self.assertIn("ZeroDivisionError: mine", ran.stdout)
    self.assertIn("without CSE it did not", ran.stdout)

  @parameterized.parameters(
      ("1 / 0", "ZeroDivisionError"),
      ("print('bye'); exit(3)", "SystemExit: 3"),
      ("import os; os._exit(4)", "ended with status 4 before"))
  def test_what_fails_without_cse(self, text, said):
    (self.dir / "bad.py").write_text(text)
    ran, read = self.compare("bad.py")
    self.assertEqual((ran.returncode, read["ways"]), (2, {}))
    self.assertIn("bad.py failed, plain:", ran.stdout)
    self.assertIn(said, ran.stdout)

  def test_no_time_is_saved_by_programs_on_disk(self):
    (self.dir / "keeps.py").write_text(
        "import jax\n"
        f"jax.config.update('jax_compilation_cache_dir', {str(self.dir)!r})\n"
        "jax.config.update('jax_persistent_cache_min_compile_time_secs', 0)\n"
        + FLAT)
    _, read = self.compare("--mode=exact", "keeps.py")
    self.assertEqual([turn["cache_hits"] for turns in read["ways"].values()
                      for turn in turns], [0, 0, 0, 0])
    self.assertEmpty([path for path in self.dir.iterdir() if "once" in str(path)
                      ])

  @parameterized.parameters(
      (("--turns=1", "flat.py"), "--turns must be 2 or more; got 1"),
      (("--turns", "x", "flat.py"), "invalid int value: 'x'"),
      (("--mode=fast", "flat.py"), "'ring'; got 'fast'"),
      (("--json=no/out.json", "flat.py"), "--json: there is no folder 'no'"),
      (("--json=..", "flat.py"), "'..' is a folder"),
      (("none.py",), "there is no script 'none.py'"),
      (("-m", "no.such"), "No module named 'no'"), ((), "SCRIPT"))
  def test_bad_arguments(self, args, message):
    ran, _ = self.compare(*args)
    self.assertEqual(ran.returncode, 2)
    self.assertIn(message, ran.stderr)
    self.assertNotIn("Traceback", ran.stderr)
    self.assertEqual(ran.stdout, "")


if __name__ == "__main__":
  absltest.main()
