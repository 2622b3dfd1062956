"""The exceptions that jax_cse adds; JAX's own pass through unchanged."""


class UnsupportedJaxVersion(ImportError):
  """The installed JAX is too old, or a probe found that it differs.

  Raised before anything is patched. The message names the installed version,
  those on which the tests passed, and what differs.
  """


class CheckFailed(ArithmeticError):
  """A rebuilt program differs from the plain one by more than rounding.

  Raised only with `check=True`. The message names the first equation whose
  result differs, and its place in the source.
  """
