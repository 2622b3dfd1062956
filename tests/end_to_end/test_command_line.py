"""The command line and the pytest plugin, each in a process of its own."""

import contextlib
import io
import os
import pathlib
import subprocess
import sys
import tempfile
from unittest import mock

from absl.testing import absltest
from absl.testing import parameterized

from jax_cse import __main__ as command_line

SCRIPT = """
import sys
import jax, jax_cse
from jax import lax
f = lambda x: (lax.sin(x), lax.sin(x))
print(__name__, sys.argv[1:], jax_cse.active_mode(),
      len(jax.make_jaxpr(lambda x: f(x))(1.0).eqns))
if "fail" in sys.argv: raise ZeroDivisionError("mine")
"""

JITTED = """
import os, sys
import jax
from jax import lax
jax.jit(lambda x: (lax.sin(x), lax.sin(x)))(1.0)
if "fail" in sys.argv: raise ZeroDivisionError("mine")
if "exit" in sys.argv: sys.exit(3)
if "leave" in sys.argv: os.chdir("/")
"""

TEST = """
import jax, jax_cse
from jax import lax
def test_mode():
  f = lambda x: (lax.sin(x), lax.sin(x))
  print(jax_cse.active_mode(), len(jax.make_jaxpr(lambda x: f(x))(1.0).eqns))
"""

class CommandLineTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.dir = pathlib.Path(self.enter_context(tempfile.TemporaryDirectory()))
    (self.dir / "script.py").write_text(SCRIPT)
    (self.dir / "jitted.py").write_text(JITTED)
    (self.dir / "test_it.py").write_text(TEST)
    (self.dir / "scripts").mkdir()
    (self.dir / "scripts" / "__init__.py").touch()
    (self.dir / "neighbour.py").write_text("NAME = '__train__'")

  def python(self, *args, **environment):
    env = {**os.environ, "JAX_PLATFORMS": "cpu", "MPLBACKEND": "agg",
           **environment}
    return subprocess.run([sys.executable, *args], cwd=self.dir, env=env,
                          capture_output=True, text=True, timeout=300)

  @parameterized.parameters(
      (("script.py", "a", "-b"), {}, "__main__ ['a', '-b'] exact 1\n"),
      (("--mode", "exact", "script.py"), {}, "__main__ [] exact 1\n"),
      (("-m", "script", "--stats"), {}, "__main__ ['--stats'] exact 1\n"),
      (("-mscript", "--stats"), {}, "__main__ ['--stats'] exact 1\n"),
      (("--mode", "ring", "-mscript"), {}, "__main__ [] ring 1\n"),
      (("script.py", "--", "--mode", "-m"), {},
       "__main__ ['--', '--mode', '-m'] exact 1\n"),
      (("--mode=exact", "--stats", "script.py"), {}, "__main__ [] exact 1\n"),
      (("script.py",), {"JAX_CSE": "off"}, "__main__ [] None 2\n"))
  def test_run(self, args, environment, expected):
    run = self.python("-m", "jax_cse", "run", *args, **environment)
    self.assertEqual(run.stdout, expected, run.stderr)
    self.assertEqual(run.returncode, 0)

  def test_statistics_also_when_the_script_fails(self):
    run = self.python("-m", "jax_cse", "run", "--stats", "script.py", "fail")
    self.assertEqual(run.returncode, 1)
    self.assertIn("ZeroDivisionError: mine", run.stderr)
    self.assertRegex(run.stderr, r"sin +1 +1 +0 +0")

  @parameterized.parameters(
      (("jitted.py",), 0, "ended well"),
      (("-m", "jitted", "leave"), 0, "ended well"),
      (("jitted.py", "fail"), 1, "ended with ZeroDivisionError: mine"),
      (("jitted.py", "exit"), 3, "ended with exit status 3"))
  def test_report(self, args, code, outcome):
    run = self.python("-m", "jax_cse", "run", "--report", "out.html", *args)
    self.assertEqual(run.returncode, code, run.stderr)
    self.assertIn("jax_cse: looking at <lambda> (1/1)", run.stderr)
    page = (self.dir / "out.html").read_text()
    self.assertIn(outcome, page)
    self.assertIn("jax.jit(lambda x: (lax.sin(x), lax.sin(x)))(1.0)", page)
    self.assertIn("run --mode exact --report out.html", page)

  def test_report_where_jax_cse_is_off(self):
    run = self.python("-m", "jax_cse", "run", "--mode=ring", "--stats",
                      "--report=out.html", "script.py", JAX_CSE="off")
    self.assertEqual(run.returncode, 0, run.stderr)
    self.assertIn("__main__ [] None 2", run.stdout)
    page = (self.dir / "out.html").read_text()
    self.assertIn("CSE was off", page)
    self.assertIn("<dd>ring</dd>", page)

  def test_report_without_what_it_needs(self):
    run = self.python("-c", """
import sys
sys.modules["igraph"] = None
from jax_cse.__main__ import main
main(["run", "--report", "out.html", "script.py"])
""")
    self.assertEqual((run.returncode, run.stdout), (2, ""))
    self.assertIn("--report needs igraph; to install what it needs: pip "
                  "install 'jax_cse[report]'", run.stderr)

  @parameterized.parameters(
      (("run", "--report", "no/out.html", "script.py"),
       "--report: there is no folder 'no'"),
      (("run", "--report", "..", "script.py"), "'..' is a folder"),
      (("run", "--report", "script.py"), "SCRIPT"),
      (("run", "--report", "script.py", "jitted.py"),
       "--report must end in .html or .htm; got 'script.py'"),
      (("run", "--mode", "fast", "script.py"), "'ring'; got 'fast'"),
      (("run", "--mod", "exact", "script.py"),
       "unrecognized arguments: --mod"),
      (("run",), "SCRIPT"),
      (("run", "none.py"), "there is no script 'none.py'"),
      (("run", "-m"), "SCRIPT"),
      (("run", "-m", "none"), "No module named none"),
      (("run", "-m", "no.such"), "No module named 'no'"),
      (("run", "-mscripts"), "cannot be directly executed"),
      (("run", "scripts"), "can't find '__main__' module in 'scripts'"),
      (("blowup", "--order", "0"), "1 or more; got 0"),
      (("blowup", "--order", "x"), "invalid int value: 'x'"))
  def test_bad_arguments(self, args, message):
    run = self.python("-m", "jax_cse", *args)
    self.assertEqual(run.returncode, 2)
    self.assertIn(message, run.stderr)
    self.assertNotIn("Traceback", run.stderr)
    self.assertEqual(run.stdout, "")
    self.assertEqual((self.dir / "script.py").read_text(), SCRIPT)

  @parameterized.parameters("import missing_of_mine",
                            "import runpy; runpy.run_module('missing_of_mine')")
  def test_what_the_program_does_not_find(self, text):
    (self.dir / "mine.py").write_text(text)
    (self.dir / "scripts" / "__init__.py").write_text(text)
    for args in (("mine.py",), ("-m", "mine"), ("-m", "scripts.mine")):
      run = self.python("-m", "jax_cse", "run", *args)
      self.assertEqual(run.returncode, 1)
      self.assertIn("Traceback", run.stderr)
      self.assertRegex(run.stderr, "No module named '?missing_of_mine")

  def test_a_report_that_cannot_be_written(self):
    said = io.StringIO()
    out = str(self.dir / "out.html")
    with contextlib.redirect_stderr(said), self.assertRaises(
        SystemExit), mock.patch("os.access", return_value=False):
      command_line.main(["run", "--report", out, str(self.dir / "script.py")])
    self.assertIn(f"--report: {out!r} cannot be written", said.getvalue())

  def test_blowup(self):
    run = self.python("-m", "jax_cse", "blowup", "--order", "3",
                      "--out", "b.png")
    self.assertEqual(run.returncode, 0, run.stderr)
    rows = [line.split("|") for line in run.stdout.splitlines()
            if line.count("|") == 3 and line.split("|")[0].strip().isdigit()]
    self.assertEqual([row[1].split() for row in rows],
                     [["13", "11", "68"], ["39", "18", "140"],
                      ["110", "28", "234"]])
    self.assertTrue((self.dir / "b.png").read_bytes().startswith(b"\x89PNG"))
    self.assertIn("9/9", run.stderr)

  @parameterized.parameters(
      ((), {}, "None 2"), (("--jax-cse=off",), {}, "None 2"),
      (("--jax-cse=0",), {"JAX_CSE": "1"}, "None 2"),
      (("--jax-cse=exact",), {"JAX_CSE": "off"}, "None 2"),
      (("--jax-cse=1",), {}, "exact 1"), (("--jax-cse=exact",), {}, "exact 1"))
  def test_plugin(self, args, environment, expected):
    run = self.python("-m", "pytest", "-q", "-s", *args, **environment)
    self.assertIn(expected, run.stdout)
    self.assertEqual(run.returncode, 0, run.stdout)
    self.assertEqual("jax_cse exact: 1 hits, 1 misses" in run.stdout,
                     expected == "exact 1")

  def test_plugin_with_workers(self):
    (self.dir / "test_more.py").write_text(TEST)
    for test, code in (("", 0), ("import os\ndef test(): os._exit(1)", 1)):
      (self.dir / "test_crash.py").write_text(test)
      run = self.python("-m", "pytest", "-q", "-n2", "--jax-cse=exact")
      self.assertEqual(run.returncode, code, run.stdout)
      self.assertNotIn("INTERNALERROR", run.stdout + run.stderr)
      if code:
        self.assertRegex(run.stdout, r"\njax_cse exact: \d hits")
      else:
        self.assertIn("jax_cse exact: 2 hits, 2 misses", run.stdout)

  def test_plugin_with_a_bad_mode(self):
    run = self.python("-m", "pytest", "-q", "--jax-cse=fast")
    self.assertEqual(run.returncode, 4)
    self.assertIn("ring; got 'fast'", run.stdout + run.stderr)

  def test_plugin_imports_nothing_without_the_option(self):
    (self.dir / "test_it.py").write_text(
        "import sys\ndef test(): assert not {'jax', 'jax_cse'} & "
        "sys.modules.keys()")
    run = self.python("-m", "pytest", "-q")
    self.assertEqual(run.returncode, 0, run.stdout)

  def test_plugin_after_a_test_that_leaves_a_context_open(self):
    (self.dir / "test_it.py").write_text(
        "import jax_cse\ndef test(): jax_cse.disabled().__enter__()")
    run = self.python("-m", "pytest", "-q", "--jax-cse=exact")
    self.assertEqual(run.returncode, 0, run.stdout + run.stderr)


if __name__ == "__main__":
  absltest.main()
