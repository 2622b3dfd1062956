"""The tables of JAX's releases in docs/versions.md.

The releases are those of `jax_cse/foundation/releases.py`. What changed in JAX
is what the comments in `jax_cse/compat/` say, the first sentence after each
version.
"""

import pathlib
import re
import tokenize

from jax_cse.foundation.releases import RELEASES

ROOT = pathlib.Path(__file__).parents[2]


def releases() -> str:
  lines = ["| Python | the whole suite | its core |", "| --- | --- | --- |"]
  for python in dict.fromkeys(release.python for release in RELEASES):
    cells = [", ".join(release.jax for release in RELEASES
                       if (release.python, release.suite) == (python, suite))
             for suite in ("whole", "core")]
    lines.append(f"| {python} | {' | '.join(cells)} |")
  return "\n".join(lines) + "\n"


def changes() -> str:
  """What changed in JAX, by version."""
  found: list[tuple[tuple[int, ...], str, str]] = []
  for path in sorted((ROOT / "jax_cse" / "compat").glob("*.py")):
    for comment in _comments(path):
      for version, text in re.findall(
          r"(\d+\.\d+\.\d+): (.*?)(?= \d+\.\d+\.\d+: |$)", comment):
        found.append((tuple(map(int, version.split("."))), version, text))
  lines = ["| since | what changed in JAX |", "| --- | --- |"]
  lines += [f"| {version} | {text.partition('. ')[0].rstrip('.')} |"
            for _, version, text in sorted(found)]
  return "\n".join(lines) + "\n"


def _comments(path):
  """Each block of comment lines as one line."""
  last, block = -2, ""
  with path.open("rb") as file:
    for token in tokenize.tokenize(file.readline):
      if token.type != tokenize.COMMENT:
        continue
      if token.start[0] != last + 1 and block:
        yield block
        block = ""
      last = token.start[0]
      block = f"{block} {token.string.lstrip('# ')}".strip()
  if block:
    yield block


def written(text: str) -> str:
  """A page with the tables between its marks as they should be."""
  for name, table in (("versions", releases()), ("changes", changes())):
    before, begin, rest = text.partition(f"<!-- begin: {name} -->\n")
    _, end, after = rest.partition(f"\n<!-- end: {name} -->")
    text = before + begin + (table if end else "") + end + after
  return text


PAGE = ROOT / "docs" / "versions.md"


def main() -> None:
  PAGE.write_text(written(PAGE.read_text()))


if __name__ == "__main__":
  main()
