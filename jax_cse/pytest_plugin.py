"""The pytest plugin: `pytest --jax-cse=MODE` runs any test suite under CSE.

Nothing of JAX is imported unless the option is given. `--jax-cse=off` runs the
suite plain, so that one command line serves both.
"""

from jax_cse import modes

_OFF = ("0", "off")


def pytest_addoption(parser):
  parser.addoption(
      "--jax-cse", default=None, metavar="MODE",
      help="run every test with jax_cse in MODE; accepted: "
      + ", ".join((*_OFF, *modes.MODES)))


def pytest_configure(config):
  mode = config.getoption("--jax-cse")
  if mode is None or mode in _OFF:
    return
  import pytest
  from jax_cse.context import enable_process_wide
  try:
    enable_process_wide(modes.validate(mode))
  except ValueError as e:
    raise pytest.UsageError(f"--jax-cse: {e}") from None


def pytest_report_header(config):
  mode = config.getoption("--jax-cse")
  return None if mode is None else f"jax_cse: {mode}"


def pytest_terminal_summary(terminalreporter, config):
  mode = config.getoption("--jax-cse")
  if mode is None or mode in _OFF:
    return
  from jax_cse.active import here
  stats = here.cell.memo.stats
  terminalreporter.write_line(
      f"jax_cse {mode}: {stats.hits} hits, {stats.misses} misses, "
      f"{stats.bypassed} bypassed, {stats.evicted} evicted")
