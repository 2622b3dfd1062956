"""What is asked of the installed JAX before it is used.

The package reaches into `jax._src`, where names and meanings change with every
release. On those in `releases` the tests passed. Any later one is probed when
it is used first (`verdicts`): a probe costs a second, a wrong guess a result.

`JAX_CSE_CHECK` says otherwise: `strict` refuses a release that is not in the
table, `off` asks nothing.
"""

import functools
import os
import sys
import warnings

import jax

from jax_cse.foundation import errors
from jax_cse.foundation.releases import OLDEST, RELEASES, TESTED

VARIABLE = "JAX_CSE_CHECK"
ACCEPTED = ("strict", "off")

# What needs the methods of JAX that `enabled()` replaces, and what does not.
PATCHED, EXPLICIT = "enabled()", "explicit transformations"


def is_tested() -> bool:
  """Whether the installed JAX is one on which the tests passed."""
  return jax.__version__ in TESTED


def is_too_old() -> bool:
  return jax.__version_info__ < tuple(map(int, OLDEST.split(".")))


def described() -> str:
  """The installed JAX, and how it was tested."""
  suite = {release.jax: f"tested with the {release.suite} "
           f"{'suite' if release.suite == 'whole' else 'of the suite'}"
           for release in RELEASES}
  return f"JAX {jax.__version__} ({suite.get(jax.__version__, 'not tested')})"


@functools.cache
def check(use: str) -> None:
  """Raises `UnsupportedJaxVersion` unless the installed JAX fits a use, and
  warns if that was found by a probe.

  Args:
    use: `PATCHED` or `EXPLICIT`.
  """
  setting = os.environ.get(VARIABLE, "").strip().lower()
  if setting not in ("", *ACCEPTED):
    raise ValueError(f"{VARIABLE} must be unset, {' or '.join(ACCEPTED)}; got "
                     f"{os.environ[VARIABLE]!r}")
  if setting == "off" or is_tested():
    return
  found = f"JAX {jax.__version__} is installed"
  if is_too_old():
    raise errors.UnsupportedJaxVersion(
        f"jax_cse needs JAX {OLDEST} or later, but {found}. Nothing was "
        f"patched. To install one: pip install 'jax>={OLDEST}'")
  tested = f"jax_cse was tested on JAX {', '.join(TESTED)}, and {found}."
  if setting == "strict":
    raise errors.UnsupportedJaxVersion(
        f"{tested} Nothing was patched, since {VARIABLE} is strict.")
  from jax_cse.foundation import verdicts   # which a tested JAX does not need
  verdict = verdicts.of_installed()
  if differences := verdict.differences(use == PATCHED):
    raise errors.UnsupportedJaxVersion(
        f"{tested} For {use} these differ:\n" + "\n".join(
            f"  {difference}" for difference in differences) +
        "\nNothing was patched. `python -m jax_cse check` shows all that was "
        f"looked at; {VARIABLE}=off goes on all the same.")
  _warn(f"{tested} It was looked at: {verdict.checked}, and nothing that "
        f"{use} need differs. `python -m jax_cse check` shows more.")


_has_warned = False


def _warn(text: str) -> None:
  """Warns once in a process, at the user's line."""
  global _has_warned
  if _has_warned:
    return
  _has_warned = True
  level, frame = 1, sys._getframe()
  while frame.f_back is not None and (
      frame.f_globals.get("__name__", "").partition(".")[0] == "jax_cse"):
    level, frame = level + 1, frame.f_back
  warnings.warn(text, stacklevel=level)
