"""`python -m jax_cse compare` on small programs, each in processes of its own.

What is asserted are counts and plumbing, and no seconds.
"""

import contextlib
import io
import json
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

import jax_cse
from jax_cse import __main__ as command_line

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

THREADS = """
import atexit, threading, time
import jax
from jax import lax

@jax.jit
def late(x):
  return lax.sin(x) + 1.0

@jax.jit
def last(x):
  return lax.cos(x) + 1.0

def work():
  time.sleep(1)
  late(1.0)
  late(2.0)

threading.Thread(target=work).start()
atexit.register(lambda: last(1.0))
"""

TWO = """
import jax, jax.numpy as jnp, jax_cse
def loss(w):
  u = lambda x: jnp.sum(jnp.tanh(w * x) * w)
  return jax.grad(jax.grad(jax.grad(u)))(1.0)**2
step = jax.grad(loss)
jax.jit(step)(jnp.ones(3))
print(len(jax_cse.redundancy(step)(jnp.ones(3)).advice))
"""

FAILS = """
import jax_cse
if jax_cse.active_mode() == "ring": raise ZeroDivisionError("mine")
"""


class CompareTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.dir = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    for name, text in {"nested": NESTED, "flat": FLAT, "enters": ENTERS,
                       "fails": FAILS, "threads": THREADS, "two": TWO}.items():
      (self.dir / f"{name}.py").write_text(text)

  def compare(self, *args, python=(), **environment):
    env = {**os.environ, "JAX_PLATFORMS": "cpu", **environment}
    ran = subprocess.run(
        [sys.executable, *python, "-m", "jax_cse", "compare", "--turns=2",
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
    self.assertNotIn("Where most is computed again", ran.stdout)

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

  def test_threads_and_what_is_called_at_exit(self):
    _, read = self.compare("--mode=exact", "threads.py")
    for turns in read["ways"].values():
      for turn in turns:
        calls = {name: (f["later calls"], f["equations"])
                 for name, f in turn["functions"].items()}
        self.assertEqual(calls, {"late:6": (1, 2), "last:10": (0, 2)})

  def test_what_is_left_in_the_background_is_not_waited_for(self):
    (self.dir / "leaves.py").write_text(
        "import subprocess, sys\n"
        "subprocess.Popen([sys.executable, '-c', 'import time; "
        "print(\"up\", flush=True); time.sleep(600)'])\n" + FLAT)
    _, read = self.compare("--mode=exact", "leaves.py")   # or it takes too long
    self.assertEqual([turn["ended"] for turns in read["ways"].values()
                      for turn in turns], 4 * ["well"])

  def test_what_ends_well_at_once(self):
    (self.dir / "at_once.py").write_text(
        FLAT + "import os\nif not os.fork(): os._exit(0)\nos._exit(0)")
    ran, read = self.compare("--mode=exact", "at_once.py")
    self.assertIn(ran.returncode, (0, 1), ran.stdout)
    self.assertEqual(read["ways"]["plain"][0]["functions"]["once:5"][
        "equations"], 2)

  def test_the_options_of_python(self):
    (self.dir / "asked.py").write_text(
        FLAT + "import sys\nassert sys.path[0] not in ('', sys.argv[0])\n"
        "import os\n"
        "if __debug__ or os.getcwd() in sys.path: raise ZeroDivisionError")
    folder = str(pathlib.Path(jax_cse.__file__).parents[1])
    ran, _ = self.compare("--mode=exact", "asked.py", python=("-O", "-P"),
                          PYTHONPATH=folder)
    self.assertIn(ran.returncode, (0, 1), ran.stdout + ran.stderr)

  def test_what_a_report_enters(self):
    _, read = self.compare("two.py", JAX_CSE="")
    self.assertEqual(list(read["ways"]), ["plain", "mode exact", "mode ring"])
    self.assertEqual(read["ways"]["plain"][0]["entered"], [])
    advice = read["ways"]["plain"][0]["advice"]
    self.assertIn('write @jax_cse.enabled("ring") on the step',
                  advice["exact"])
    self.assertIsNone(advice["ring"])

  def test_letters_that_cannot_be_printed(self):
    (self.dir / "greek.py").write_text(
        NESTED.replace("seventh", "\N{GREEK SMALL LETTER PSI}"),
        encoding="utf-8")
    ran, read = self.compare("--mode=exact", "greek.py",
                             PYTHONIOENCODING="ascii")
    self.assertIn(ran.returncode, (0, 1), ran.stderr)
    self.assertIn("\\u03c8:9, 2 calls after the first", ran.stdout)
    self.assertIn("\N{GREEK SMALL LETTER PSI}:9",
                  read["ways"]["plain"][0]["functions"])

  def test_figures_that_cannot_be_written(self):
    ran, _ = self.compare("--mode=exact", "--json=/dev/full", "flat.py")
    self.assertEqual(ran.returncode, 2)
    self.assertIn("flat.py, 2 turns", ran.stdout)
    self.assertIn("jax_cse: --json: [Errno 28]", ran.stderr)
    self.assertNotIn("Traceback", ran.stderr)

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
      (("--turn", "2", "flat.py"), "unrecognized arguments: --turn"),
      (("none.py",), "there is no script 'none.py'"),
      (("-m", "no.such"), "No module named 'no'"), ((), "SCRIPT"))
  def test_bad_arguments(self, args, message):
    ran, _ = self.compare(*args)
    self.assertEqual(ran.returncode, 2)
    self.assertIn(message, ran.stderr)
    self.assertNotIn("Traceback", ran.stderr)
    self.assertEqual(ran.stdout, "")

  def test_figures_that_nobody_may_write(self):
    out, said = str(self.dir / "out.json"), io.StringIO()
    with (mock.patch.object(os, "access", return_value=False),
          contextlib.redirect_stderr(said), self.assertRaises(SystemExit)):
      command_line.main(["compare", "--json", out, str(self.dir / "flat.py")])
    self.assertIn(f"--json: {out!r} cannot be written", said.getvalue())


if __name__ == "__main__":
  absltest.main()
