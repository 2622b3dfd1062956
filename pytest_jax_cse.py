"""The pytest plugin: `pytest --jax-cse=MODE` runs any test suite under CSE.

`MODE` is what `JAX_CSE` may be: a mode, `1`, or `0` or `off` to run plain, so
that one command line serves both. `JAX_CSE=off` in the environment wins over
the option.

With `pytest-xdist` the counts are those of all workers that ended well.

It stands beside the package, not in it, so that a pytest run without the option
imports neither the package nor JAX.
"""

from collections import Counter
import os
import sys

import pytest

_VARIABLE = "JAX_CSE"
_OFF = ("0", "off")
_COUNTS = ("hits", "misses", "bypassed", "evicted")


def pytest_addoption(parser):
  parser.addoption(
      "--jax-cse", default=None, metavar="MODE",
      help="run every test with jax_cse in MODE: exact, or off to run plain")


def pytest_configure(config):
  value = config.getoption("--jax-cse")
  config.jax_cse_memo = None
  config.jax_cse_of_workers = Counter()
  if value is None or os.environ.get(_VARIABLE) in _OFF:
    return
  os.environ[_VARIABLE] = value
  was_imported = "jax_cse" in sys.modules
  try:
    import jax_cse  # does what the variable says
    if was_imported:
      jax_cse.memo.contexts.follow_environment()
  except ValueError as e:
    raise pytest.UsageError(f"--jax-cse={value}: {e}") from None
  config.jax_cse_memo = jax_cse.foundation.active.here.cell.memo


def pytest_report_header(config):
  memo = config.jax_cse_memo
  value = config.getoption("--jax-cse")
  if value is None:
    return None
  return f"jax_cse: {'off' if memo is None else memo.mode}"


def _counts(memo):
  return {name: getattr(memo.stats, name) for name in _COUNTS}


def pytest_sessionfinish(session):
  config = session.config
  if config.jax_cse_memo is not None and hasattr(config, "workeroutput"):
    config.workeroutput["jax_cse"] = _counts(config.jax_cse_memo)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node):
  # A worker that crashed has put nothing out.
  node.config.jax_cse_of_workers.update(
      getattr(node, "workeroutput", {}).get("jax_cse", {}))


def pytest_terminal_summary(terminalreporter, config):
  memo = config.jax_cse_memo
  if memo is not None:
    counts = config.jax_cse_of_workers + Counter(_counts(memo))
    terminalreporter.write_line(f"jax_cse {memo.mode}: " + ", ".join(
        f"{counts[name]} {name}" for name in _COUNTS))
