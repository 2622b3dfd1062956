"""The modes of `enabled()`, and the values of the variable `JAX_CSE`.

A mode says which equations count as the same:

    exact        those of the same primitive on the same values with the same
                 params: each gives the bits that it gives without merging
    reassociate  also sums and products that differ in grouping and order only:
                 equal in real arithmetic, rounding may differ
    ring         also by distributivity: equal in real arithmetic for finite
                 values, and to the bit for integers

`JAX_CSE` turns one experiment script into two runs without an edit:

    unset or empty    nothing happens at import
    0 or off          every enabled() is inert
    1                 the whole process runs in mode "exact"
    a mode's name     the whole process runs in that mode
"""

import os
from typing import Any

MODES = ("exact", "reassociate", "ring")
DEFAULT = "exact"
VARIABLE = "JAX_CSE"
_OFF = ("0", "off")
_ON = "1"


def validate(mode: Any) -> str:
  """Returns `mode` if it is one, else raises a `ValueError` naming them."""
  if isinstance(mode, str) and mode in MODES:
    return mode
  accepted = ", ".join(repr(m) for m in MODES)
  raise ValueError(f"mode must be one of {accepted}; got {mode!r}")


def from_environment() -> tuple[str | None, bool]:
  """Reads `JAX_CSE`: the mode for the whole process, and whether all is off.

  Raises:
    ValueError: it has another value; the message names those accepted.
  """
  value = os.environ.get(VARIABLE, "")
  if value == "":
    return None, False
  if value in _OFF:
    return None, True
  if value == _ON:
    return DEFAULT, False
  if value in MODES:
    return value, False
  accepted = ", ".join((*_OFF, _ON, *MODES))
  raise ValueError(
      f"{VARIABLE} must be unset or one of {accepted}; got {value!r}")
