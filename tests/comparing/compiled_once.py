"""What is compiled once in a process is not compiled again by it.

JAX's own caches go by the function, and by the mode of CSE; its persistent
cache goes by the program. Here it persists for as long as it is used, so no
file of another process, half written, is ever read.
"""

import contextlib
import tempfile

import jax

_SETTINGS = {"jax_persistent_cache_min_compile_time_secs": 0.0,
             "jax_persistent_cache_min_entry_size_bytes": -1}


@contextlib.contextmanager
def persistent_cache():
  """Inside of it JAX's persistent cache is in a folder of its own."""
  with tempfile.TemporaryDirectory(prefix="jax_cse_compiled_") as folder:
    settings = {"jax_compilation_cache_dir": folder, **_SETTINGS}
    before = {name: getattr(jax.config, name) for name in settings}
    for name, value in settings.items():
      jax.config.update(name, value)
    try:
      yield
    finally:
      for name, value in before.items():
        jax.config.update(name, value)
