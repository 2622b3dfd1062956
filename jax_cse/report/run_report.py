"""`python -m jax_cse run --report`: from a program that runs to a page.

When the program has ended, in whatever way, each function that it jitted is
traced once more, without CSE and on shapes alone, and compared with what CSE
makes of it. An object that is called is traced earlier: see `recording`. A
function that cannot be traced again is listed with the reason.

Limits: a function sees the globals and the objects that it closes over as they
are when the program has ended. One that prints while it is traced prints once
more. Of the settings that a `with` makes around it only the width of numbers,
x64, is made again; not a mesh or the precision of products of matrices. A
program that ends itself by `os._exit` or a signal leaves no page.
"""

from collections.abc import Iterator
import contextlib
from importlib import metadata
import pathlib
import platform
import reprlib
import sys
import traceback

import jax

from jax_cse import compat
from jax_cse.advice import advice
from jax_cse.findings import comparison
from jax_cse.findings.redundancy_report import Line
from jax_cse.foundation import version
from jax_cse.memo.statistics import Statistics
from jax_cse.report import recording
from jax_cse.report import report_page
from jax_cse.report.graph_pairs import graph_pairs

# The most that is said about an error, in characters.
_LONGEST = 2000
# Types of arguments that are shown; one derived from these is not, since it may
# have any `repr`.
_SHOWN = (bool, int, float, complex, str, jax.ShapeDtypeStruct)
_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 100


@contextlib.contextmanager
def written(path: str, program: str, command: str, mode: str,
            statistics: Statistics | None) -> Iterator[None]:
  """Writes a page about what runs inside, when that ends.

  Args:
    path: of the page; where it lies is settled now.
    program: name of the program.
    command: what it was started with.
    mode: what counts as the same.
    statistics: of the memo that it runs with; None if CSE is off.

  Raises:
    OSError: the page cannot be written, and the program ended well.
  """
  out = pathlib.Path(path).absolute()

  def write(outcome):
    versions = [("Python", platform.python_version()), ("jax", jax.__version__),
                ("jaxlib", metadata.version("jaxlib")),
                ("jax_cse", version.__version__)]
    total = len(recorded.programs)
    entries = []
    for i, traced in enumerate(recorded.programs, start=1):
      print(f"jax_cse: looking at {traced.name} ({i}/{total})",
            file=sys.stderr, flush=True)
      with jax.enable_x64(traced.x64):
        entries.append(_entry(traced, mode))
    page = report_page.render(report_page.Run(
        program, command, mode, outcome, versions, entries, recorded.left_out,
        statistics))
    # A lone surrogate, as of a file's name that is no UTF-8, has no bytes.
    out.write_bytes(page.encode("utf-8", errors="backslashreplace"))
    print(f"jax_cse: report saved to {out}", file=sys.stderr)

  try:
    with recording.jitted() as recorded:
      yield
  except BaseException as e:
    try:
      write(_outcome(e))
    except Exception:
      traceback.print_exc()
    raise
  write("ended well")


def _outcome(e: BaseException) -> str:
  if isinstance(e, SystemExit):
    return f"ended with exit status {e.code or 0}" if (
        e.code is None or isinstance(e.code, int)) else (
            f"ended with the message {e.code}")
  return f"ended with {_said(e)}"


def _said(e: BaseException) -> str:
  text = "".join(traceback.format_exception_only(e)).strip()
  return text if len(text) <= _LONGEST else text[:_LONGEST] + " ..."


def _entry(traced: recording.Program, mode: str) -> report_page.Entry:
  entry = report_page.Entry(
      traced.name, traced.called and Line(*traced.called),
      [(name, _type(leaf)) for name, leaf in traced.leaves()
       if type(leaf) in _SHOWN])
  try:
    fun, arrays, names = traced.on_arrays()
    found = (comparison.of(fun, mode)(*arrays) if traced.plain is None
             else comparison.of_jaxpr(traced.name, traced.plain, mode))
  # The program may do anything when it is traced, such as end itself.
  except (Exception, SystemExit) as e:
    return entry._replace(error=_said(e))
  flops, flops_error = (None,) * 3, None
  try:
    flops = found.flops()
  except Exception as e:   # of a compiler
    flops_error = _said(e)
  pairs = list(graph_pairs(found, names))
  pays = (advice.of(found, flops[1], traced.mode) if traced.plain is None
          else traced.advice)
  return entry._replace(
      report=found.report(flops, pays), flops_error=flops_error,
      counts=found.counts(), pairs=report_page.draw(pairs),
      number_of_pairs=len(pairs))


def _type(leaf) -> str:
  if isinstance(leaf, jax.ShapeDtypeStruct):
    return compat.type_name(leaf)
  try:
    return _SHORT.repr(leaf)
  except ValueError:   # Python writes no more than some thousands of digits
    return f"a number of {leaf.bit_length():,} bits"
