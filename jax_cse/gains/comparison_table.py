"""What `compare` measured, as text: tables, failures and the verdict."""

from collections.abc import Callable, Iterator, Mapping, Sequence
import pathlib
import statistics
from typing import Any

from jax_cse.gains import gain
from jax_cse.gains.measured_run import Figures
from jax_cse.gains.run_comparison import PLAIN, Compared

# Functions that are shown, those first that take longest without CSE.
_MOST_FUNCTIONS = 12
# Of its time, in which a function must differ to be shown for that.
_LEAST_SHARE = 0.05
_LABEL, _CELL = 34, 14
# Of a function: what is shown, from the figures of a turn, and how.
_ROWS: Sequence[tuple[str, str, Callable[[Any], str]]] = (
    ("to the first results", "s to the first results", lambda x: f"{x:,.3f}"),
    ("a call", "ms a call after that", lambda x: f"{1e3 * x:,.3f}"),
    ("equations", "equations", lambda x: f"{x:,.0f}"),
    ("flops", "flops by XLA's count", lambda x: f"{x:,.0f}"),
    ("temporary bytes", "temporary bytes", lambda x: f"{x:,.0f}"))
_COUNTS = ("equations", "flops", "temporary bytes")
_TIMES = ("to the first results", "a call")
IN_PART = "Counts are of the functions that could be looked at in each way."
# Figures by name, as a run gives them.
_Functions = Mapping[str, Mapping[str, Any]]


def text(compared: Compared) -> str:
  """All that a person reads."""
  lines = list(_failures(compared))
  if PLAIN in compared.ways:
    lines += [*_whole(compared), *_functions(compared)]
  if compared.verdict is not None:
    lines += ["", str(compared.verdict), *_turned_on(compared)]
    if compared.line:
      lines.append(f"Where most is computed again: {compared.line}")
    if compared.advice:
      lines.append(f"What would pay: {compared.advice}")
  return "\n".join(lines)


def _turned_on(compared: Compared) -> Iterator[str]:
  """How a mode that is worth it is turned on, and what it may do."""
  if compared.verdict is None or compared.verdict.word != gain.WORTH_IT:
    return
  if compared.verdict.way.startswith("mode "):
    yield (f'To turn it on: @jax_cse.enabled("{compared.mode}") below '
           f"@jax.jit, or the command `python -m jax_cse run --mode "
           f"{compared.mode}`.")
  if compared.mode != "exact":
    yield f'Sums may round otherwise in mode "{compared.mode}".'


def _failures(compared: Compared) -> Iterator[str]:
  for failure in compared.failures:
    yield f"{compared.program} failed, {failure.way}:"
    yield from (f"    {line}" for line in failure.output.splitlines())
    if PLAIN in compared.ways:
      yield "without CSE it did not."


def _row(label: str, cells: Sequence[str]) -> str:
  return f"{label:<{_LABEL}}" + "".join(f"{cell:>{_CELL}}" for cell in cells)


def _whole(compared: Compared) -> Iterator[str]:
  ways = compared.ways
  name = pathlib.Path(compared.program).name
  yield _row(f"{name}, {compared.turns} turns", list(ways))
  for part in ways[PLAIN][0].parts:
    yield _row(f"s {part}", [f"{_median(turns, part):,.3f}"
                             for turns in ways.values()])
  yield _row("s of processor time, in all", [
      f"{sum(_median(turns, part) for part in turns[0].parts):,.3f}"
      for turns in ways.values()])
  yield _row("s by the clock", [
      f"{statistics.median(t.clock for t in turns):,.3f}"
      for turns in ways.values()])
  firsts = [turns[0].functions for turns in ways.values()]
  labels = {key: label for key, label, _ in _ROWS}
  every = set().union(*firsts)
  in_part = False
  for key in _COUNTS:
    known = _known(firsts, key)
    in_part |= bool(known) and known != every
    yield _row(labels[key], [
        f"{sum(functions[name][key] for name in known):,.0f}" if known else "-"
        for functions in firsts])
  if in_part:
    yield IN_PART
  if any(t.cache_hits for turns in ways.values() for t in turns):
    yield ("The program has compiled programs kept on disk, so that the time "
           "to compile is not that of a first run.")


def _median(turns: Sequence[Figures], part: str) -> float:
  return statistics.median(t.parts[part] for t in turns)


def _known(ways: Sequence[_Functions], key: str) -> set[str]:
  """The functions of which this is known in each way."""
  return set.intersection(*(
      {name for name, f in functions.items() if f[key] is not None}
      for functions in ways))


def _functions(compared: Compared) -> Iterator[str]:
  ways = compared.ways
  plain = ways[PLAIN][0].functions
  names = sorted((name for name in plain if _differs(compared, name)),
                 key=lambda name: -plain[name]["to the first results"])
  for name in names[:_MOST_FUNCTIONS]:
    yield ""
    yield f"{name}, {plain[name]['later calls']:,} calls after the first"
    for key, label, form in _ROWS:
      of_ways = [_of_function(turns, name, key) for turns in ways.values()]
      if any(values for values in of_ways):
        yield _row(f"  {label}", [
            form(statistics.median(values)) if values else "-"
            for values in of_ways])
    errors = {t.functions[name]["error"] for turns in ways.values()
              for t in turns if name in t.functions} - {None}
    yield from (f"  not looked at: {error}" for error in sorted(errors))
  if len(names) > _MOST_FUNCTIONS:
    yield f"{len(names) - _MOST_FUNCTIONS} more functions differ."


def _of_function(turns: Sequence[Figures], name: str, key: str) -> list[float]:
  values = [t.functions[name][key] for t in turns if name in t.functions]
  return [x for x in values if x is not None]


def _differs(compared: Compared, name: str) -> bool:
  """Whether a function has other counts with CSE, or clearly another time."""
  plain, *others = compared.ways.values()
  return any(
      any(_of_function(plain, name, key) != _of_function(other, name, key)
          for key in _COUNTS)
      or any(_differ(_of_function(plain, name, key),
                     _of_function(other, name, key)) for key in _TIMES)
      for other in others)


def _differ(plain: Sequence[float], other: Sequence[float]) -> bool:
  return bool(plain and other) and (
      abs(gain.gain(plain, other)) > _LEAST_SHARE * statistics.median(plain))
