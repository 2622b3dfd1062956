"""The exceptions that jax_cse adds; JAX's own pass through unchanged."""


class UnsupportedJaxVersion(ImportError):
  """The installed JAX has internals that this package does not know.

  Raised before anything is patched. The message names the installed version,
  the supported ones, and the command that installs one of them.
  """


class CheckFailed(ArithmeticError):
  """A rebuilt program differs from the plain one by more than rounding.

  Raised only with `check=True`. The message names the first equation whose
  result differs, and its place in the source.
  """
