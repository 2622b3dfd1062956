"""What is compiled once in a run is not compiled again by the same process.

Most of the time of the suite goes into XLA, and half of that into programs that
were compiled before: JAX's own caches go by the function, which is another one
in each test. Its persistent cache goes by the program. Here it persists for as
long as a process of the run, so no file of another machine, of another version
or of another process, half written, is ever read. Processes that tests start
have none.

Each has one thread of XLA: LAPACK calls of jaxlib before 0.11.2 split a batch
over the threads and wait in one of these, so as many at once as there are
threads wait forever.
"""

import os
import tempfile

import pytest


def pytest_configure(config: pytest.Config) -> None:
  """Gives each process that runs tests a cache of its own, and one thread."""
  os.environ.setdefault("PJRT_NPROC", "1")
  is_worker = hasattr(config, "workerinput")
  if not is_worker and config.getoption("numprocesses", None):
    return   # only hands the tests out
  import jax
  folder = tempfile.TemporaryDirectory(prefix="jax_cse_compiled_")
  config.add_cleanup(folder.cleanup)
  for name, value in {
      "jax_compilation_cache_dir": folder.name,
      "jax_persistent_cache_min_compile_time_secs": 0.0,
      "jax_persistent_cache_min_entry_size_bytes": -1}.items():
    jax.config.update(name, value)
