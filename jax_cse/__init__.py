"""Common-subexpression elimination for JAX as it runs or traces."""

import importlib as _importlib
from typing import TYPE_CHECKING, Any

from jax_cse.findings.redundancy_report import Redundancy as Redundancy
from jax_cse.foundation import versions as _versions
from jax_cse.foundation.counting import count_primitives as count_primitives
from jax_cse.foundation.errors import CheckFailed as CheckFailed
from jax_cse.foundation.errors import (
    UnsupportedJaxVersion as UnsupportedJaxVersion)
from jax_cse.foundation.version import __version__ as __version__
from jax_cse.memo.contexts import active_mode as active_mode
from jax_cse.memo.contexts import disabled as disabled
from jax_cse.memo.contexts import enabled as enabled
from jax_cse.memo.contexts import follow_environment as _follow_environment

if TYPE_CHECKING:
  from jax_cse.orders.plot_counts import plot_counts as plot_counts
  from jax_cse.report.redundancy import redundancy as redundancy
  from jax_cse.transforms.cse import cse as cse
  from jax_cse.transforms.cse import cse_jaxpr as cse_jaxpr
  from jax_cse.transforms.cse import polysimp as polysimp
  from jax_cse.transforms.derivatives import derivatives as derivatives
  from jax_cse.transforms.jarrett import jarrett as jarrett
  from jax_cse.transforms.jet import jet as jet
  from jax_cse.transforms.laplacian import laplacian as laplacian
  from jax_cse.transforms.laplacian import (
      value_grad_laplacian as value_grad_laplacian)
  from jax_cse.transforms.pushfwd import pushfwd as pushfwd

# Functions whose modules reach into JAX. They are imported on first use, if the
# installed JAX is supported.
_MODULE_OF = {
    "cse": "transforms.cse",
    "cse_jaxpr": "transforms.cse",
    "derivatives": "transforms.derivatives",
    "jarrett": "transforms.jarrett",
    "jet": "transforms.jet",
    "laplacian": "transforms.laplacian",
    "plot_counts": "orders.plot_counts",
    "polysimp": "transforms.cse",
    "pushfwd": "transforms.pushfwd",
    "redundancy": "report.redundancy",
    "value_grad_laplacian": "transforms.laplacian",
}


def __getattr__(name: str) -> Any:
  if name not in _MODULE_OF:
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
  _versions.check(_versions.EXPLICIT)
  module = _importlib.import_module(f"jax_cse.{_MODULE_OF[name]}")
  value = globals()[name] = getattr(module, name)
  return value


def __dir__() -> list[str]:
  return sorted({*globals(), *_MODULE_OF})


_follow_environment()
