"""What the patches of JAX's core cost while nobody eliminates anything."""

from collections.abc import Iterator
import functools

from benchmarks.frame import Case, entry
from benchmarks.patched_processes import WORKLOADS, servers
from benchmarks.sizes import Size


@entry("JAX with patches and no CSE, over a copy without patches")
def patched_off(size: Size) -> Iterator[Case]:
  with servers(13 if size.full else 3) as (plain, patched):
    for name in WORKLOADS:
      yield Case(name, functools.partial(plain, name),
                 functools.partial(patched, name), limit=1.02,
                 turns=156 if size.full else 12)
