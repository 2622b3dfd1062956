"""The example examples/vmc.py, in a small size, and what it is made of."""

import contextlib
import io
import re
import warnings

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import vmc

import _local_energy
import _molecules
import _wavefunction
import small_runs

HYDROGEN = _molecules.MOLECULES["H"]


class VmcTest(parameterized.TestCase):

  def setUp(self):
    super().setUp()
    self.enterContext(jax.enable_x64(True))

  def wavefunction(self, name, network):
    molecule = _molecules.MOLECULES[name]
    params = _wavefunction.init(jax.random.key(1), molecule, network)
    psi = lambda params, x: _wavefunction.log_psi(params, molecule, network, x)
    return molecule, psi, params

  @parameterized.parameters(*_local_energy.WAYS)
  def test_the_exact_atom(self, way):
    energy = _local_energy.local_energy(
        lambda x: -jnp.linalg.norm(x), HYDROGEN, way)
    for x in ((0.3, -0.2, 0.9), (2.0, 1.0, 0.0), (0.01, 0.0, 0.02)):
      self.assertAlmostEqual(energy(jnp.array(x)), -0.5, delta=1e-12)

  @parameterized.parameters(("H2", "ferminet"), ("H2", "psiformer"))
  def test_ways_agree(self, name, network):
    molecule, psi, params = self.wavefunction(name, network)
    x, = _molecules.first_places(jax.random.key(2), molecule, 1)
    log_psi = lambda x: psi(params, x)
    expected, *others = (
        _local_energy.local_energy(log_psi, molecule, way)(x)
        for way in _local_energy.WAYS)
    self.assertNotEmpty(others)
    np.testing.assert_allclose(others, [expected] * len(others), rtol=1e-9)

  @parameterized.parameters(*_wavefunction.NETWORKS)
  def test_equal_electrons_may_be_exchanged(self, network):
    molecule, psi, params = self.wavefunction("LiH", network)
    x, = _molecules.first_places(jax.random.key(2), molecule, 1)
    points = x.reshape(-1, 3)
    value = psi(params, x)
    for order, same in (([1, 0, 2, 3], True), ([0, 1, 3, 2], True),
                        ([2, 1, 0, 3], False)):
      other = psi(params, points[jnp.array(order)].ravel())
      self.assertEqual(abs(other - value) < 1e-9, same)
    # No two of one spin are in the same place.
    nearly = points.at[1].set(points[0] + 1e-6)
    self.assertLess(psi(params, nearly.ravel()), value - 5)

  def test_the_potential(self):
    # Two electrons and two nuclei on a square with sides of 1.4011.
    x = jnp.array([1.4011, 0.0, 0.0, 1.4011, 0.0, 1.4011])
    molecule = _molecules.MOLECULES["H2"]
    self.assertAlmostEqual(
        _molecules.potential(molecule, x),
        (2 - 2 - 2 / 2**0.5) / 1.4011, delta=1e-12)

  def test_electrons_begin_at_the_nuclei(self):
    for molecule in _molecules.MOLECULES.values():
      self.assertEqual(sum(molecule.charges), molecule.electrons)
      x = _molecules.first_places(jax.random.key(0), molecule, 5)
      self.assertEqual(x.shape, (5, 3 * molecule.electrons))

  def test_energies_far_out_are_drawn_in(self):
    found = vmc.clipped(jnp.array([-1.0] * 98 + [1e6, -1e6]))
    np.testing.assert_allclose(found[:98], -1.0)
    self.assertAlmostEqual(found[98], -1 + vmc.CLIP * 2e4)

  def test_walks_are_as_the_wavefunction(self):
    # Of psi = exp(-r) the mean distance is 3/2.
    with jax.enable_x64(False):
      walk = vmc.metropolis(lambda params, x: -jnp.linalg.norm(x))
      x, width = jnp.ones((1000, 3)), 0.3
      for i in range(60):
        x, width, accepted = walk((), jax.random.key(i), x, width)
      self.assertAlmostEqual(
          jnp.linalg.norm(x, axis=1).mean(), 1.5, delta=0.15)
      self.assertBetween(accepted, 0.4, 0.6)

  def test_a_figure_of_one_way_and_one_step(self):
    trained = vmc.Trained([-0.4], -0.45, 0.01, 0.5)
    rows = [vmc.Row("jax_cse", 1e6, 1.0, [0.1], 100, 0.0)]
    with warnings.catch_warnings(action="error"):
      vmc.figure("H", HYDROGEN, rows, trained).savefig(io.BytesIO())

  def test_a_run(self):
    run = small_runs.run(vmc, "--molecule=H2", "--batch=4", "--steps=3",
                         "--repeats=1")
    rows = [line.split("|") for line in run.stdout.splitlines() if "|" in line]
    self.assertEqual([cells[0].strip() for cells in rows],
                     ["way", *_local_energy.WAYS])
    for cells in rows[1:]:
      self.assertLess(float(cells[-1]), 1e-9)
    self.assertRegex(run.stdout, re.compile(r"^H2: E = \S+ \+- \S+ Hartree",
                                            re.MULTILINE))

  @parameterized.parameters(
      ("--batch=1", "--batch must be 2 or more; got 1"),
      ("--steps=0", "--steps must be 1 or more; got 0"),
      ("--repeats=0", "--repeats must be 1 or more; got 0"),
      ("--molecule=H3", "invalid choice: 'H3'"),
      ("--network=mlp", "invalid choice: 'mlp'"),
      ("--out=nowhere/a.png", "--out: there is no folder 'nowhere'"))
  def test_a_bad_option(self, option, message):
    said = io.StringIO()
    with contextlib.redirect_stderr(said), self.assertRaises(SystemExit) as e:
      vmc.main([option])
    self.assertEqual(e.exception.code, 2)
    self.assertIn(message, said.getvalue())


if __name__ == "__main__":
  absltest.main()
