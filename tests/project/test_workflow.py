"""The workflow of the public forge runs what is run here, where it is run."""

import pathlib
import re
import subprocess
import sys
import tempfile

from absl.testing import absltest
import yaml

from jax_cse.foundation.releases import RELEASES

ROOT = pathlib.Path(__file__).parents[2]
WORKFLOW = ROOT / ".github" / "workflows" / "ci.yml"


def complaints(workflow: str) -> str:
  """What the forge's schema of workflows finds wrong with one; empty if
  nothing."""
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / "ci.yml"
    path.write_text(workflow)
    done = subprocess.run(
        [sys.executable, "-m", "check_jsonschema", "--builtin-schema",
         "vendor.github-workflows", str(path)], capture_output=True, text=True)
  return done.stdout + done.stderr if done.returncode else ""


def found(pattern: str, file: str) -> list[str]:
  return re.findall(pattern, (ROOT / file).read_text())


class WorkflowTest(absltest.TestCase):

  def setUp(self):
    super().setUp()
    self.text = WORKFLOW.read_text()
    self.workflow = yaml.safe_load(self.text)
    self.job = self.workflow["jobs"]["test"]
    self.core = self.workflow["jobs"]["core"]

  def test_it_is_a_workflow(self):
    self.assertEqual(complaints(self.text), "")
    self.assertIn("run-on", complaints(self.text.replace("runs-on", "run-on")))

  def test_its_pythons_are_those_that_are_supported(self):
    pythons = self.job["strategy"]["matrix"]["python"]
    self.assertEqual(pythons, [release.python for release in RELEASES
                               if release.suite == "whole"])
    self.assertEqual(
        pythons, found(r'"Programming Language :: Python :: (3\.\d+)"',
                       "setup.py"))
    self.assertEqual(found(r'python_requires=">=(.+)"', "setup.py"),
                     pythons[:1])

  def test_each_job_runs_the_tests_on_its_python(self):
    step, = (step for step in self.job["steps"] if "run" in step)
    self.assertEqual(step["run"], "tools/test")
    self.assertEqual(step["env"], {"PYTHON": "python${{ matrix.python }}"})

  def test_the_core_runs_on_every_other_release(self):
    self.assertEqual(
        self.core["strategy"]["matrix"]["include"],
        [{"jax": release.jax, "python": release.python} for release in RELEASES
         if release.suite == "core"] + [{"jax": "newer", "python": "3.13"}])
    *_, step = self.core["steps"]
    self.assertIn("nox", step["run"])

  def test_it_may_do_no_more_than_read(self):
    self.assertEqual(self.workflow["permissions"], {"contents": "read"})
    self.assertNotIn("permissions", self.job | self.core)
    self.assertNotIn("secrets", self.text)

  def test_actions_are_those_of_the_forge_by_major_version(self):
    for step in self.job["steps"] + self.core["steps"]:
      if "uses" in step:
        self.assertRegex(step["uses"], r"^actions/[a-z-]+@v\d+$")


if __name__ == "__main__":
  absltest.main()
