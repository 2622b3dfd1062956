"""What CSE gains a program in seconds, and whether that is worth it.

A program runs some times in each way, in turns. A part of its time counts as
different where the medians are further apart than the turns of both ways are
among themselves, added up. Of two ways that are the same, 1 in 70 parts would,
with three turns whose times are spread normally; 1 in 8 with two turns. What is
gained and lost in the parts that differ decides. Seconds are of processor time:
on a busy machine the same compilation takes 3 to 7 s by the clock.
"""

from collections.abc import Mapping, Sequence
import math
import statistics
from typing import NamedTuple

# A difference below it is none: nobody waits for 50 ms, once for a program, and
# programs in which CSE has little to merge trace that much longer with it, as
# docs/benchmarks.md has them, "Programs of other packages".
LEAST_SECONDS = 0.05
# Nor is one below that share of the whole: runs of one program differ by 5 to
# 10 % among themselves.
LEAST_SHARE = 0.05
# A gain in each call may pay for what is lost before, if a program calls more
# often than in this run: up to so many times, as a training that is tried on a
# few steps would.
MOST_CALLS = 10_000

WORTH_IT = "worth it"
INDIFFERENT = "indifferent"
LEAVE_OFF = "leave it off for this program"
LATER = "in later calls"


class Way(NamedTuple):
  """A way to run a program.

  Attributes:
    name: such as "mode ring", or "as written".
    parts: seconds by part, of each turn.
    later_calls: how many calls are in the part `LATER`.
  """
  name: str
  parts: Mapping[str, Sequence[float]]
  later_calls: int = 0


class Verdict(NamedTuple):
  """Whether a way is worth it.

  Attributes:
    word: `WORTH_IT`, `INDIFFERENT` or `LEAVE_OFF`.
    way: the name of the best way.
    seconds: how much less than plain the program took; negative for more.
    reason: what that is made of.
  """
  word: str
  way: str
  seconds: float
  reason: str

  def __str__(self) -> str:
    way = f"in {self.way}" if self.way.startswith("mode ") else self.way
    return (f"{self.word} {way}" if self.word == WORTH_IT else self.word
            ) + f": {self.reason}"


def gains(plain: Way, other: Way) -> dict[str, float]:
  """Seconds less by part, 0 where it is not clear; see `gain`."""
  return {name: gain(plain.parts[name], other.parts[name])
          for name in plain.parts}


def gain(plain: Sequence[float], other: Sequence[float]) -> float:
  """Seconds less by the median; 0 where the turns themselves differ as much."""
  less = statistics.median(plain) - statistics.median(other)
  spread = max(plain) - min(plain) + max(other) - min(other)
  return less if abs(less) > spread else 0.0


def judge(plain: Way, others: Sequence[Way]) -> Verdict:
  """The verdict on the best of some ways, a later one only if it is clearly
  better."""
  best = _judge(plain, others[0])
  for other in others[1:]:
    verdict = _judge(plain, other)
    rank = (WORTH_IT, INDIFFERENT, LEAVE_OFF).index
    if rank(verdict.word) < rank(best.word) or (
        verdict.word == best.word
        and verdict.seconds > best.seconds + LEAST_SECONDS):
      best = verdict
  return best


def _judge(plain: Way, other: Way) -> Verdict:
  by_part = gains(plain, other)
  total, later = sum(by_part.values()), by_part.get(LATER, 0.0)
  told = _told(by_part)
  verdict = Verdict(INDIFFERENT, other.name, total, (
      f"{told}, of {_whole(plain):.2f} s" if told else
      "no part of its time differs by 5 ms, and by more than the turns do"))
  least = max(LEAST_SECONDS, LEAST_SHARE * _whole(plain))
  if total > least:
    return verdict._replace(word=WORTH_IT, reason=verdict.reason + (
        f"; with about {_times(plain, total, -later):,} later calls nothing is "
        "left of it" if later < 0 else ""))
  if later > 0:
    calls = _times(plain, least - total, later)
    if calls <= MOST_CALLS:
      return verdict._replace(word=WORTH_IT, reason=(
          f"from about {calls:,} later calls on; with {plain.later_calls:,} it "
          f"is {verdict.reason}"))
  return verdict._replace(
      word=INDIFFERENT if total >= -least else LEAVE_OFF)


def _times(plain: Way, missing: float, later: float) -> int:
  """How many later calls differ by `missing` more, if these do by `later`."""
  return math.ceil(plain.later_calls * (1 + missing / later))


def _told(by_part: Mapping[str, float]) -> str:
  """Such as "0.40 s less to trace, 0.02 s more in later calls"."""
  parts = sorted((g for g in by_part.items() if abs(g[1]) >= 0.005),
                 key=lambda g: -abs(g[1]))
  return ", ".join(f"{abs(g):.2f} s {'less' if g > 0 else 'more'} {name}"
                   for name, g in parts)


def _whole(way: Way) -> float:
  return sum(map(statistics.median, way.parts.values()))
