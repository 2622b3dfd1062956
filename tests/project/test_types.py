"""What a user's type checker sees: mypy, strict, on a program that says it."""

import os
import pathlib
import re
import subprocess
import sys

from absl.testing import absltest

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = ROOT / "tests" / "programs" / "typed_program.py"
_WANTED = re.compile(r"# error: ([a-z-]+)$")
_FOUND = re.compile(r"^(.+):(\d+): error: .*\[([a-z-]+)\]$", re.MULTILINE)


def refused(program: pathlib.Path) -> list[tuple[str, int, str]]:
  """File, line and code of each error that a user's mypy finds.

  The errors inside of the package are not the user's: mypy keeps them to itself
  where the package is installed, as `--follow-imports=silent` does here.
  """
  found = subprocess.run(
      [sys.executable, "-m", "mypy", "--config-file=", "--strict",
       "--follow-imports=silent", "--no-pretty", "--no-color-output",
       "--show-error-codes", "--hide-error-context",
       f"--cache-dir={ROOT / '.mypy_cache' / 'user'}", str(program)],
      cwd=ROOT, env=os.environ | {"MYPYPATH": str(ROOT)},
      text=True, capture_output=True)
  if found.stderr or found.returncode not in (0, 1):
    raise AssertionError(found.stderr + found.stdout)
  return [(pathlib.Path(file).name, int(line), code)
          for file, line, code in _FOUND.findall(found.stdout)]


class TypesTest(absltest.TestCase):

  def test_a_strict_user_sees_the_types_and_no_errors_but_their_own(self):
    wanted = [(PROGRAM.name, number, match[1]) for number, line in enumerate(
        PROGRAM.read_text().splitlines(), 1) if (match := _WANTED.search(line))]
    self.assertGreater(len(wanted), 10)
    self.assertEqual(refused(PROGRAM), wanted)


if __name__ == "__main__":
  absltest.main()
