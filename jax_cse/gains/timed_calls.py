"""What a program jits, in seconds: to trace, lower, compile and run it.

    with timed() as timing:
      ...                      # the program
    timing.functions           # a `Function` for each that was jitted

While it times, what `jax.jit` gives is put into a `_Timed`, which waits for the
results of each call. The calls that JAX traced or compiled something in are the
first ones of a signature; what they take besides is a first run. After such a
call JAX's caches have the program, and it is looked at: equations, flops and
temporary memory. That time is kept apart.

Seconds are of processor time, on all cores, since other programs on the machine
disturb it least. On an accelerator later calls are seconds of the clock.

A call inside of another, or inside of a transformation, is a part of that. What
is lowered or compiled outside of any call counts for the function of its name
that was traced or lowered by hand, or differentiated, before, unless another of
that name is traced in between.

Limits: what runs ahead of Python otherwise is waited for here. What is compiled
by hand, or jitted by a name that got `jax.jit` before, is not timed when it
runs. Calls on several threads at once overlap.
"""

from collections.abc import Callable, Iterator
import contextlib
import inspect
import re
import threading
import time
import types
from typing import Any, NamedTuple

import jax

from jax_cse import compat
from jax_cse.findings import comparison
from jax_cse.findings import naming
from jax_cse.foundation import stages
from jax_cse.foundation.counting import equations
from jax_cse.memo import seconds
from jax_cse.report.replaced_jit import replaced_jit


class Program(NamedTuple):
  """A function as it was traced and compiled for some arguments.

  `flops`, by XLA's count, and `temp_bytes` are None where XLA says nothing, or
  where the program was compiled by hand.
  """
  jaxpr: Any
  equations: int
  flops: float | None = None
  temp_bytes: int | None = None


class Function:
  """A function that was jitted, with all others of its name and line.

  Attributes:
    name: its name, and its line if it is known.
    told: its name as JAX tells it.
    took: what JAX took for it.
    first_calls, first: calls in which JAX traced or compiled something, and the
      seconds that they took besides.
    later_calls, later: the other calls, and their seconds.
    programs: by the types of the arguments and the text of the jaxpr.
    error: why one could not be looked at; None if all could.
  """

  def __init__(self, name: str, line: str = ""):
    self.name, self.told = name + line, name
    self.took = seconds.Seconds()
    self.first_calls = self.later_calls = 0
    self.first = self.later = 0.0
    self.programs: dict[Any, Program] = {}
    self.error: str | None = None

  def look_at(self, jitted: Any, args: tuple, kwargs: dict[str, Any],
              is_compiled: bool) -> None:
    """Notes the program of these arguments, out of JAX's caches."""
    try:
      traced = jitted.trace(*args, **kwargs)
      jaxpr = traced.jaxpr
      size = sum(1 for _ in equations(jaxpr.jaxpr))
      key = tuple(map(str, jaxpr.in_avals)), _text(jaxpr)
      self.programs.setdefault(key, Program(jaxpr, size))
      if is_compiled:
        compiled = traced.lower().compile()
        self.programs[key] = Program(
            jaxpr, size, comparison.work(compiled.cost_analysis()),
            getattr(compiled.memory_analysis(), "temp_size_in_bytes", None))
    except Exception as e:   # of the program, which is traced again, or of XLA
      self.error = f"{type(e).__name__}: {e}"[:200]


def _text(jaxpr: Any) -> int:
  """Equal for jaxprs of one text, but for the addresses of functions in it."""
  return hash(re.sub(r"\b0x[0-9a-f]+", "", str(jaxpr)))


class _Here(threading.local):
  """What a thread is in.

  Attributes:
    function: that which is called, or traced or lowered by hand; or None.
    staged: seconds that JAX took in this call.
    looks: whether a program is looked at, which is not counted.
  """

  def __init__(self) -> None:
    self.function: Function | None = None
    self.staged: float | None = None
    self.looks = False

  def begin(self, function: Function) -> None:
    self.function, self.staged = function, None

  def end(self) -> float | None:
    """Seconds that JAX took in the call that ends; None if it did nothing."""
    self.function = None
    return self.staged


