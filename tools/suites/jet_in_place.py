"""A pytest plugin: `jax_cse.jet` in place of JAX's, as whoever switches has it.

For JAX's own `tests/jet_test.py`, which imports its name when it is collected.
"""

from jax.experimental import jet

import jax_cse

_plain = jet.jet


def pytest_configure():
  jet.jet = jax_cse.jet


def pytest_unconfigure():
  jet.jet = _plain
