"""Two ways of running one suite, compared test by test. Pure; no pytest.

A suite is a dict from file to dict from test id to record (journal.outcomes). A
test differs if its outcome does, or if it was run one way only. Differences
that are known stand in a table, file -> test -> reason; an entry of the table
that does not differ any more is an error too, so that the table stays true.
"""

import collections
from typing import NamedTuple

_ABSENT = {"outcome": "not run", "why": ""}


class Difference(NamedTuple):
  file: str
  test: str
  plain: dict
  other: dict


def differences(plain, other) -> list[Difference]:
  """Where the outcomes differ, over the files that were run both ways."""
  found = []
  for file in plain.keys() & other.keys():
    for test in plain[file].keys() | other[file].keys():
      a, b = (way[file].get(test, _ABSENT) for way in (plain, other))
      if a["outcome"] != b["outcome"]:
        found.append(Difference(file, test, a, b))
  return sorted(found)


def sort_out(found, expected, plain):
  """(unexpected, expected differences, stale entries) against the table.

  An entry is stale if its test was run and does not differ.
  """
  keys = {(d.file, d.test) for d in found}
  unexpected = [d for d in found if d.test not in expected.get(d.file, {})]
  known = [d for d in found if d.test in expected.get(d.file, {})]
  stale = [(file, test) for file, tests in expected.items()
           for test in tests
           if test in plain.get(file, {}) and (file, test) not in keys]
  return unexpected, known, stale


def count(suite) -> collections.Counter:
  """How many tests had each outcome."""
  return collections.Counter(record["outcome"] for tests in suite.values()
                             for record in tests.values())


def summary(counts) -> str:
  """`1,014 passed, 12 skipped`."""
  return ", ".join(f"{n:,} {outcome}" for outcome, n in counts.most_common()
                   ) or "nothing run"


def report(suites, expected, reference="plain") -> tuple[str, bool]:
  """Markdown of every way of running, and whether all is as expected.

  `suites`: way -> suite; `expected`: way -> file -> test -> reason.
  """
  ways = list(suites)
  files = sorted(set().union(*suites.values()))
  lines = ["| file | " + " | ".join(ways) + " |",
           "|---" * (len(ways) + 1) + "|"]
  for file in files:
    cells = [summary(count({file: suites[way].get(file, {})})) for way in ways]
    lines.append(f"| {file} | " + " | ".join(cells) + " |")
  totals = [summary(count(suites[way])) for way in ways]
  lines.append("| **all** | " + " | ".join(totals) + " |")
  good = True
  plain = suites.get(reference, {})
  for way in ways:
    if way == reference:
      continue
    unexpected, known, stale = sort_out(
        differences(plain, suites[way]), expected.get(way, {}), plain)
    both = plain.keys() & suites[way].keys()
    lines += ["", (f"{way} against {reference}, {len(both)} files: "
                   f"{len(unexpected)} unexpected differences, "
                   f"{len(known)} expected, {len(stale)} stale entries.")]
    for d in unexpected:
      lines.append(f"- NEW {d.file} {d.test}: {d.plain['outcome']} "
                   f"{reference}, {d.other['outcome']} {way}. "
                   f"{d.other['why'] or d.plain['why']}")
    for d in known:
      lines.append(f"- expected {d.file} {d.test}: "
                   f"{expected[way][d.file][d.test]}")
    for file, test in stale:
      lines.append(f"- STALE {file} {test}: in the table, does not differ")
    good = good and not unexpected and not stale
  return "\n".join(lines), good
