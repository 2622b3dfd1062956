"""`python -m jax_cse compare`: a program without CSE and with it, in turns.

Each run is a process of its own, which `measured_run` measures. All have the
same environment but for `JAX_CSE`, and no compiled programs from disk. What the
program prints is kept, and shown if it fails.
"""

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
    line: where most is computed again in the best way, as text; or None.
  """
  program: str
  turns: int
  ways: Mapping[str, Sequence[Figures]]
  failures: Sequence[Failure]
  verdict: gain.Verdict | None
  line: str | None

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
      failures[way] = Failure(way, "\n".join(output.splitlines()[-_TAIL:]))
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
  """What a run measured, and what it printed."""
  environment = {
      **os.environ,
      modes.VARIABLE: {PLAIN: "off", AS_WRITTEN: ""}.get(
          way, way.removeprefix("mode ")),
      # A program that is found on disk takes no time to compile.
      "JAX_ENABLE_COMPILATION_CACHE": "false"}
  with tempfile.TemporaryDirectory() as folder:
    out = pathlib.Path(folder, "figures.json")
    ran = subprocess.run(
        [sys.executable, "-m", f"{__package__}.measured_run",
         json.dumps(settings._replace(out=str(out))._asdict()), *args],
        env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, errors="replace")
    if out.exists():
      return Figures(**json.loads(out.read_text())), ran.stdout
    return Figures("failed", {}, 0.0, {}, [], 0, {}), (
        f"{ran.stdout}\nended with status {ran.returncode} before it could be "
        "measured")


def _compared(program, turns, measured, failures):
  verdict = line = None
  if PLAIN in measured and len(measured) > 1:
    plain, *others = (_way_of(name, all_) for name, all_ in measured.items())
    verdict = gain.judge(plain, others)
    lines = measured[PLAIN][0].lines
    line = lines.get(verdict.way.removeprefix("mode "),
                     lines.get(MODES[-1]))
  return Compared(program, turns, measured, failures, verdict, line)


def _way_of(name: str, turns: Sequence[Figures]) -> gain.Way:
  return gain.Way(
      name, {part: [t.parts[part] for t in turns] for part in turns[0].parts},
      sum(f["later calls"] for f in turns[0].functions.values()))
