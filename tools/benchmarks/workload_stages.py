"""Workloads that people have, through all stages, every way over plain."""

from collections.abc import Iterator

from benchmarks.contests import Contest
from benchmarks.frame import entry


@entry("workloads that people have: every way over plain")
def workloads(quick: bool) -> Iterator[Contest]:
  import workloads as people_have
  sizes = people_have.SMALL if quick else people_have.FULL
  for name, ways, args in people_have.workloads(sizes):
    yield Contest(name, ways, args, budget=8, least=2)
