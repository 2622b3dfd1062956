"""The JAX versions that are supported.

The patch reaches into `jax._src`, where names and meanings change with every
release, so a version is supported when the whole test suite passes on it, and
refused otherwise: a refusal costs an `install`, a wrong guess costs a result.
"""

import sys

import jax

from jax_cse.foundation import errors

# The JAX that setup.py requires, from each version of Python on.
FOR_PYTHON = {(3, 11): "0.10.2", (3, 12): "0.11.2", (3, 13): "0.12.0.1"}
SUPPORTED = tuple(FOR_PYTHON.values())


def for_python(version: tuple[int, ...]) -> str:
  """The JAX to install on a version of Python."""
  return FOR_PYTHON[max(first for first in FOR_PYTHON if first <= version)]


def check() -> None:
  """Raises `UnsupportedJaxVersion` unless the installed JAX is supported."""
  if jax.__version__ in SUPPORTED:
    return
  wanted = for_python(sys.version_info[:2])
  raise errors.UnsupportedJaxVersion(
      f"jax_cse supports JAX {', '.join(SUPPORTED)}, but JAX "
      f"{jax.__version__} is installed. Nothing was patched. To install the "
      f"one for this Python: pip install 'jax=={wanted}' 'jaxlib=={wanted}'")
