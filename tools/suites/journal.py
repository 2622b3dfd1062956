"""A pytest plugin that writes down each outcome as it falls.

`pytest -p suites.journal --journal FILE` appends one JSON object a line: a test
started, a test ended, the run ended. A test of which the file has the outcome
is not run again, so a run that was cut off goes on where it was, and after a
crash the file says which test was running. Started twice and never ended, a
test counts as crashed and is left out.

Limits: the outcome of a test is the worst of its phases and subtests; why it
failed is kept as the last line of the traceback only.
"""

from collections.abc import Iterator
import json
import pathlib
from typing import Any

WORST = ("crashed", "failed", "xpassed", "xfailed", "skipped", "passed")


def outcomes(path) -> dict[str, dict]:
  """Test id -> its last record in the journal at `path`, crashes included."""
  ended: dict[str, dict] = {}
  started: dict[str, int] = {}
  for record in _records(path):
    if "started" in record:
      started[record["started"]] = started.get(record["started"], 0) + 1
    elif "test" in record:
      ended[record["test"]] = record
      started.pop(record["test"], None)
    elif "forget" in record:
      ended.pop(record["forget"], None)
      started.pop(record["forget"], None)
  crashed = {test: {"test": test, "outcome": "crashed", "why": "", "seconds": 0}
             for test, times in started.items() if times > 1}
  return ended | crashed


def is_complete(path) -> bool:
  """Whether the last pytest of this journal came to its end."""
  *_, last = {}, *_records(path)
  return "exit" in last


def append(path, **record):
  with open(path, "a") as file:
    file.write(json.dumps(record) + "\n")


def _records(path) -> Iterator[dict[str, Any]]:
  path = pathlib.Path(path)
  if not path.exists():
    return
  for line in path.read_text().splitlines():
    try:
      yield json.loads(line)
    except json.JSONDecodeError:
      continue  # the process died while it wrote this line


def pytest_addoption(parser):
  parser.addoption("--journal", metavar="FILE",
                   help="append each outcome to FILE; skip those it has")


def pytest_configure(config):
  path = config.getoption("--journal")
  if path:
    config.pluginmanager.register(_Journal(path), "journal-writer")


class _Journal:

  def __init__(self, path):
    self.path = path
    self.known = outcomes(path)
    self.now: dict[str, Any] = {}

  def pytest_collection_modifyitems(self, config, items):
    done = [item for item in items if item.nodeid in self.known]
    items[:] = [item for item in items if item.nodeid not in self.known]
    config.hook.pytest_deselected(items=done)

  def pytest_collectreport(self, report):
    if report.outcome != "passed":
      append(self.path, test=report.nodeid, outcome=report.outcome, seconds=0,
             why=_why(report))

  def pytest_runtest_logstart(self, nodeid):
    append(self.path, started=nodeid)
    self.now = {"test": nodeid, "outcome": "passed", "seconds": 0, "why": ""}

  def pytest_runtest_logreport(self, report):
    outcome = report.outcome
    if hasattr(report, "wasxfail"):
      outcome = "xpassed" if outcome == "passed" else "xfailed"
    self.now["seconds"] += report.duration
    if WORST.index(outcome) < WORST.index(self.now["outcome"]):
      self.now |= {"outcome": outcome, "why": _why(report)}

  def pytest_runtest_logfinish(self, nodeid):
    self.now["seconds"] = round(self.now["seconds"], 2)
    append(self.path, **self.now)

  def pytest_sessionfinish(self, exitstatus):
    if exitstatus not in (2, 3):  # interrupted, or pytest itself broke
      append(self.path, exit=int(exitstatus))


def _why(report) -> str:
  longrepr = report.longrepr
  if isinstance(longrepr, tuple):  # a skip: file, line, reason
    return longrepr[2]
  crash = getattr(longrepr, "reprcrash", None)
  text = crash.message if crash else str(longrepr or "")
  return (text.strip().splitlines() or [""])[0][:300]
