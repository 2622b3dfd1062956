"""The layers of the package and the folders of tests, read from the source."""

import ast
from importlib import metadata
import os
import pathlib
import re
from unittest import mock

from absl.testing import absltest
import jax
from packaging import requirements

import jax_cse
from jax_cse.foundation import releases
from jax_cse.foundation import versions
from jax_cse.primitives import exclusions

ROOT = pathlib.Path(jax_cse.__file__).parent

# From the ground up: a folder imports only those before it.
FOLDERS = ("foundation", "compat", "ring", "primitives", "numbering",
           "directions", "rebuild", "memo", "checking", "transforms",
           "findings", "advice", "report", "gains", "orders", "probe")

TESTS = ROOT.parent / "tests"
# Tests of more than one folder, and what tests share.
WIDER = ("end_to_end", "project")
SHARED = ("programs", "comparing")


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


def _name(path):
  parts = path.relative_to(ROOT).with_suffix("").parts
  return ".".join(parts).removesuffix(".__init__")


MODULES = {_name(path): imports(path) for path in ROOT.rglob("*.py")}
OWN = {module: {name.removeprefix("jax_cse.") for name in names
                if name.startswith("jax_cse.")} & MODULES.keys()
       for module, names in MODULES.items()}


def misplaced(files):
  """Those files under tests/ that are in no folder for their kind."""
  return [file for file in files if str(file.parent) not in (
      FOLDERS + WIDER if file.name.startswith("test_") else SHARED)]


class StructureTest(absltest.TestCase):

  def test_the_folders_are_all_there_is(self):
    self.assertEqual({path.parent.name for path in ROOT.glob("*/__init__.py")},
                     set(FOLDERS))
    self.assertEqual({path.name for path in ROOT.glob("*.py")},
                     {"__init__.py", "__main__.py"})

  def test_a_folder_imports_only_those_under_it(self):
    for module, needs in OWN.items():
      folder = module.split(".")[0]
      if folder in FOLDERS:
        under = FOLDERS[:FOLDERS.index(folder) + 1]
        for name in needs:
          self.assertIn(name.split(".")[0], under, f"{module}: {name}")

  def test_the_map_shows_what_is_there(self):
    rows = re.findall(r"^\| `(\w+)/` \|.*\| (.*) \|$",
                      (ROOT.parent / "CONTRIBUTING.md").read_text(),
                      re.MULTILINE)
    self.assertEqual(tuple(folder for folder, _ in rows), FOLDERS)
    for folder, modules in rows:
      self.assertEqual(
          set(re.findall(r"`(\w+)`", re.sub(r"\([^)]*\)", "", modules))),
          {path.stem for path in (ROOT / folder).glob("*.py")} - {"__init__"})

  def test_a_folder_says_what_it_is(self):
    for folder in FOLDERS:
      text = ast.get_docstring(ast.parse(
          (ROOT / folder / "__init__.py").read_text()))
      self.assertLessEqual(len(text.splitlines()), 15, folder)

  def test_one_folder_touches_private_jax(self):
    private = {m.split(".")[0] for m, names in MODULES.items()
               if any(n.startswith(("jax._src", "jaxlib")) for n in names)}
    self.assertEqual(private, {"compat"})

  def test_the_ring_imports_no_jax(self):
    for module, names in MODULES.items():
      if module.split(".")[0] == "ring":
        self.assertFalse([n for n in names if n.split(".")[0] == "jax"], module)

  def test_imports_have_an_order(self):
    done: set[str] = set()
    # A folder's own name stands for what it re-exports.
    todo = {m: needs - {m, m.split(".")[0]} for m, needs in OWN.items()}
    while todo:
      ready = {m for m, needs in todo.items() if needs <= done}
      self.assertNotEmpty(ready, f"a cycle among {sorted(todo)}")
      done |= ready
      todo = {m: needs for m, needs in todo.items() if m not in ready}

  def test_no_release_of_jax_is_pinned(self):
    needs = [requirements.Requirement(text) for text in
             metadata.requires("jax_cse") if "extra ==" not in text]
    self.assertEqual({need.name for need in needs}, {"jax", "platformdirs"})
    jax_needed, = (need for need in needs if need.name == "jax")
    self.assertEqual(str(jax_needed.specifier), ">=0.10")
    for version in releases.TESTED:
      self.assertTrue(jax_needed.specifier.contains(version))

  def test_init_only_names(self):
    tree = ast.parse((ROOT / "__init__.py").read_text())
    lazy, = [node for node in tree.body if isinstance(node, ast.If)]
    for node in lazy.body:
      self.assertEqual([alias.asname for alias in node.names],
                       [alias.name for alias in node.names])
    # What a type checker sees is what is loaded when it is asked for.
    self.assertEqual(
        {alias.name: node.module for node in lazy.body for alias in node.names},
        {name: f"jax_cse.{module}"
         for name, module in jax_cse._MODULE_OF.items()})

  def test_what_is_loaded_late_is_refused_on_another_jax(self):
    self.addCleanup(versions.check.cache_clear)
    versions.check.cache_clear()
    with (mock.patch.object(jax, "__version__", "9.9.9"),
          mock.patch.dict(os.environ, JAX_CSE_CHECK="strict")):
      for name in jax_cse._MODULE_OF:
        with self.assertRaisesRegex(jax_cse.UnsupportedJaxVersion, "9.9.9"):
          jax_cse.__getattr__(name)
    with self.assertRaisesRegex(AttributeError, "no attribute 'nothing'"):
      jax_cse.nothing   # noqa: B018
    self.assertContainsSubset(jax_cse._MODULE_OF, dir(jax_cse))

  def test_every_module_has_a_docstring_and_is_short(self):
    for path in (*ROOT.rglob("*.py"), *TESTS.rglob("*.py")):
      text = path.read_text()
      if path.stem != "version":
        self.assertIsNotNone(ast.get_docstring(ast.parse(text)), path)
      self.assertLess(text.count("\n"), 400, path)

  def test_each_test_is_in_a_folder_of_the_package_or_a_wider_one(self):
    self.assertEqual(
        misplaced(path.relative_to(TESTS) for path in TESTS.rglob("*.py")),
        [pathlib.Path("conftest.py")])
    wrong = [pathlib.Path(name) for name in (
        "test_a.py", "rings/test_a.py", "ring/a.py", "programs/test_a.py")]
    right = [pathlib.Path("ring/test_a.py"), pathlib.Path("programs/a.py")]
    self.assertEqual(misplaced(wrong + right), wrong)

  def test_what_is_structured_has_a_rule(self):
    from jax_cse import compat
    from jax_cse.numbering import jaxpr_numbering
    self.assertEqual(compat.STRUCTURED, jaxpr_numbering.RULES.keys())

  def test_every_exclusion_has_a_reason(self):
    for table in (exclusions.NEVER, exclusions.EAGER):
      for name, reason in table.items():
        self.assertRegex(reason, r"\w+ \w+", name)

  def test_every_exclusion_names_a_primitive(self):
    # The names are strings, so a typing error would exclude nothing.
    source = "\n".join(
        path.read_text() for path in
        pathlib.Path(jax.__file__).parent.rglob("*.py"))
    later = {"matmul_lhs_fifo"} if jax.__version_info__ < (0, 12) else set()
    for table in (exclusions.NEVER, exclusions.EAGER):
      for name in table.keys() - later:
        stem = name.removesuffix("_done")
        self.assertTrue(re.search(f"[\"'`]{stem}[\"'`]", source), name)


if __name__ == "__main__":
  absltest.main()
