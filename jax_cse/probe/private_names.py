"""The private names of JAX that `compat` uses, read from its source.

A name that is used inside of a function is missed only when that runs. So each
`module.name` is looked up at once, on the branches that the installed version
takes.
"""

import ast
import importlib
import pathlib
from typing import Any

import jax

_COMPAT = pathlib.Path(__file__).parents[1] / "compat"
# What `enabled()` alone needs.
PATCHING = frozenset({"seams", "patch"})


def names(module: str) -> set[str]:
  """Those that one module of `compat` uses, like `jax._src.core.Trace`."""
  reader = _Reader()
  reader.visit(ast.parse((_COMPAT / f"{module}.py").read_text()))
  return reader.names


def modules() -> list[str]:
  return sorted(path.stem for path in _COMPAT.glob("*.py"))


def missing(name: str) -> str | None:
  """What of a dotted name is not there; None if all of it is."""
  parts = name.split(".")
  found: Any = None
  for i, part in enumerate(parts):
    so_far = ".".join(parts[:i + 1])
    try:
      found = getattr(found, part) if i else importlib.import_module(part)
    except AttributeError:
      try:
        found = importlib.import_module(so_far)
      except ImportError:
        return so_far
    except ImportError:
      return so_far
  return None


class _Reader(ast.NodeVisitor):
  """Gathers the names, and what modules are called in the file."""

  def __init__(self):
    self.names: set[str] = set()
    self._called: dict[str, str] = {}

  def visit_ImportFrom(self, node):
    if node.module and node.module.startswith(("jax._src", "jaxlib")):
      for alias in node.names:
        name = f"{node.module}.{alias.name}"
        self.names.add(name)
        self._called[alias.asname or alias.name] = name

  def visit_Attribute(self, node):
    if (isinstance(node.ctx, ast.Load) and isinstance(node.value, ast.Name)
        and node.value.id in self._called):
      self.names.add(f"{self._called[node.value.id]}.{node.attr}")
    self.generic_visit(node)

  def _visit_branch(self, node):
    if not _asks_the_version(node.test):
      self.generic_visit(node)
      return
    taken = node.body if _is_taken(node.test) else node.orelse
    for child in taken if isinstance(taken, list) else [taken]:
      self.visit(child)

  visit_If = visit_IfExp = _visit_branch

  def visit_BoolOp(self, node):
    for value in node.values:
      if not _asks_the_version(value):
        self.visit(value)
      elif _is_taken(value) == isinstance(node.op, ast.Or):
        return   # the rest is not evaluated


def _asks_the_version(test) -> bool:
  return (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name)
          and test.left.id == "VERSION")


def _is_taken(test) -> bool:
  version, = (ast.literal_eval(x) for x in test.comparators)
  if isinstance(test.ops[0], ast.Lt):
    return jax.__version_info__ < version
  return jax.__version_info__ >= version
