"""Common-subexpression elimination for JAX, as values are bound."""

from jax_cse.memo.contexts import active_mode as active_mode
from jax_cse.memo.contexts import disabled as disabled
from jax_cse.memo.contexts import enabled as enabled
from jax_cse.memo.contexts import follow_environment as _follow_environment
from jax_cse.foundation.counting import count_primitives as count_primitives
from jax_cse.transforms.derivatives import derivatives as derivatives
from jax_cse.foundation.errors import CheckFailed as CheckFailed
from jax_cse.foundation.errors import (
    UnsupportedJaxVersion as UnsupportedJaxVersion)
from jax_cse.transforms.cse import cse as cse
from jax_cse.transforms.cse import cse_jaxpr as cse_jaxpr
from jax_cse.transforms.cse import polysimp as polysimp
from jax_cse.transforms.jarrett import jarrett as jarrett
from jax_cse.transforms.laplacian import laplacian as laplacian
from jax_cse.report.plot_counts import plot_counts as plot_counts
from jax_cse.transforms.pushfwd import pushfwd as pushfwd
from jax_cse.report.redundancy import redundancy as redundancy
from jax_cse.report.redundancy_report import Redundancy as Redundancy
from jax_cse.foundation.version import __version__ as __version__

_follow_environment()
