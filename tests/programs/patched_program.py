"""What CSE makes of every spec in every composition, a line of JSON each.

A run on plain JAX and one on patched JAX must print the same.
"""

import json
import re
import sys

import jax

import jax_cse
from specs import COMPOSITIONS, SMOOTH, SPECS, nested

_ADDRESS = re.compile(r"0x[0-9a-f]+")


def main() -> None:
  programs = {
      f"{spec.name}, {name}": compose(spec.fun) for spec in SPECS
      for name, compose in COMPOSITIONS.items()}
  programs |= {f"{spec.name}, order 4": nested(spec.fun, 4) for spec in SMOOTH}
  modes = dict.fromkeys(programs, "exact")
  for spec in SMOOTH:
    name = f"{spec.name}, order 3, ring"
    programs[name], modes[name] = nested(spec.fun, 3), "ring"
  for name, fun in programs.items():
    with jax_cse.enabled(modes[name]) as memo:
      jaxpr = jax.make_jaxpr(fun)(0.3)
      # Compiling every primitive of everything would take a minute.
      value = fun(0.3) if name.startswith(("thread, ", "select, ")) else ()
    memo.stats.seconds.clear()   # these differ from run to run
    print(json.dumps({
        "name": name, "jaxpr": _ADDRESS.sub("ADDRESS", str(jaxpr)),
        "counts": jax_cse.count_primitives(fun)(0.3),
        "values": [repr(x) for x in jax.tree.leaves(value)],
        "statistics": str(memo.stats)}))
  print("patched" if hasattr(sys.modules["jax._src.core"], "cse") else "plain",
        file=sys.stderr)


if __name__ == "__main__":
  main()
