"""A function on arguments that can be traced again, as it is or changed."""

from collections.abc import Callable
from typing import Any, NamedTuple

from jax_cse.findings import derivative_calls
from jax_cse.findings.derivative_calls import Call
from jax_cse.findings.redundancy_report import Line


class Traceable(NamedTuple):
  """A function with its arguments, which are arrays or shapes.

  Attributes:
    fun: the function.
    args, kwargs: its arguments.
    calls: the derivatives that it takes.
  """
  fun: Callable
  args: tuple
  kwargs: dict[str, Any]
  calls: list[Call]


class Change(NamedTuple):
  """A change of a program, which may pay.

  Attributes:
    line, seen, write: as of an `Advice`.
    make: gives the closed jaxpr of the changed program.
    compiles: whether XLA can compile that.
  """
  line: Line | None
  seen: str
  write: str
  make: Callable[[], Any]
  compiles: bool = True


def traced(fun: Callable, args: tuple, kwargs: dict[str, Any]
           ) -> tuple[Any, Traceable]:
  """The closed jaxpr of a function, and what to trace it again by."""
  closed_jaxpr, calls = derivative_calls.watched(fun, args, kwargs)
  return closed_jaxpr, Traceable(fun, args, kwargs, calls)
