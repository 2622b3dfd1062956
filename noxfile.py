"""The tests on every release of JAX that is supported, and on a newer one.

The whole suite on the newest release of each minor version, its core on every
other. The documentation is built once, on the Python that runs this. A Python
that is not installed is skipped, and said to be.
"""

import pathlib
import runpy

import nox

nox.options.error_on_missing_interpreters = False
nox.options.default_venv_backend = "venv"

_releases = runpy.run_path(
    str(pathlib.Path(__file__).parent / "jax_cse" / "foundation" /
        "releases.py"))
RELEASES, TESTED = _releases["RELEASES"], _releases["TESTED"]
# Merging, loops, derivatives, the collapse of sums, and errors.
CORE = ("tests/numbering/test_merging.py", "tests/numbering/test_congruence.py",
        "tests/numbering/test_loops_and_types.py",
        "tests/numbering/test_shard_map.py", "tests/memo/test_eager_hits.py",
        "tests/foundation", "tests/primitives", "tests/probe",
        "tests/ring/test_collapse.py", "tests/transforms/test_derivatives.py")


def _on(suite: str):
  return nox.parametrize(
      "python,jax",
      [nox.param(release.python, release.jax, id=release.jax)
       for release in RELEASES if release.suite == suite])


def _test(session: nox.Session, *files: str) -> None:
  # Neighbours stay on one worker, where what they compile is found again.
  session.run("python", "-m", "pytest", "-n", "auto", "--dist", "worksteal",
              *files, *session.posargs, env={"JAX_PLATFORMS": "cpu"})


def _install(session: nox.Session, *jax: str) -> None:
  session.install("--editable", ".[plot,report,test]", *jax)


@nox.session(reuse_venv=True)
@_on("whole")
def tests(session: nox.Session, jax: str) -> None:
  _install(session, f"jax=={jax}", f"jaxlib=={jax}")
  session.run("ruff", "check", ".")
  session.run("mypy")   # on each, since JAX has other types in each version
  _test(session)


@nox.session(reuse_venv=True)
@_on("core")
def core(session: nox.Session, jax: str) -> None:
  _install(session, f"jax=={jax}", f"jaxlib=={jax}")
  _test(session, *CORE)


@nox.session(python=RELEASES[-1].python)
def newer(session: nox.Session) -> None:
  """A release that is not in the table, or before it is one."""
  _install(session)
  session.install("--pre", "--upgrade", "jax", "jaxlib")
  found = session.run(
      "python", "-c", "from importlib import metadata as m;"
      "print(m.version('jax'))", silent=True).split()[-1]
  if found in TESTED:
    session.skip(f"the registry has no JAX newer than {found}")
  session.run("python", "-m", "jax_cse", "check")
  _test(session, *CORE)


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
  session.install("--editable", ".[docs]")
  session.run("python", "-m", "sphinx", "-W", "-n", "--keep-going", "-E", "-q",
              "docs", "docs/_build/html")
