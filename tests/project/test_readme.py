"""The examples of the README and of docs/ give the output that stands there."""

import doctest
import os
import pathlib
import re
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized

ROOT = pathlib.Path(__file__).parents[2]
SCRIPTS = ROOT / "docs" / "scripts"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md",
         *sorted((ROOT / "docs").glob("*.md"))]
_FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
# Commands that begin with `$` in a block of `console`, and what they print.
_CONSOLE = re.compile(r"^```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
_COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


def doctests(text: str, name: str) -> doctest.DocTest:
  """The examples of a page, in one session of Python."""
  # A fence would be taken for the last line of the output.
  text = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
  return doctest.DocTestParser().get_doctest(text, {}, name, name, 0)


def failures(test: doctest.DocTest) -> str:
  """What the examples that fail gave; empty if none fail."""
  report: list[str] = []
  runner = doctest.DocTestRunner(verbose=False, optionflags=_FLAGS)
  runner.run(test, out=report.append)
  return "".join(report)


def commands(text: str) -> list[tuple[str, str]]:
  return [pair for block in _CONSOLE.findall(text)
          for pair in _COMMAND.findall(block)]


def run(command: str) -> str:
  """What a command prints, with the Python that runs this."""
  path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
  ran = subprocess.run(
      command, shell=True, cwd=SCRIPTS, text=True, stdout=subprocess.PIPE,
      stderr=subprocess.STDOUT, env={**os.environ, "PATH": path,
                               "PYTHONUNBUFFERED": "1"})
  return ran.stdout


class PagesTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    sys.path.insert(0, str(SCRIPTS))
    self.addCleanup(sys.path.remove, str(SCRIPTS))

  @parameterized.named_parameters((page.name, page) for page in PAGES)
  def test_examples(self, page):
    self.assertEqual(failures(doctests(page.read_text(), page.name)), "")

  @parameterized.named_parameters((page.name, page) for page in PAGES)
  def test_commands(self, page):
    for command, wanted in commands(page.read_text()):
      got = run(command)
      self.assertTrue(
          doctest.OutputChecker().check_output(wanted, got, _FLAGS),
          f"{command}\nwanted:\n{wanted}\ngot:\n{got}")

  def test_the_readme_is_read_in_a_minute(self):
    self.assertLess(len((ROOT / "README.md").read_text().splitlines()), 150)

  def test_pages_that_teach_have_examples(self):
    for name in ("README.md", "docs/tutorial.md", "docs/how_it_works.md"):
      text = (ROOT / name).read_text()
      self.assertNotEmpty(doctests(text, name).examples, name)
    self.assertNotEmpty(commands((ROOT / "docs/tutorial.md").read_text()))

  def test_an_example_that_is_wrong_fails(self):
    self.assertIn("Got:\n    2", failures(doctests(
        "```pycon\n>>> 1 + 1\n3\n```\n", "a page")))
    (command, wanted), = commands("```console\n$ echo a\nb\n```\n")
    self.assertEqual((run(command), wanted), ("a\n", "b\n"))


if __name__ == "__main__":
  absltest.main()
