"""The exceptions that jax_cse adds; JAX's own pass through unchanged."""


class UnsupportedJaxVersion(ImportError):
  """The installed JAX is not one whose internals this package knows.

  Raised before anything is patched. The message names the installed version,
  the supported ones, and the command that installs one of them.
  """


class CheckFailed(ArithmeticError):
  """What was rebuilt differs from the plain program by more than rounding.

  Raised where `check=True` asks for it. The message names the first equation
  whose result differs, and its place in the source.
  """
