"""Keys for host values: two get the same key only if no bit tells them apart.

Python's equality is too coarse for a table of results. `1 == 1.0 == True`,
`0.0 == -0.0` and `nan != nan`, arrays have no hash, and lists and arrays can
change after they were used as a key. So

    of_params({"axis": 1})  !=  of_params({"axis": True})
    of_params({"y": 0.0})   !=  of_params({"y": -0.0})
    of_params({"y": nan})   ==  of_params({"y": nan})

and a mutable value is keyed by its present contents. A value that is no number,
container or array stands for itself, by its own hash and equality, as it does
in JAX's own caches.

Limits: an array of more than `MAX_ARRAY_BYTES` and a value without a hash have
no key, and `Unkeyable` says so.
"""

from collections.abc import Callable
import struct
from typing import Any

import numpy as np

# Reading and hashing 64 KiB takes 10 us, the time of an eager operation or two.
# Above that a bypass is cheaper than a key.
MAX_ARRAY_BYTES = 1 << 16

_double = struct.Struct("d").pack
_two_doubles = struct.Struct("dd").pack


class Unkeyable(Exception):
  """A value that cannot be a part of a key; its argument is the reason."""


def of_scalar(x: bool | int | float | complex) -> Any:
  """Key of a Python number: its kind and its bits."""
  if isinstance(x, float):
    return _double(x)
  if isinstance(x, bool):
    return (bool, x)
  if isinstance(x, int):
    return int(x)
  return _two_doubles(x.real, x.imag)


def of_array(x: np.ndarray) -> bytes:
  """Key of the present contents of a host array, without dtype and shape."""
  if x.nbytes > MAX_ARRAY_BYTES:
    raise Unkeyable(f"host array of more than {MAX_ARRAY_BYTES} bytes")
  if x.dtype.hasobject:
    raise Unkeyable("host array of Python objects")
  return x.tobytes()


def _of_sequence(x: tuple | list) -> Any:
  if not x:
    return ()
  kinds = set(map(type, x))
  if len(kinds) == 1 and kinds <= {int, str}:
    return tuple(x)
  return tuple(map(of_param, x))


def of_param(x: Any) -> Any:
  """Key of one param of a primitive.

  Raises:
    Unkeyable: `x` holds something that has no hash, or a large array.
  """
  kind = type(x)
  if kind is tuple:
    return tuple, _of_sequence(x)
  if kind is int or kind is str or x is None:
    return x
  rule = _rules.get(kind)
  if rule is not None:
    return kind, rule(x)
  for base, rule in _rules_by_base:
    if isinstance(x, base):
      return kind, rule(x)
  try:
    hash(x)
  except TypeError:
    raise Unkeyable("param without a hash") from None
  return x


_rules: dict[type, Callable[[Any], Any]] = {
    bool: bool,
    float: of_scalar,
    complex: of_scalar,
    list: _of_sequence,
    dict: lambda x: tuple((of_param(k), of_param(v)) for k, v in x.items()),
}
_rules_by_base: tuple[tuple[Any, Callable[[Any], Any]], ...] = (
    (np.ndarray, lambda x: (x.dtype, x.shape, of_array(x))),
    (np.generic, lambda x: (x.dtype, x.tobytes())),
    ((int, float, complex), of_scalar),
    ((tuple, list), _of_sequence),
    (dict, _rules[dict]),
)


def of_params(params: dict[str, Any]) -> Any:
  """Key of the params of a primitive, names included.

  Raises:
    Unkeyable: as for `of_param`.
  """
  return tuple(params), tuple(map(of_param, params.values()))
