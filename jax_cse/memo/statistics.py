"""Counts kept by the memo table itself, and seconds as JAX tells them.

The equations of the final jaxpr do not tell these counts: a cached trace binds
nothing, and an equation that JAX drops as dead was bound all the same. So the
table counts its own lookups, at every level of nesting at which one is made: a
bind by the rule of the outermost `jvp` can be a hit one level further in, or a
miss there that leads to hits at the next.

    hit        the result was in the table; the caller got it, or eagerly a
               copy, which is made by computing it again where that is cheaper
    miss       it was not; the primitive was applied, and its result went into
               the table if it is of a kind that can
    bypassed   the primitive was applied as if there were no table, with the
               reason
    whole      a call, loop or branch was compared as it is; it counts as one
               of the others besides
    evicted    a result left the eager table to keep it within its budget

Limits: cached eager calls and cached `jit` calls run in C++ and are not binds,
so nothing is counted for them.
"""

from collections import Counter

from jax_cse.memo import seconds


class Statistics:
  """Hits, misses, bypasses and evictions, in all and by primitive.

  It prints as a table, and counts the binds on its thread inside of its
  `enabled()`, and what JAX took there for each function.

  Attributes:
    hits: binds that were answered from a table.
    misses: binds that were looked up and applied.
    bypassed: binds that were applied without being looked up.
    evicted: results that left the eager table to keep it within its budget.
    evicted_bytes: their size, in bytes.
    hits_of: `hits` by primitive name.
    misses_of: `misses` by primitive name.
    by_primitive: primitive name to a `Counter` with the keys "hits", "misses",
      "bypassed" and "evicted".
    whole: by primitive name, calls, loops and branches that were compared as
      they are and not by what they compute, since they are large and not in a
      nested derivative.
    bypass_reasons: reason to the number of binds that were bypassed for it.
    seconds: name of a function that JAX traced, lowered or compiled meanwhile
      to what that took: `trace`, `lower` and `compile`, in seconds, and
      `times`, how often. A function that is called inside of another one is a
      part of that. Functions of one name are counted together, and those after
      the first 1,000 names as "others". So are
      operations that are evaluated eagerly, which JAX compiles one by one.
  """

  def __init__(self) -> None:
    self.clear()

  def clear(self) -> None:
    # Every bind counts in one of these, so they are incremented in place.
    self.hits_of: Counter[str] = Counter()
    self.misses_of: Counter[str] = Counter()
    self._bypassed: Counter[tuple[str, str]] = Counter()
    self._evicted: Counter[str] = Counter()
    self.whole: Counter[str] = Counter()
    self.evicted_bytes = 0
    self.seconds: dict[str, seconds.Seconds] = {}

  def bypass(self, name: str, reason: str) -> None:
    self._bypassed[name, reason] += 1

  def evict(self, name: str, nbytes: int) -> None:
    self._evicted[name] += 1
    self.evicted_bytes += nbytes

  @property
  def hits(self) -> int:
    return self.hits_of.total()

  @property
  def misses(self) -> int:
    return self.misses_of.total()

  @property
  def bypassed(self) -> int:
    return self._bypassed.total()

  @property
  def evicted(self) -> int:
    return self._evicted.total()

  @property
  def bypass_reasons(self) -> Counter[str]:
    reasons: Counter[str] = Counter()
    for (_, reason), n in self._bypassed.items():
      reasons[reason] += n
    return reasons

  @property
  def by_primitive(self) -> dict[str, Counter[str]]:
    table: dict[str, Counter[str]] = {}

    def put(name: str, column: str, n: int) -> None:
      row = table.setdefault(
          name, Counter(hits=0, misses=0, bypassed=0, evicted=0))
      row[column] += n

    for name, n in self.hits_of.items():
      put(name, "hits", n)
    for name, n in self.misses_of.items():
      put(name, "misses", n)
    for (name, _), n in self._bypassed.items():
      put(name, "bypassed", n)
    for name, n in self._evicted.items():
      put(name, "evicted", n)
    return dict(sorted(table.items()))

  def __str__(self) -> str:
    columns = ("hits", "misses", "bypassed", "evicted")
    rows = [(name, [row[c] for c in columns])
            for name, row in self.by_primitive.items()]
    rows.append(("total", [self.hits, self.misses, self.bypassed,
                           self.evicted]))
    width = max(len("primitive"), *(len(name) for name, _ in rows))
    lines = [f"{'primitive':<{width}}" + "".join(f"{c:>10}" for c in columns)]
    lines += [f"{name:<{width}}" + "".join(f"{n:>10}" for n in counts)
              for name, counts in rows]
    if self.bypassed:
      lines.append("bypassed because:")
      lines += [f"{n:>8}  {reason}"
                for reason, n in sorted(self.bypass_reasons.items())]
    if self.whole:
      lines.append("compared whole, large and not in a nested derivative: " +
                   ", ".join(f"{n} {name}" for name, n in
                             sorted(self.whole.items())))
    if self.evicted:
      lines.append(f"evicted: {self.evicted_bytes:,} bytes")
    if self.seconds:
      lines += seconds.table(self.seconds)
    return "\n".join(lines)

  __repr__ = __str__
