"""Several devices and several processes: nothing is seen of CSE there either.

The programs are in scale_out_program.py, which runs in processes of its own.
Every result must have the bits, the sharding and the commitment that it has
without CSE, on every device, and something must have been merged.

Two processes of one program must trace the same, or they wait for each other
for ever: whatever hash seed they have, and whatever they did before.
"""

import json
import os
import pathlib
import re
import socket
import subprocess
import sys

from absl.testing import absltest
from absl.testing import parameterized

PROGRAMS = pathlib.Path(__file__).parents[1] / "programs"
PROGRAM = PROGRAMS / "scale_out_program.py"
# The mesh is that of the operand alone; none is set.
EXPLICIT = """
import jax, jax_cse, numpy as np
from jax import numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec
mesh = jax.make_mesh((2,), ("i",), axis_types=(AxisType.Explicit,))
x = jax.device_put(jnp.arange(4.), NamedSharding(mesh, PartitionSpec("i")))
fun = lambda x: jnp.where(x > 0, x, jnp.zeros_like(x)) + jnp.zeros_like(x)
found = [jax_cse.cse(fun, m) for m in ("exact", "reassociate", "ring")]
found.append(lambda x: jax_cse.derivatives(fun, 1)(x)[0])
for f in found:
  np.testing.assert_array_equal(jax.jit(f)(x), jax.jit(fun)(x))
"""
CASES = tuple(re.findall(
    r"@case\ndef (\w+)", PROGRAM.read_text()))


def start(*args, devices, **environment):
  flags = f"--xla_force_host_platform_device_count={devices}"
  env = {**os.environ, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags,
         **environment}
  return subprocess.Popen([sys.executable, str(PROGRAM), *args], env=env,
                          text=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE)


class DevicesTest(parameterized.TestCase):

  @classmethod
  def setUpClass(cls):
    super().setUpClass()
    out, err = start("devices", devices=8).communicate(timeout=600)
    lines = [json.loads(line) for line in out.splitlines()]
    cls.found = {line.pop("case"): line for line in lines}
    cls.errors = err

  def test_every_case_ran(self):
    self.assertContainsSubset(CASES, self.found, self.errors)
    self.assertGreater(len(self.found), len(CASES))

  @parameterized.parameters(*CASES)
  def test_results(self, case):
    self._check(case)

  def test_results_of_collectives(self):
    for case in self.found:
      if case not in CASES:
        with self.subTest(case):
          self._check(case)

  def test_a_mesh_of_the_operand_alone(self):
    env = {**os.environ, "JAX_PLATFORMS": "cpu",
           "XLA_FLAGS": "--xla_force_host_platform_device_count=2"}
    subprocess.run([sys.executable, "-c", EXPLICIT], env=env, check=True,
                   timeout=600)

  def _check(self, case):
    found = self.found[case]
    self.assertNotIn("error", found, found.get("error"))
    self.assertGreater(found["hits"], 5)


class ProcessesTest(absltest.TestCase):

  def test_two_processes_trace_the_same(self):
    with socket.socket() as s:
      s.bind(("127.0.0.1", 0))
      address = f"127.0.0.1:{s.getsockname()[1]}"
    processes = [start("process", address, str(i), devices=2,
                       PYTHONHASHSEED=str(i * 77)) for i in range(2)]
    try:
      outputs = [p.communicate(timeout=200) for p in processes]
    finally:
      for p in processes:
        p.kill()
    for p, (_, err) in zip(processes, outputs):
      self.assertEqual(p.returncode, 0, err)
    one, two = (json.loads(out.splitlines()[-1]) for out, _ in outputs)
    self.assertEqual((one["devices"], one["local"]), (4, 2))
    for name in ("whole_batch", "by_hand"):
      self.assertEqual(one[name]["text"], two[name]["text"])
      self.assertGreater(len(one[name]["text"]), 2000)
      self.assertEqual(one[name]["value"], two[name]["value"])
      for found in (one[name], two[name]):
        self.assertGreater(found["hits"], 20)
        self.assertLen(found["same"], 3)
        self.assertTrue(all(found["same"]))


if __name__ == "__main__":
  absltest.main()
