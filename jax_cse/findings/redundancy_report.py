"""What `redundancy` found, as a table in a terminal and in a notebook."""

from collections import Counter
from collections.abc import Sequence
import html
import linecache
import pathlib
import textwrap
from typing import NamedTuple

UNKNOWN = "a line that is not known"
WHOLE = "the function as a whole"


class Line(NamedTuple):
  """A line of the user's program.

  Attributes:
    file: its path.
    number: of the line, from 1 on.
    function: the function that it is in.
  """
  file: str
  number: int
  function: str

  def __str__(self) -> str:
    return f"{pathlib.Path(self.file).name}:{self.number}"

  @property
  def text(self) -> str:
    """The line itself; empty if there is no such file any more."""
    return linecache.getline(self.file, self.number).strip()


class Finding(NamedTuple):
  """One line that computes again what another computed.

  Attributes:
    line: the line; None if it is not the user's.
    first: where that was computed before; None if it was given or the line is
      not the user's.
    primitives: name of a primitive to how many equations.
    equations: how many in all, those inside of calls and loops as well.
    flops: floating-point operations. A multiplication and an addition in a
      product of matrices are two, a step of a `while` counts once, and of the
      branches of a `cond` the one that has most.
    nbytes: of the results, in bytes.
    reason: why it is not merged; None if it is.
    is_given: whether an operand or a constant has that value already.
  """
  line: Line | None
  first: Line | None
  primitives: Counter[str]
  equations: int
  flops: int
  nbytes: int
  reason: str | None = None
  is_given: bool = False


class Advice(NamedTuple):
  """A change that pays: the other program was made and counted.

  What is saved is relative to what is left of the program when duplicates are
  merged, so it comes on top of the findings.

  Attributes:
    line: where the change is; None if it is the function as a whole.
    seen: what is there.
    write: what to write instead.
    equations: how many fewer there are then; negative if there are more.
    flops: how many fewer; by XLA's count of the compiled programs, or by this
      package's, as in a `Finding`, if nothing was compiled or there are loops,
      of which XLA counts one step.
    share: the same as a part of the flops.
  """
  line: Line | None
  seen: str
  write: str
  equations: int
  flops: int
  share: float


class Redundancy(NamedTuple):
  """A report; prints as a table, and shows as one in a notebook.

  Attributes:
    name: of the function.
    mode: what counted as the same.
    findings: what is merged, the dearest first.
    not_merged: what would be merged, and the reason why it is not.
    plain: equations of the function on which its results depend, inner ones
      included.
    merged: the same with CSE.
    flops: by XLA's count, transcendentals included, of the program as it is
      traced; after XLA merged what it merges itself; and after it compiled what
      CSE leaves. None for what XLA does not say or was not asked.
    unread: equations as traced on which no result depends. Nobody computes
      them, with CSE or without.
    advice: changes that pay, that which saves most first.
  """
  name: str
  mode: str
  findings: Sequence[Finding]
  not_merged: Sequence[Finding]
  plain: int
  merged: int
  flops: tuple[float | None, float | None, float | None]
  unread: int = 0
  advice: Sequence[Advice] = ()

  def _summary(self) -> list[str]:
    lines = [(f"{self.name}, mode {self.mode!r}: {self.plain:,} equations, "
              f"{self.merged:,} with CSE")]
    if self.unread:
      lines[0] += f"; {self.unread:,} more that nothing reads"
    if None not in self.flops:
      traced, compiled, merged = (f"{x:,.0f}" for x in self.flops)
      lines.append(f"flops by XLA's count: {traced} as traced, {compiled} "
                   f"compiled, {merged} with CSE before that")
    return lines

  def __str__(self) -> str:
    lines = self._summary()
    if self.findings:
      lines.append(_row("equations", "flops", "bytes", "computed again"))
    for finding in self.findings:
      lines += _lines(finding)
    if self.not_merged:
      lines.append("not merged:")
    for finding in self.not_merged:
      lines += _lines(finding)
    if self.advice:
      lines += ["what would pay:", _row("equations", "flops", "",
                                        "saved, over what is left")]
    for advice in self.advice:
      lines += _advised(advice)
    return "\n".join(lines)

  def __repr__(self) -> str:
    return str(self)

  def _repr_html_(self) -> str:
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in _cells(finding))
            for finding in (*self.findings, *self.not_merged)]
    head = "".join(f"<th>{name}</th>" for name in (
        "equations", "flops", "bytes", "computed again", "computed before",
        "primitives", "not merged since it"))
    return ("".join(f"<p>{html.escape(line)}</p>" for line in self._summary())
            + f"<table><thead><tr>{head}</tr></thead><tbody>"
            + "".join(f"<tr>{row}</tr>" for row in rows) + "</tbody></table>"
            + self._advice_as_html())

  def _advice_as_html(self) -> str:
    if not self.advice:
      return ""
    head = "".join(f"<th>{name}</th>" for name in (
        "equations saved", "flops saved", "share", "line", "seen", "write"))
    rows = ["".join(f"<td>{html.escape(cell)}</td>" for cell in (
        *_saved(advice), described(advice.line, WHOLE), advice.seen,
        advice.write)) for advice in self.advice]
    return (f"<p>What would pay:</p><table><thead><tr>{head}</tr></thead>"
            "<tbody>" + "".join(f"<tr>{row}</tr>" for row in rows)
            + "</tbody></table>")


def _cells(finding: Finding) -> list[str]:
  """A row of the table."""
  return [*(f"{n:,}" for n in (finding.equations, finding.flops,
                               finding.nbytes)),
          described(finding.line),
          "what it was given" if finding.is_given else
          described(finding.first),
          ", ".join(f"{name} {n}" if n > 1 else name
                    for name, n in finding.primitives.most_common()),
          finding.reason or ""]


def _lines(finding: Finding) -> list[str]:
  """The same for a terminal, below each other."""
  equations, flops, nbytes, again, before, primitives, reason = _cells(finding)
  if not finding.is_given:
    before = f"what was computed at {before}"
  lines = [_row(equations, flops, nbytes, f"{again}  ({primitives})"),
           _row("", "", "", f"again {before}")]
  return lines + [_row("", "", "", f"since it {reason}")] * bool(reason)


def _advised(advice: Advice) -> list[str]:
  return [_row(*_saved(advice), described(advice.line, WHOLE)),
          _row("", "", "", advice.seen),
          _row("", "", "", f"write {advice.write}")]


def _saved(advice: Advice) -> tuple[str, str, str]:
  return (f"{advice.equations:,}", f"{advice.flops:,}", f"{advice.share:.0%}")


def _row(equations: str, flops: str, nbytes: str, text: str) -> str:
  return f"{equations:>10}{flops:>12}{nbytes:>12}  {text}"


def described(line: Line | None, otherwise: str = UNKNOWN) -> str:
  """A line and its text, or what is said in its place."""
  if line is None:
    return otherwise
  return f"{line}  {textwrap.shorten(line.text, 60, placeholder=' ...')}"
