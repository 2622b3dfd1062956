"""The exceptions that jax_cse adds; JAX's own pass through unchanged."""


class UnsupportedJaxVersion(ImportError):
  """The installed JAX is not one whose internals this package knows.

  Raised before anything is patched. The message names the installed version,
  the supported ones, and the command that installs one of them.
  """
