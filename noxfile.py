"""The whole suite on every supported Python, with the JAX that goes with it.
The documentation is built once, on the Python that runs this.

A Python that is not installed is skipped, and said to be.
"""

import nox

nox.options.error_on_missing_interpreters = False


@nox.session(python=["3.11", "3.12", "3.13"], reuse_venv=True)
def tests(session: nox.Session) -> None:
  session.install("--editable", ".[plot,report,test]")
  session.run("ruff", "check", ".")
  session.run("mypy")   # on each, since JAX has other types in each version
  # Neighbours stay on one worker, where what they compile is found again.
  session.run("python", "-m", "pytest", "-n", "auto", "--dist", "worksteal",
              *session.posargs, env={"JAX_PLATFORMS": "cpu"})


@nox.session(reuse_venv=True)
def docs(session: nox.Session) -> None:
  session.install("--editable", ".[docs]")
  session.run("python", "-m", "sphinx", "-W", "-n", "--keep-going", "-E", "-q",
              "docs", "docs/_build/html")
