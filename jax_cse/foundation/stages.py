"""The stages of JAX, as it does them: to trace, to lower and to compile.

JAX tells when a stage begins and how long it took (`jax.monitoring`), on the
thread that does it and by the name of the function. What is evaluated while a
function is traced, as under `jax.ensure_compile_time_eval`, is compiled by
itself. Its seconds count for it alone, so no second is counted twice.
"""

from collections.abc import Callable
import re
import threading

from jax import monitoring

STAGES = {
    "/jax/core/compile/jaxpr_trace_duration": "trace",
    "/jax/core/compile/jaxpr_to_mlir_module_duration": "lower",
    "/jax/core/compile/backend_compile_duration": "compile"}


class _Running(threading.local):
  """The stages that run on this thread: when each began by the clock, and the
  seconds of those inside of it."""

  def __init__(self) -> None:
    self.stages: list[list[float]] = []


def listen(receive: Callable[[str, str, float], None],
           clock: Callable[[], float] | None = None) -> Callable[[], None]:
  """From now on calls `receive(stage, function, seconds)` after each stage, on
  the thread that did it, with the seconds that were not another's.

  They are those that JAX tells, or go by `clock`.

  Returns:
    A function that ends this. JAX keeps the listeners: one that is taken away
    while another thread calls all of them would have it miss one.
  """
  running = _Running()
  ended = threading.Event()

  def begin(event: str, value: float, **kwargs: str | int) -> None:
    if event in STAGES and not ended.is_set():
      running.stages.append([clock() if clock else 0.0, 0.0])

  def end(event: str, duration_secs: float, **kwargs: str | int) -> None:
    if event not in STAGES or ended.is_set():
      return
    took, inside = duration_secs, 0.0
    if running.stages:   # or it began before anybody listened
      began, inside = running.stages.pop()
      took = clock() - began if clock else took
    if running.stages:
      running.stages[-1][1] += took
    # "f" when it is traced, "jit(f)" later.
    name = re.sub(r"^jit\((.*)\)$", r"\1", str(kwargs.get("fun_name", "?")))
    receive(STAGES[event], name, max(took - inside, 0.0))

  # After an interrupt between the two, seconds of others are not taken off.
  monitoring.register_event_duration_secs_listener(end)
  monitoring.register_scalar_listener(begin)
  return ended.set
