"""The layers of the package, read from its source."""

import ast
import pathlib
import re

from absl.testing import absltest
from packaging import markers

import jax_cse
from jax_cse import exclusions
from jax_cse import versions

ROOT = pathlib.Path(jax_cse.__file__).parent

# Tables, keys of host values, modes: no JAX, so they can be read and tested
# without it.
PURE = {"active", "eager_table", "errors", "fingerprint", "modes",
        "congruence", "expressions", "statistics", "version",
        "coefficients", "collecting", "cores", "points", "ring", "linear_ring",
        "axis_sums", "collapse", "normal_form", "factoring", "extraction",
        "emission", "naming", "redundancy_report", "layered_layout",
        "jaxpr_graph", "source_listing", "report_page", "growth", "history",
        "pictures"}


def imports(path):
  """Absolute names of the modules that a file imports, wherever it does."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      names |= {f"{node.module}.{alias.name}" for alias in node.names}
      names.add(node.module)
  return names


MODULES = {path.stem: imports(path) for path in ROOT.glob("*.py")}
OWN = {module: {name.split(".")[1] for name in names
                if name.startswith("jax_cse.")} & MODULES.keys()
       for module, names in MODULES.items()}


class StructureTest(absltest.TestCase):

  def test_only_compat_touches_private_jax(self):
    private = {m for m, names in MODULES.items()
               if any(n.startswith(("jax._src", "jaxlib")) for n in names)}
    self.assertEqual(private, {"compat"})

  def test_the_pure_core_imports_no_jax(self):
    for module in PURE:
      for name in MODULES[module]:
        self.assertNotEqual(name.split(".")[0], "jax", module)
      self.assertLessEqual(OWN[module], PURE, module)

  def test_imports_have_an_order(self):
    done: set[str] = set()
    todo = dict(OWN)
    while todo:
      ready = {m for m, needs in todo.items() if needs - {m} <= done}
      self.assertNotEmpty(ready, f"a cycle among {sorted(todo)}")
      done |= ready
      todo = {m: needs for m, needs in todo.items() if m not in ready}

  def test_the_supported_versions_are_those_installed(self):
    setup = (ROOT.parent / "setup.py").read_text()
    marked = re.findall(r'\("([\d.]+)", "(python_version.*)"\)', setup)
    self.assertEqual([version for version, _ in marked],
                     list(versions.SUPPORTED))
    for python in ((3, 11), (3, 12), (3, 13), (3, 14)):
      there = {"python_version": ".".join(map(str, python))}
      self.assertEqual([version for version, marker in marked
                        if markers.Marker(marker).evaluate(there)],
                       [versions.for_python(python)])

  def test_init_only_names(self):
    tree = ast.parse((ROOT / "__init__.py").read_text())
    for node in tree.body[1:-1]:
      self.assertIsInstance(node, ast.ImportFrom)
      for alias in node.names:
        self.assertIsNotNone(alias.asname)

  def test_every_module_has_a_docstring_and_is_short(self):
    for path in ROOT.glob("*.py"):
      text = path.read_text()
      if path.stem != "version":
        self.assertIsNotNone(ast.get_docstring(ast.parse(text)), path)
      # compat is a list of names; it has one idea, whatever its length.
      if path.stem != "compat":
        self.assertLess(text.count("\n"), 400, path)

  def test_what_is_structured_has_a_rule(self):
    from jax_cse import compat, jaxpr_numbering, narrowing  # noqa: F401
    self.assertEqual(compat.STRUCTURED, jaxpr_numbering.rules.keys())

  def test_every_exclusion_has_a_reason(self):
    for table in (exclusions.NEVER, exclusions.EAGER):
      for name, reason in table.items():
        self.assertRegex(reason, r"\w+ \w+", name)

  def test_every_exclusion_names_a_primitive(self):
    # The names are strings, so a typing error would exclude nothing.
    source = "\n".join(
        path.read_text() for path in
        pathlib.Path(__import__("jax").__file__).parent.rglob("*.py"))
    for table in (exclusions.NEVER, exclusions.EAGER):
      for name in table:
        stem = name.removesuffix("_done")
        self.assertTrue(re.search(f"[\"'`]{stem}[\"'`]", source), name)


if __name__ == "__main__":
  absltest.main()
