"""The only door to JAX's internals: every private name enters here.

    settings      JAX's version and configuration
    source        where an equation is in the user's program
    primitives    primitives by name
    calls         calls, and rules of users; `batched_rules`, under `vmap`
    traces        traces and tracers; binding and staging
    arrays        arrays, numbers, their types; `known_numbers`, `conversions`
    programs      jaxprs
    linear_programs   what `vjp` transposes
    seams         where JAX is patched; `patch` does it, by `patching`
    jaxprs        jaxprs taken apart and put together

Where a version differs from those before, the branch stands under a comment
with the version and the change, and nowhere else.
"""

from jax._src import core as core

from jax_cse.compat.arrays import *
from jax_cse.compat.batched_rules import *
from jax_cse.compat.calls import *
from jax_cse.compat.conversions import *
from jax_cse.compat.known_numbers import *
from jax_cse.compat.linear_programs import *
from jax_cse.compat.primitives import *
from jax_cse.compat.programs import *
from jax_cse.compat.seams import *
from jax_cse.compat.settings import *
from jax_cse.compat.source import *
from jax_cse.compat.traces import *
