"""Where an equation is in the user's program."""

import contextlib
import os
import sys
import sysconfig
import types

from jax._src import config
from jax._src import core
from jax._src import source_info_util
from jax._src import traceback_util
from jax._src import xla_metadata_lib

from jax_cse.compat.settings import VERSION

# Makes frames of this package JAX's own, not the user's.
_PACKAGE = os.path.dirname(os.path.dirname(__file__)) + os.sep
traceback_util.register_exclusion(_PACKAGE)
source_info_util.register_exclusion(_PACKAGE)


def current_source():
  """Where the user's program is: traceback and name stack."""
  return source_info_util.current()


def transformations() -> tuple:
  """The scopes and transformations around the running part of the user's
  program, as far as the jaxpr under construction can tell."""
  return source_info_util.current_name_stack().stack


def differentiations(around: tuple) -> int:
  """How many of `transformations()` are derivatives."""
  return sum([type(x) is source_info_util.Transform and x.name == "jvp"
              for x in around]) if around else 0


def line_of(eqn) -> str:
  """The line of the user's program that an equation comes from."""
  return source_info_util.summarize(eqn.source_info)


def user_frame(eqn) -> tuple[str, int, str] | None:
  """File, line and function of the user's that an equation comes from."""
  frame = source_info_util.user_frame(eqn.source_info.traceback)
  return frame and (frame.file_name, frame.start_line, frame.function_name)


def calling_frame(outermost: types.CodeType | None = None
                  ) -> tuple[str, int, str] | None:
  """File, line and function of the user's that called the running code.

  Installed packages are passed over, unless there is nothing else. Who called
  `outermost` is not looked at. (JAX's own view of the stack ends where the
  traced function begins.)
  """
  frame: types.FrameType | None = sys._getframe()
  found = None
  installed = tuple(sysconfig.get_paths()[x] for x in ("purelib", "platlib"))
  while frame is not None and frame.f_code is not outermost:
    code = frame.f_code
    if source_info_util.is_user_filename(code.co_filename):
      place = code.co_filename, frame.f_lineno, code.co_name
      found = found or place
      if not code.co_filename.startswith(installed):
        return place
    frame = frame.f_back
  return found


# What JAX stamps on an equation that is bound now.
# 0.10.1: the context of an equation is made without arguments.
# 0.10.2: contexts that are equal are one object.
if VERSION < (0, 10, 1):
  def current_eqn_context():
    return core.JaxprEqnContext(
        config.compute_on_context_manager.value,
        config.threefry_partitionable.value,
        xla_metadata_lib.current_xla_metadata())
else:
  current_eqn_context = (
      core.JaxprEqnContext if VERSION < (0, 10, 2)
      else core.current_jaxpr_eqn_context)


@contextlib.contextmanager
def at(context, source):
  """Gives binds inside a context and a place in the source."""
  with (source_info_util.user_context(source.traceback,
                                      name_stack=source.name_stack),
        context.manager):
    yield


def source_of(eqn):
  """The place of an equation, inside of the place where it is evaluated."""
  source = eqn.source_info
  return source.replace(
      name_stack=source_info_util.current_name_stack() + source.name_stack)
