"""Which JAX versions the patch is written for.

The patch reaches into `jax._src`, where names and meanings change with every
release, so a version is supported when the whole test suite passes on it, and
refused otherwise: a refusal costs an `install`, a wrong guess costs a result.
"""

import jax

from jax_cse import errors

SUPPORTED = ("0.10.2",)


def check() -> None:
  """Raises `UnsupportedJaxVersion` unless the installed JAX is supported."""
  if jax.__version__ in SUPPORTED:
    return
  newest = SUPPORTED[-1]
  raise errors.UnsupportedJaxVersion(
      f"jax_cse supports JAX {', '.join(SUPPORTED)}, but JAX "
      f"{jax.__version__} is installed. Nothing was patched. To install a "
      f"supported version: pip install 'jax=={newest}' 'jaxlib=={newest}'")
