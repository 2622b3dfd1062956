"""The lines of a program around what was found, each with its findings."""

from collections.abc import Iterable, Sequence
import linecache
from typing import NamedTuple

from jax_cse.findings.redundancy_report import Finding

AROUND = 3


class Row(NamedTuple):
  """A line.

  Attributes:
    number: from 1 on.
    text: without the line's end.
    again: numbers of the findings that compute again here.
    before: numbers of the findings that repeat what is computed here.
  """
  number: int
  text: str
  again: tuple[int, ...]
  before: tuple[int, ...]

  @property
  def findings(self) -> tuple[int, ...]:
    return tuple(sorted({*self.again, *self.before}))


class File(NamedTuple):
  """Runs of lines of a file, in order."""
  path: str
  runs: Sequence[Sequence[Row]]

  @property
  def name(self) -> str:
    """The path as it is imported, if it is installed."""
    return self.path.rpartition("/site-packages/")[2]


def listing(findings: Iterable[Finding], around: int = AROUND) -> list[File]:
  """The lines of some findings, file by file; the numbers start at 1.

  Args:
    findings: in the order of their numbers.
    around: how many lines to show above and below each.

  Returns:
    The files in the order in which findings name them first. A line that cannot
    be read is left out.
  """
  marks: dict[str, dict[int, tuple[set[int], set[int]]]] = {}
  for number, finding in enumerate(findings, start=1):
    for which, line in enumerate((finding.line, finding.first)):
      if line is not None:
        marks.setdefault(line.file, {}).setdefault(
            line.number, (set(), set()))[which].add(number)
  files = []
  for path, of_line in marks.items():
    wanted = sorted({n for m in of_line
                     for n in range(m - around, m + around + 1)})
    runs: list[list[Row]] = []
    for n in wanted:
      text = linecache.getline(path, n) if n > 0 else ""
      if not text:
        continue
      again, before = (tuple(sorted(x)) for x in of_line.get(n, ((), ())))
      if not runs or runs[-1][-1].number != n - 1:
        runs.append([])
      runs[-1].append(Row(n, text.rstrip("\n"), again, before))
    files.append(File(path, runs))
  return files
