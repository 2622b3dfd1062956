"""Workloads that people have, through all stages, every way over plain."""

from collections.abc import Iterator

from benchmarks.contests import Contest
from benchmarks.frame import entry
from benchmarks.sizes import Size


# In a run of the default size.
_SOME = ("TayNODE, order 3, trained",
         "Kuramoto-Sivashinsky, nested grad, trained",
         "Laplacian, trace of hessian",
         "biharmonic in 5 dimensions, nested jvp", "pendulum of 3 links",
         "40 reactions of 10 species")


@entry("workloads that people have: every way over plain")
def workloads(size: Size) -> Iterator[Contest]:
  import workloads as people_have
  sizes = people_have.SMALL if size.quick else people_have.FULL
  for name, ways, args in people_have.workloads(sizes):
    if size.full or size.quick or name in _SOME:
      yield Contest(name, ways, args, budget=8, least=2)
