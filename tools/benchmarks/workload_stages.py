"""Workloads that people have, through all stages, every way over plain."""

from collections.abc import Iterator

from benchmarks.contests import Contest
from benchmarks.frame import entry


@entry("workloads that people have: every way over plain")
def workloads(quick: bool) -> Iterator[Contest]:
  del quick
  from workloads import workloads as them
  for name, ways, args in them():
    yield Contest(name, ways, args)
