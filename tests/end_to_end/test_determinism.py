"""The same program gives the same text in every process."""

import os
import pathlib
import subprocess
import sys

from absl.testing import absltest

CODE = """
import sys
junk = [object() for _ in range(int(sys.argv[1]))]  # other addresses
import jax, jax.numpy as jnp, jax_cse
sys.path.insert(0, {programs!r})
from specs import COMPOSITIONS, SPECS, nested
with jax_cse.enabled():
  for spec in SPECS:
    print(jax.make_jaxpr(nested(spec.fun, 4))(0.7))
  for make in COMPOSITIONS.values():
    print(jax.jit(make(SPECS[8].fun)).lower(0.7).as_text())
"""


class DeterminismTest(absltest.TestCase):

  def test_text_in_three_processes(self):
    programs = str(pathlib.Path(__file__).parents[1] / "programs")
    outputs = set()
    for seed, junk in (("0", "0"), ("1", "1000"), ("77", "54321")):
      env = {**os.environ, "PYTHONHASHSEED": seed, "JAX_PLATFORMS": "cpu"}
      run = subprocess.run(
          [sys.executable, "-c", CODE.format(programs=programs), junk], env=env,
          capture_output=True, text=True, timeout=300, check=True)
      outputs.add(run.stdout)
    self.assertLen(outputs, 1)
    self.assertGreater(len(outputs.pop()), 10_000)


if __name__ == "__main__":
  absltest.main()
