"""How much of the benchmarks a run measures.

`QUICK` is one turn of small programs, for tests. `DEFAULT` is all entries in
under 20 minutes on two cores: a row takes turns for some seconds, and what
takes long has fewer rows or lower orders. `FULL` is everything.
"""

from collections.abc import Iterator
import time
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Size(NamedTuple):
  """One of three. `seconds`: after which a row takes no further turn."""
  name: str
  seconds: float

  @property
  def quick(self) -> bool:
    return self.name == "quick"

  @property
  def full(self) -> bool:
    return self.name == "full"

  def of(self, quick: T, default: T, full: T) -> T:
    return {"quick": quick, "default": default, "full": full}[self.name]

  def turns(self, most: int, least: int = 2) -> Iterator[int]:
    """Numbers of turns, `most` if there is time and `least` if there is none.

    A full run has all of them, a quick one has the first.
    """
    ends = time.perf_counter() + self.seconds
    for turn in range(1 if self.quick else most):
      if not self.full and turn >= least and time.perf_counter() > ends:
        return
      yield turn


QUICK, DEFAULT, FULL = Size("quick", 0.), Size("default", 1.5), Size("full", 0.)
