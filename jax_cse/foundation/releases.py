"""The releases of JAX on which the tests passed.

Read also by what installs one, so this imports no JAX. `tools/test --all` runs
the whole suite on the newest release of each minor version, and its core
(merging, loops, derivatives, the collapse of sums, errors) on every other.
"""

import sys
from typing import NamedTuple


class Release(NamedTuple):
  """A release of JAX.

  Attributes:
    jax: its version, and that of its jaxlib.
    python: the version of Python on which it was tested.
    suite: "whole", or "core".
  """
  jax: str
  python: str
  suite: str


RELEASES = (
    Release("0.10.0", "3.11", "core"),
    Release("0.10.1", "3.11", "core"),
    Release("0.10.2", "3.11", "whole"),
    Release("0.11.0", "3.12", "core"),
    Release("0.11.1", "3.12", "core"),
    Release("0.11.2", "3.12", "whole"),
    Release("0.12.0", "3.13", "core"),
    Release("0.12.0.1", "3.13", "whole"),
)
TESTED = tuple(release.jax for release in RELEASES)
OLDEST = TESTED[0]
# The newest of each minor version, for which there are patches.
NEWEST = tuple(release.jax for release in RELEASES if release.suite == "whole")


def for_python() -> str:
  """The release on which the whole suite is run with this Python."""
  here = sys.version_info[:2]
  fitting = [release for release in RELEASES if release.suite == "whole"
             and tuple(map(int, release.python.split("."))) <= here]
  return fitting[-1].jax
