"""Settings of Sphinx for the documentation; `tools/docs` builds it."""

import jax_cse

project = "jax_cse"
author = "The jax_cse authors"
version = release = jax_cse.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "scripts"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["wide.css"]
html_title = f"jax_cse {release}"
html_show_sphinx = html_show_copyright = False
html_copy_source = False

myst_heading_anchors = 3

# Docstrings have `code` in single backticks, as Markdown has.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_typehints_format = "short"
python_use_unqualified_type_names = True
napoleon_use_rtype = False
napoleon_use_ivar = True

# Types of other packages: to link to their pages would take the network.
nitpick_ignore_regex = [
    ("py:.*", r"(collections|contextlib|jax|numpy|typing)\..*"),
    ("py:class", r"(~|.*\.)?_[A-Z]\w*"),   # type variables
    ("py:class", r"Any|Callable|Counter|Sequence|optional|ClosedJaxpr"),
]


def _mark_code(app, what, name, obj, options, lines):
  """Makes an indented block of a docstring one of code, as it is meant."""
  marked, inside, before = [], None, 0
  for i, line in enumerate(lines):
    indent = len(line) - len(line.lstrip())
    if line.strip():
      if inside is not None and indent < inside:
        inside = None
      if inside is None and i and not lines[i - 1].strip() and indent > before:
        inside = indent
        marked += [" " * before + ".. code-block:: python", ""]
      if inside is None:
        before = indent
    marked.append(line)
  lines[:] = marked


def setup(app):
  # Before napoleon, which connects with 500.
  app.connect("autodoc-process-docstring", _mark_code, priority=400)
