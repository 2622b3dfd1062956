"""`python -m jax_cse plot`: the pictures of `plots` from the command line.

    python -m jax_cse plot counts jax.nn:gelu --order 6
    python -m jax_cse plot hits script.py:train --at --out hits.png

The function is named by its module, or the file that it is in, and its name
there. A file is imported as a module, not run as a script.
"""

import argparse
import ast
from collections.abc import Callable
import difflib
import importlib
import importlib.util
import pathlib
import sys
from typing import Any

import jax.numpy as jnp

from jax_cse.foundation import modes
from jax_cse.memo import eager_table
from jax_cse.report import growth
from jax_cse.report import naming
from jax_cse.report import order_counts
from jax_cse.report import plots

_DRAWN = {
    "counts": "equations by primitive against the order of differentiation",
    "growth": "their number, with fitted laws of growth",
    "hits": "hits and misses of the memo over time",
}
# What is drawn, to the least and the default order.
_ORDERS = {"counts": (1, 8), "growth": (growth.LEAST_ORDERS, 8), "hits": (0, 0)}
_POINT = ["1.1"]


def add_to(commands) -> None:
  """Adds the command to the subparsers of a command line."""
  parser = commands.add_parser(
      "plot", help="a figure of a function of one's own")
  parser.add_argument("what", choices=_DRAWN, help="; ".join(
      f"{what}: {text}" for what, text in _DRAWN.items()))
  parser.add_argument("target", metavar="MODULE:FUNCTION",
                      help="such as jax.nn:gelu, or path/to/file.py:f")
  parser.add_argument("--order", type=int, metavar="N",
                      help="highest order of differentiation (default: 8), or "
                      "the order of what runs for hits (default: 0)")
  parser.add_argument("--mode", default=modes.DEFAULT,
                      help=f"accepted: {', '.join(modes.MODES)} "
                      f"(default: {modes.DEFAULT})")
  parser.add_argument("--at", nargs="*", default=_POINT, metavar="X",
                      help="the arguments of the function, of which the first "
                      "is differentiated: numbers, or lists of them such as "
                      "'[1.0, 2.0]'; --at alone means none (default: "
                      f"{_POINT[0]})")
  parser.add_argument("--max-equations", type=int, metavar="N",
                      default=plots.MAX_EQUATIONS,
                      help="where counting ends "
                      f"(default: {plots.MAX_EQUATIONS})")
  parser.add_argument("--max-bytes", type=int, metavar="N",
                      default=eager_table.DEFAULT_MAX_BYTES,
                      help="budget of the memo, for hits "
                      f"(default: {eager_table.DEFAULT_MAX_BYTES})")
  parser.add_argument("--out", metavar="FILE",
                      help="where the figure goes, in the format that the name "
                      "ends in (default: counts.png, growth.png or hits.png)")
  parser.set_defaults(refuse=parser.error)


class _Refused(Exception):
  """Something in the command line is not what is accepted."""


def run(options: argparse.Namespace, _) -> None:
  """Draws what the options say, and saves it."""
  try:
    order, args, out = _checked(options)
    fun = _function(options.target)
    plot = _plot(options, order, fun, args)
  except _Refused as e:
    options.refuse(str(e))
    return
  print(f"plotting {options.what} of {options.target}", file=sys.stderr)
  plot(*args).savefig(out, dpi=100)
  print(f"figure saved to {out}")


def _checked(options) -> tuple[int, list[Any], str]:
  """The order, the arguments of the function, and where the figure goes."""
  least, default = _ORDERS[options.what]
  order = default if options.order is None else options.order
  try:
    order_counts.validate_order(order, least)
    order_counts.validate_bound(options.max_equations)
    eager_table.validate_max_bytes(options.max_bytes)
    modes.validate(options.mode)
  except ValueError as e:
    raise _Refused(str(e)) from None
  args = [_argument(text) for text in options.at]
  if order:
    if not args:
      raise _Refused("--at must have the point of the derivative")
    args[0] = args[0] * 1.0
  return order, args, _output(options.what, options.out)


def _plot(options, order: int, fun: Callable, args: list[Any]) -> Callable:
  if options.what != "hits":
    of = {"counts": plots.plot_counts, "growth": plots.plot_growth}
    return of[options.what](fun, order, mode=options.mode,
                            max_equations=options.max_equations)
  v = order_counts.direction(args[0]) if order else None

  def derivative(*args):
    return order_counts.nested_jvp(fun, order, v)(*args)

  derivative.__name__ = f"derivative {order} of {naming.name_of(fun)}"
  try:
    return plots.plot_hits(derivative if order else fun, options.mode,
                           max_bytes=options.max_bytes)
  except ValueError as e:
    raise _Refused(str(e)) from None


def _output(what: str, path: str | None) -> str:
  try:
    accepted = plots.drawing(f"plot {what}").formats()
  except ImportError as e:
    raise _Refused(str(e)) from None
  out = pathlib.Path(path or f"{what}.png")
  if out.suffix[1:].lower() not in accepted:
    raise _Refused(f"--out must end in one of .{', .'.join(accepted)}; got "
                   f"{path!r}")
  if not out.parent.is_dir():
    raise _Refused(f"--out: there is no folder {str(out.parent)!r}")
  if out.is_dir():
    raise _Refused(f"--out: {path!r} is a folder; it must be a file")
  return str(out)


def _argument(text: str) -> Any:
  """A number, or an array from a list of numbers."""
  try:
    value = ast.literal_eval(text)
    return jnp.asarray(value) if isinstance(value, list | tuple) else (
        value + 0)
  except (ValueError, TypeError, SyntaxError):
    raise _Refused("--at must be numbers or lists of numbers; got "
                     f"{text!r}") from None


def _function(target: str) -> Callable:
  """The function that `MODULE:FUNCTION` names."""
  where, colon, name = target.rpartition(":")
  if not (where and colon and name):
    raise _Refused("the function must be named as MODULE:FUNCTION or "
                     f"FILE.py:FUNCTION; got {target!r}")
  found = _file(where) if where.endswith(".py") else _module(where)
  for part in name.split("."):
    if not hasattr(found, part):
      near = difflib.get_close_matches(part, dir(found), 3)
      raise _Refused(f"there is no {name!r} in {where!r}"
                       + (f"; did you mean {' or '.join(near)}?" if near
                          else ""))
    found = getattr(found, part)
  if not callable(found):
    raise _Refused(f"{target!r} is not a function, but of type "
                     f"{type(found).__name__}")
  return found


def _module(name: str):
  try:
    return importlib.import_module(name)
  except ModuleNotFoundError as e:
    if e.name and (name == e.name or name.startswith(e.name + ".")):
      raise _Refused(f"there is no module {e.name!r}; a file is named by its "
                       "path, with .py") from None
    raise


def _file(path: str):
  if not pathlib.Path(path).is_file():
    raise _Refused(f"there is no file {path!r}")
  name = pathlib.Path(path).stem
  while name in sys.modules:
    name += "_"
  sys.path.insert(0, str(pathlib.Path(path).resolve().parent))
  spec = importlib.util.spec_from_file_location(name, path)
  assert spec is not None and spec.loader is not None
  sys.modules[name] = module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module
