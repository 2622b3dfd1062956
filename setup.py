"""Packaging; the settings of the tools are in pyproject.toml."""

import pathlib

import setuptools

_here = pathlib.Path(__file__).parent
_version: dict[str, str] = {}
exec((_here / "jax_cse" / "foundation" / "version.py").read_text(), _version)

setuptools.setup(
    name="jax_cse",
    version=_version["__version__"],
    description="Common-subexpression elimination for JAX as it runs or traces",
    long_description=(_here / "README.md").read_text(),
    long_description_content_type="text/markdown",
    author="The jax_cse authors",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["jax", "automatic differentiation", "higher-order derivatives",
              "common subexpression elimination", "Taylor mode", "Laplacian"],
    packages=setuptools.find_packages(include=["jax_cse", "jax_cse.*"]),
    py_modules=["pytest_jax_cse"],
    package_data={"jax_cse": ["py.typed"], "jax_cse.report": ["page/*"]},
    python_requires=">=3.11",
    # With no upper bound, so that installing moves nobody's JAX.
    install_requires=["jax>=0.10", "platformdirs"],
    extras_require={
        "bench": ["blackjax", "diffrax", "e3nn-jax", "flax", "folx", "jax-md",
                  "jaxopt", "jet-array>=0.1.0a2", "mujoco-mjx", "numpyro",
                  "optax", "optimistix", "sympy", "tqdm"],
        "docs": ["furo", "myst-parser", "sphinx"],
        # Apart, since there are wheels for few systems.
        "enzyme": ["enzyme-ad>=0.0.16; python_version < '3.12'"],
        "examples": ["diffrax", "folx", "matplotlib", "optax", "tqdm"],
        "plot": ["matplotlib"],
        "report": ["igraph", "jinja2"],
        "test": ["absl-py", "check-jsonschema", "diffrax", "flax",
                 "hypothesis", "matplotlib", "mpmath", "mypy", "nox", "optax",
                 "packaging", "pytest", "pytest-xdist", "pyyaml", "ruff",
                 "selenium", "sympy", "tqdm", "types-tqdm"],
    },
    entry_points={"pytest11": ["jax_cse = pytest_jax_cse"]},
    classifiers=[
        "Development Status :: 3 - Alpha",
        "Intended Audience :: Science/Research",
        "Operating System :: OS Independent",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
        "Topic :: Scientific/Engineering :: Mathematics",
        "Typing :: Typed",
    ],
)
