"""Runs the files of a suite in several ways, in parallel, and can go on later.

A unit of work is one file in one way: one pytest process, with a journal of its
own. A process that dies is started again and goes on after the test it died in;
one whose journal stands still for `patience` seconds is killed.
"""

import concurrent.futures
import os
import pathlib
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from typing import NamedTuple

from . import comparison
from . import journal

_TOOLS = str(pathlib.Path(__file__).parent.parent)
# As the command pytest does, without the directory on the path.
_PYTEST = ("-P", "-c", "import pytest, sys; sys.exit(pytest.main())")
_GIVE_UP = 40  # starts of one unit


class Unit(NamedTuple):
  way: str
  name: str  # of the file, as the table calls it
  options: Sequence[str]  # pytest's
  directory: str  # where pytest runs
  journal: pathlib.Path
  environment: dict[str, str]
  python: str = sys.executable


def run(units: Sequence[Unit], workers: int, patience: float):
  """Runs the units that are not complete; prints a line as each ends.

  Interrupted or terminated it stops what runs, to go on there next time.
  """
  waiting = [u for u in units if not journal.is_complete(u.journal)]
  print(f"{len(units) - len(waiting)} of {len(units)} were done before",
        flush=True)
  ended, lock, stop = [], threading.Lock(), threading.Event()

  def one(unit):
    start = time.monotonic()
    _run_unit(unit, patience, stop)
    with lock:
      ended.append(unit)
      counts = comparison.count({unit.name: outcomes_of(unit)})
      print(f"[{len(ended)}/{len(waiting)}] {unit.way:8} {unit.name}: "
            f"{comparison.summary(counts)} in {time.monotonic() - start:.0f} s",
            flush=True)

  terminate = signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  pool = concurrent.futures.ThreadPoolExecutor(workers)
  try:
    running = {pool.submit(one, unit) for unit in waiting}
    while running:  # with a timeout, for a signal must find this thread awake
      done, running = concurrent.futures.wait(
          running, 1, concurrent.futures.FIRST_COMPLETED)
      for future in done:
        future.result()
  finally:
    stop.set()
    pool.shutdown(cancel_futures=True)
    signal.signal(signal.SIGTERM, terminate)


def outcomes_of(unit) -> dict[str, dict]:
  """Test id, without the file before its `::`, -> record."""
  return {test.partition("::")[2] or test: record
          for test, record in journal.outcomes(unit.journal).items()}


def suites(units) -> dict[str, dict]:
  """Way -> file -> test -> record, of the complete units."""
  found: dict[str, dict] = {}
  for unit in units:
    by_file = found.setdefault(unit.way, {})
    if journal.is_complete(unit.journal):
      by_file[unit.name] = outcomes_of(unit)
  return found


def forget(units, found):
  """Makes the tests of these differences run again, in every way."""
  tests = {(d.file, d.test) for d in found}
  for unit in units:
    for test in list(journal.outcomes(unit.journal)):
      if (unit.name, test.partition("::")[2] or test) in tests:
        journal.append(unit.journal, forget=test)


def _run_unit(unit, patience, stop):
  unit.journal.parent.mkdir(parents=True, exist_ok=True)
  path = os.pathsep.join(
      filter(None, [_TOOLS, os.environ.get("PYTHONPATH")]))
  environment = os.environ | {"PYTHONPATH": path} | unit.environment
  for _ in range(_GIVE_UP):
    with open(unit.journal.with_suffix(".log"), "w") as log:
      process = subprocess.Popen(
          [unit.python, *_PYTEST,
           "-q", "-p", "no:cacheprovider", "-p", "suites.journal",
           "--continue-on-collection-errors",
           "--journal", str(unit.journal), *unit.options],
          cwd=unit.directory, env=environment, stdout=log, stderr=log,
          stdin=subprocess.DEVNULL)
      try:
        _wait(process, unit.journal, patience, stop)
      finally:
        process.kill()
        process.wait()
    if journal.is_complete(unit.journal) or stop.is_set():
      return
  journal.append(unit.journal, test="::the process", outcome="crashed",
                 seconds=0, why=f"died {_GIVE_UP} times; see its .log")
  journal.append(unit.journal, exit=-1)


def _wait(process, path, patience, stop):
  size, since = -1, time.monotonic()
  while process.poll() is None and not stop.is_set():
    time.sleep(0.2)
    grown = path.stat().st_size if path.exists() else 0
    if grown != size:
      size, since = grown, time.monotonic()
    elif time.monotonic() - since > patience:
      return
