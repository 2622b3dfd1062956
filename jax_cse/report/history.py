"""Statistics that remember how they came about.

`Statistics` are totals. A `History` is the same, and takes a sample of the
totals as they grow, with the bytes that the memo holds:

    history = History(lambda: memo.nbytes)
    memo.stats = history
    ...
    history.finish()
    history.samples     # totals after some of the lookups, the last included

Time is counted in lookups, each of which is a hit, a miss or bypassed. The
samples stand at equal distances: when there are too many, every other one is
dropped and the distance doubles, so a history of a run of any length has its
totals at 512 to 1,024 points.

Nobody pays who does not ask for it: the tables count in plain counters, and
only those of a history, which look the same, call back when they change.
"""

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from jax_cse.memo.statistics import Statistics

MOST_SAMPLES = 1024


class Sample(NamedTuple):
  """The totals after `lookups` lookups; `nbytes` are held, the rest counts."""
  lookups: int
  hits: int
  misses: int
  bypassed: int
  evicted: int
  nbytes: int


class _Calling(Counter):
  """A counter that calls after each change of one of its counts."""

  call: Callable[[], None] = staticmethod(lambda: None)

  def __setitem__(self, name, n):
    super().__setitem__(name, n)
    self.call()


class History(Statistics):
  """Statistics with samples of their past.

  Attributes:
    lookups: how many there were, evictions not counting as one.
    samples: `Sample`s, oldest first, with none at 0.
  """

  def __init__(self, nbytes: Callable[[], int] = lambda: 0):
    self._nbytes = nbytes
    super().__init__()

  def clear(self) -> None:
    super().clear()
    self.lookups = 0
    self.samples: list[Sample] = []
    self._distance = 1
    self.hits_of, self.misses_of = _Calling(), _Calling()
    self.hits_of.call = self.misses_of.call = self._looked_up

  def bypass(self, name: str, reason: str) -> None:
    super().bypass(name, reason)
    self._looked_up()

  def finish(self) -> None:
    """Takes a last sample, and lets go of the memo that was asked for bytes."""
    if self.lookups and (not self.samples
                         or self.samples[-1].lookups < self.lookups):
      self._sample()
    self._nbytes = lambda: 0

  def _looked_up(self) -> None:
    self.lookups += 1
    if self.lookups % self._distance == 0:
      self._sample()
      if len(self.samples) >= MOST_SAMPLES:
        self._distance *= 2
        self.samples = [s for s in self.samples
                        if s.lookups % self._distance == 0]

  def _sample(self) -> None:
    self.samples.append(Sample(self.lookups, self.hits, self.misses,
                               self.bypassed, self.evicted, self._nbytes()))
