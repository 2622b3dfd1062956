"""The private names of JAX that `compat` uses, read from its source.

A name that is used inside of a function is missed only when that runs. So each
`module.name` is looked up at once, on the branches that the installed version
takes.
"""

import ast
import contextlib
import importlib
from importlib import resources
import operator
from typing import Any

import jax


def names() -> list[str]:
  """All of them, like `jax._src.core.Trace`, in order."""
  found: set[str] = set()
  compat = resources.files("jax_cse").joinpath("compat")
  version = _version(compat.joinpath("settings.py").read_text())
  for file in compat.iterdir():
    if file.name.endswith(".py"):
      reader = _Reader(version)
      reader.visit(ast.parse(file.read_text()))
      found |= reader.names
  return sorted(found)


def _version(settings: str) -> tuple[int, ...]:
  """The `VERSION` in settings.py, which runs by itself here: to import it would
  be to import all of `compat`, of which names may be missing."""
  namespace: dict[str, Any] = {}
  with contextlib.suppress(ImportError, AttributeError):
    exec(compile(settings, "settings.py", "exec"), namespace)
  return namespace.get("VERSION", jax.__version_info__)


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
    except Exception:   # a property that says what it says of nothing
      return None
  return None


class _Reader(ast.NodeVisitor):
  """Gathers the names, and what modules are called in the file."""

  def __init__(self, version):
    self._version = version
    self.names: set[str] = set()
    self._called: dict[str, str] = {}

  def visit_ImportFrom(self, node):
    if node.module and node.module.startswith(("jax._src", "jaxlib")):
      for alias in node.names:
        name = f"{node.module}.{alias.name}"
        self.names.add(name)
        self._called[alias.asname or alias.name] = name

  def visit_Import(self, node):
    self._called |= {alias.name: "jax" for alias in node.names
                     if alias.name == "jax"}

  def visit_Attribute(self, node):
    chain, value = [node.attr], node.value
    while isinstance(value, ast.Attribute):
      chain.append(value.attr)
      value = value.value
    if not isinstance(value, ast.Name):
      self.visit(value)
    elif isinstance(node.ctx, ast.Load) and value.id in self._called:
      self.names.add(".".join([self._called[value.id], *reversed(chain)]))

  def _visit_branch(self, node):
    if not _asks_the_version(node.test):
      self.generic_visit(node)
      return
    taken = node.body if self._is_taken(node.test) else node.orelse
    for child in taken if isinstance(taken, list) else [taken]:
      self.visit(child)

  visit_If = visit_IfExp = _visit_branch

  def visit_BoolOp(self, node):
    for value in node.values:
      if not _asks_the_version(value):
        self.visit(value)
      elif self._is_taken(value) == isinstance(node.op, ast.Or):
        return   # the rest is not evaluated

  def _is_taken(self, test) -> bool:
    version, = (ast.literal_eval(x) for x in test.comparators)
    compare = {ast.Lt: operator.lt, ast.GtE: operator.ge}[type(test.ops[0])]
    return compare(self._version, version)


def _asks_the_version(test) -> bool:
  return (isinstance(test, ast.Compare) and isinstance(test.left, ast.Name)
          and test.left.id == "VERSION")
