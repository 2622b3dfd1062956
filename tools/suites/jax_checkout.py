"""A pytest plugin: finds in JAX's checkout what its tests import and its wheel
lacks (`jax._src.hypothesis_test_util` and the like).

The checkout comes last on the path of `jax._src`, so that nothing of the
installed package is replaced.
"""

import os
import pathlib

import jax

CHECKOUT = "JAX_CHECKOUT"  # the environment variable that names it


def pytest_configure():
  checkout = os.environ.get(CHECKOUT)
  if checkout:
    jax._src.__path__.append(str(pathlib.Path(checkout) / "jax" / "_src"))
