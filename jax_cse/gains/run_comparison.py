"""`python -m jax_cse compare`: a program without CSE and with it, in turns.

Each run is a process of its own, which `measured_run` measures. All have the
same environment but for `JAX_CSE`, the same options of Python, and no compiled
programs from disk. The last lines that it prints are shown if it fails.
"""

import collections
from collections.abc import Iterator, Mapping, Sequence
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from typing import NamedTuple

from jax_cse.foundation import modes
from jax_cse.gains import gain
from jax_cse.gains.measured_run import Figures, Settings
from jax_cse.report import running

PLAIN, AS_WRITTEN = "plain", "as written"
# Which of them a program gains by is not known before: a training step with
# derivatives in its loss does in mode "ring" only, nested `jvp` in both.
MODES = ("exact", "ring")
# Lines of what a program printed that are shown if it fails.
_TAIL = 30


class Failure(NamedTuple):
  """How a program failed in one way: the last lines that it printed."""
  way: str
  output: str


class Compared(NamedTuple):
  """What was measured.

  Attributes:
    program: its name.
    turns: how often it ran in each way.
    ways: "plain" first: the figures of each turn.
    failures: ways that failed, which are not among the others.
    verdict: None if there is nothing to compare.
    mode: of the best way, the one that merges most if it enters several.
    line: where most is computed again in that mode, as text; or None.
    advice: what would pay most in that mode, as text; or None.
  """
  program: str
  turns: int
  ways: Mapping[str, Sequence[Figures]]
  failures: Sequence[Failure]
  verdict: gain.Verdict | None
  mode: str | None = None
  line: str | None = None
  advice: str | None = None

  @property
  def status(self) -> int:
    """Of the process: 0 if CSE is worth it or indifferent, 1 if it is not, 2 if
    the program failed without it or in each way with it."""
    if self.verdict is None:
      return 2
    return int(self.verdict.word == gain.LEAVE_OFF)

  def json(self) -> str:
    return json.dumps({
        **self._asdict(), "status": self.status,
        "ways": {way: [figures._asdict() for figures in turns]
                 for way, turns in self.ways.items()},
        "failures": [failure._asdict() for failure in self.failures],
        "verdict": self.verdict and self.verdict._asdict()}, indent=1)


def compare(program: str, args: Sequence[str], is_module: bool,
            mode: str | None, turns: int) -> Compared:
  """Runs a program in turns, plain and in a mode.

  Without a mode those of `MODES` are tried; or, if the program enters
  `enabled()` by itself, it runs as it is written.

  Raises:
    NoProgram: there is none of that name.
  """
  tried = [mode] if mode else list(MODES)
  settings = Settings("", program, is_module, tried)
  measured: dict[str, list[Figures]] = {}
  failures: dict[str, Failure] = {}
  began = time.monotonic()
  for number, (way, total) in enumerate(
      _turns(tried, mode is None, turns, measured)):
    if way in failures:
      continue
    print(f"jax_cse: run {number + 1}{f' of {total}' if total else ''}, {way} "
          f"({time.monotonic() - began:.0f} s so far)", file=sys.stderr,
          flush=True)
    figures, output = _run(settings._replace(
        modes=[] if number else tried), args, way)
    if figures.ended == "well":
      measured.setdefault(way, []).append(figures)
    elif figures.ended.startswith("no program: "):
      raise running.NoProgram(figures.ended.removeprefix("no program: "))
    else:
      failures[way] = Failure(way, output)
      measured.pop(way, None)
      if way == PLAIN:
        break
  return _compared(program, turns, measured, list(failures.values()))


def _turns(tried: Sequence[str], is_open: bool, turns: int,
           measured: Mapping[str, Sequence[Figures]]
           ) -> Iterator[tuple[str, int]]:
  """The ways, in this order and in the other by turns, each with the number of
  all; that depends on what was measured in the first."""
  ways = [PLAIN, *map(_way, tried)]
  yield PLAIN, 0 if is_open else turns * len(ways)
  if is_open and measured.get(PLAIN, ()) and measured[PLAIN][0].entered:
    ways[1:] = [AS_WRITTEN]
  for turn in range(turns):
    for way in (reversed(ways) if turn % 2 else ways):
      if turn or way != PLAIN:
        yield way, turns * len(ways)


def _way(mode: str) -> str:
  return f"mode {mode}"


def _run(settings: Settings, args: Sequence[str], way: str
         ) -> tuple[Figures, str]:
  """What a run measured, and the last lines that it printed."""
  environment = {
      **os.environ,
      modes.VARIABLE: {PLAIN: "off", AS_WRITTEN: ""}.get(
          way, way.removeprefix("mode ")),
      # A program that is found on disk takes no time to compile.
      "JAX_ENABLE_COMPILATION_CACHE": "false"}
  # What the program leaves in the background may print to the end of its days.
  with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
    out, printed = pathlib.Path(folder, "figures"), pathlib.Path(folder, "log")
    with printed.open("wb") as log:
      ran = subprocess.run(
          [sys.executable, *_options(), "-m", f"{__package__}.measured_run",
           json.dumps(settings._replace(out=str(out))._asdict()), *args],
          env=environment, stdin=subprocess.DEVNULL, stdout=log,
          stderr=subprocess.STDOUT)
    if out.exists():
      return Figures(**json.loads(out.read_text())), _end(printed)
    return Figures("failed", {}, 0.0, {}, [], 0, {}, {}), (
        f"{_end(printed)}\nended with status {ran.returncode} before it could "
        "be measured")


def _options() -> list[str]:
  """Those that this Python was started with, such as -O, as for its own
  processes of `multiprocessing`."""
  return subprocess._args_from_interpreter_flags()   # type: ignore[attr-defined]


def _end(file: pathlib.Path) -> str:
  with file.open(errors="replace") as lines:
    return "".join(collections.deque(lines, _TAIL)).rstrip("\n")


def _compared(program, turns, measured, failures):
  if PLAIN not in measured or len(measured) == 1:
    return Compared(program, turns, measured, failures, None)
  plain, *others = (_way_of(name, all_) for name, all_ in measured.items())
  verdict = gain.judge(plain, others)
  first = measured[PLAIN][0]
  mode = _mode(verdict.way, first.entered)
  return Compared(program, turns, measured, failures, verdict, mode,
                  first.lines.get(mode), first.advice.get(mode))


def _mode(way: str, entered: Sequence[str]) -> str:
  """That which merges most of those in which a way runs."""
  own = [] if way == AS_WRITTEN else [way.removeprefix("mode ")]
  return max([*own, *entered], key=modes.MODES.index)


def _way_of(name: str, turns: Sequence[Figures]) -> gain.Way:
  return gain.Way(
      name, {part: [t.parts[part] for t in turns] for part in turns[0].parts},
      sum(f["later calls"] for f in turns[0].functions.values()))