class Timing:
  """What was timed.

  Attributes:
    functions: by name and line, in the order in which they were jitted.
    later: processor time of all later calls.
    apart: seconds that programs were looked at, which is not the program's.
    apart_clock: the same by the clock.
  """

  def __init__(self) -> None:
    self.functions: dict[str, Function] = {}
    self.later = self.apart = self.apart_clock = 0.0
    self._awaited: dict[str, Function] = {}   # to be compiled, by name
    self._here = _Here()
    self._lock = threading.Lock()

  def function(self, fun: Any) -> Function:
    made = Function(naming.name_of(fun), _line(fun))
    with self._lock:
      return self.functions.setdefault(made.name, made)

  def note(self, stage: str, name: str, took: float) -> None:
    """A stage that JAX ended; see `stages.listen`."""
    here = self._here
    if here.looks:
      return
    if here.function is not None:
      here.staged = (here.staged or 0.0) + took
    elif stage == "trace":   # of something else, which is compiled next
      self._awaited.pop(name, None)
    function = here.function or self._awaited.get(name)
    if function is not None:
      function.took.add(stage, took)

  @contextlib.contextmanager
  def aside(self, function: Function) -> Iterator[None]:
    """What JAX does inside counts for a function that is not called as such.

    So does what it compiles of it later.
    """
    here = self._here
    if here.function is not None:
      yield
      return
    here.begin(function)
    try:
      yield
    finally:
      here.end()
      self._awaited[function.told] = function

  def call(self, function: Function, jitted: Any, args: tuple,
           kwargs: dict[str, Any]) -> Any:
    here = self._here
    if here.function is not None:
      return jitted(*args, **kwargs)
    if not compat.outside_transformations():
      with self.aside(function):
        return jitted(*args, **kwargs)
    here.begin(function)
    began, clock = time.process_time(), time.perf_counter()
    try:
      result = jax.block_until_ready(jitted(*args, **kwargs))
    finally:
      staged = here.end()
    took = time.process_time() - began
    if staged is not None:
      function.first_calls += 1
      function.first += max(took - staged, 0.0)
      self.look(function, jitted, args, kwargs)
    else:
      self.later += took
      function.later_calls += 1
      function.later += (took if jax.default_backend() == "cpu"
                         else time.perf_counter() - clock)
    return result

  def look(self, function: Function, jitted: Any, args: tuple,
           kwargs: dict[str, Any], is_compiled: bool = True) -> None:
    """Looks at a program, apart from what is timed."""
    began, clock = time.process_time(), time.perf_counter()
    self._here.looks = True
    try:
      function.look_at(jitted, args, kwargs, is_compiled)
    finally:
      self._here.looks = False
      self.apart += time.process_time() - began
      self.apart_clock += time.perf_counter() - clock


def _line(fun: Any) -> str:
  """Where a function is written, as ":12"; empty if that is not known."""
  try:
    return f":{inspect.unwrap(fun).__code__.co_firstlineno}"
  except (AttributeError, ValueError):
    return ""


class _Timed:
  """What `jax.jit` gave, with its calls timed."""

  def __init__(self, timing: Timing, fun: Any, jitted: Any):
    self._jitted = jitted
    self._timing = timing
    self._function = timing.function(fun)
    for name in ("__name__", "__qualname__", "__module__", "__doc__"):
      if hasattr(jitted, name):
        setattr(self, name, getattr(jitted, name))

  def __call__(self, *args, **kwargs):
    return self._timing.call(self._function, self._jitted, args, kwargs)

  def __get__(self, instance, owner=None):
    return self if instance is None else types.MethodType(self, instance)

  # By name, since `isinstance(f, jax.stages.Wrapped)` looks for them.

  def trace(self, *args, **kwargs):
    with self._timing.aside(self._function):
      traced = self._jitted.trace(*args, **kwargs)
    self._look(args, kwargs)
    return traced

  def lower(self, *args, **kwargs):
    with self._timing.aside(self._function):
      lowered = self._jitted.lower(*args, **kwargs)
    self._look(args, kwargs)
    return lowered

  def _look(self, args, kwargs):
    if compat.outside_transformations():
      self._timing.look(self._function, self._jitted, args, kwargs, False)

  def eval_shape(self, *args, **kwargs):
    return self._jitted.eval_shape(*args, **kwargs)

  def __getattr__(self, name):
    return getattr(self.__dict__["_jitted"], name)

  def __copy__(self):
    return self

  def __deepcopy__(self, _):
    return self

  def __reduce__(self):
    return self._jitted.__reduce__()


@contextlib.contextmanager
def timed() -> Iterator[Timing]:
  """Times what is given to `jax.jit` meanwhile."""
  timing = Timing()
  stop = stages.listen(timing.note, time.process_time)

  def make(plain: Callable, fun: Any, *args: Any, **kwargs: Any) -> Any:
    return _Timed(timing, fun, plain(fun, *args, **kwargs))

  try:
    with replaced_jit(make):
      yield timing
  finally:
    stop()
