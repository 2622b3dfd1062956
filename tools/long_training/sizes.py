"""The size of everything that may grow, and its peaks over a run.

Measured is every container that can be reached from the memo and from the
modules of jax_cse, without a list of them that would have to be kept: one that
is added tomorrow is measured too. Beside them stand the numbers of live arrays
and of Python's objects, JAX's own caches, and the resident memory after a
collection.
"""

from collections.abc import Iterator
import ctypes
import gc
import sys
from typing import Any
import weakref

import jax
from jax._src import pjit
from jax._src import util

from jax_cse.numbering.values import Value

MEMORY = "resident memory, kB"
_CONTAINERS = (dict, list, set, weakref.WeakSet, weakref.WeakKeyDictionary)


def _is_ours(x) -> bool:
  # A value is a number and what it stands for.
  return (type(x).__module__.startswith("jax_cse.")
          and not isinstance(x, Value))


def _parts(x) -> Iterator[tuple[str, Any]]:
  yield from getattr(x, "__dict__", {}).items()
  for kind in type(x).__mro__:
    for name in getattr(kind, "__slots__", ()):
      if hasattr(x, name):
        yield name, getattr(x, name)


def sizes(memo: Any = None) -> dict[str, int]:
  """The size of every container of jax_cse, by the path to it."""
  found: dict[str, int] = {}
  seen = set()

  def visit(path, x):
    if isinstance(x, _CONTAINERS):
      found[path] = found.get(path, 0) + len(x)
      for value in x.values() if isinstance(x, dict) else ():
        if _is_ours(value):
          visit(f"{path}[]", value)
    elif _is_ours(x) and id(x) not in seen:
      seen.add(id(x))
      for name, part in _parts(x):
        visit(f"{path}.{name}", part)
    elif path.endswith("nbytes"):
      found[path] = x

  for name, module in sorted(sys.modules.items()):
    if name.startswith("jax_cse."):
      for attribute, x in vars(module).items():
        if isinstance(x, _CONTAINERS) and not attribute.startswith("__"):
          visit(f"{name.removeprefix('jax_cse.')}:{attribute}", x)
  visit("memo", memo)
  return found


def process_sizes() -> dict[str, int]:
  """What the process holds in all, once what is garbage is gone."""
  gc.collect()
  objects = gc.get_objects()
  infos = [cache.cache_info() for cache in list(util._caches)
           if hasattr(cache, "cache_info")]
  found = {
      "live arrays": len(jax.live_arrays()),
      "Python's objects": len(objects),
      "weak references": sum(isinstance(x, weakref.ref) for x in objects),
      "JAX's caches": sum(info.currsize for info in infos),
      "JAX's compiled calls": (pjit._cpp_pjit_cache_fun_only.size()
                               + pjit._cpp_pjit_cache_explicit_attributes.size()
                               ),
  }
  del objects
  ctypes.CDLL(None).malloc_trim(0)
  with open("/proc/self/status") as status:
    for line in status:
      if line.startswith("VmRSS:"):
        found[MEMORY] = int(line.split()[1])
  return found


def may_be(name: str, size: float) -> float:
  """How large something may be at the end that was `size` in the second
  quarter: as large, but for what comes and goes between two looks."""
  return size * 1.05 + (4096 if name == MEMORY else 8)


class Peaks:
  """The largest size of everything in each quarter of a run."""

  def __init__(self, steps: int):
    self._steps = steps
    self.quarters: list[dict[str, int]] = [{}, {}, {}, {}]

  def note(self, step: int, found: dict[str, int]) -> None:
    quarter = self.quarters[(step - 1) * 4 // self._steps]
    for name, size in found.items():
      quarter[name] = max(size, quarter.get(name, 0))

  def grown(self) -> dict[str, tuple[int, int]]:
    """What is larger in the last quarter than it may be."""
    _, second, _, last = self.quarters
    return {name: (second.get(name, 0), size) for name, size in last.items()
            if size > may_be(name, second.get(name, 0))}
