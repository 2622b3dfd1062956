"""A program that is run in this process, as `python` runs it in one of its own.
"""

from collections.abc import Sequence
import os
import runpy
import sys
import traceback


class NoProgram(Exception):
  """No program has the name that was given."""


def run(program: str, args: Sequence[str], is_module: bool) -> None:
  """Runs a script, or a module, with these arguments.

  Raises:
    NoProgram: there is none; and whatever the program raises.
  """
  sys.argv = [program, *args]
  if not sys.flags.safe_path:   # `python -P` puts no folder first
    sys.path[0] = (os.getcwd() if is_module
                   else os.path.dirname(os.path.abspath(program)))
  try:
    if is_module:
      runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
      runpy.run_path(program, run_name="__main__")
  except ImportError as e:
    # An error of the program itself has frames outside of `runpy`.
    frames = [frame for frame, _ in traceback.walk_tb(e.__traceback__)]
    if all(frame.f_globals is vars(runpy) for frame in frames[1:]):
      raise NoProgram(str(e)) from None
    raise
