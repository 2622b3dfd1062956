"""The workloads of the benchmarks, in small sizes: that all ways of a workload
compute the same, that it is what the textbook says, and what CSE leaves."""

import itertools

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
import numpy as np
import pinn
import sympy

import jax_cse
from jax_cse.foundation import counting
import workloads
from workloads import flows
from workloads import hessians
from workloads import operators
from workloads import printed_code
from workloads import residuals
from workloads import workload

with jax.enable_x64(True):
  ALL = {w.name: w for w in workloads.workloads(workloads.SMALL)}

# Equations with CSE over those without, at most. Reverse mode keeps what it has
# computed, so where it comes first little is left to merge.
AT_MOST = {
    "TayNODE, order 3": 0.7,
    "TayNODE, order 3, trained": 0.7,
    "Burgers, nested jvp": 0.6,
    "Burgers, nested jvp, trained": 0.7,
    "Burgers, nested grad": 0.45,
    "Burgers, nested grad, trained": 0.55,
    "Korteweg-de Vries, nested jvp": 0.4,
    "Korteweg-de Vries, nested jvp, trained": 0.55,
    "Korteweg-de Vries, nested grad": 0.4,
    "Korteweg-de Vries, nested grad, trained": 0.5,
    "Kuramoto-Sivashinsky, nested jvp": 0.25,
    "Kuramoto-Sivashinsky, nested jvp, trained": 0.35,
    "Kuramoto-Sivashinsky, nested grad": 0.3,
    "Kuramoto-Sivashinsky, nested grad, trained": 0.4,
    "Laplacian, nested jvp": 0.8,
    "Laplacian, trace of hessian": 0.97,
    "Laplacian of softplus, nested jvp": 0.7,
    "Laplacian of softplus, trace of hessian": 0.75,
    "biharmonic in 3 dimensions, nested jvp": 0.5,
    "biharmonic in 3 dimensions, trace of hessian": 0.75,
    "cluster of 2 atoms, jax.hessian": 0.6,
    "cluster of 2 atoms, jacfwd of jacfwd": 0.5,
    "arm, jax.hessian": 0.55,
    "arm, jacfwd of jacfwd": 0.4,
    "options, jax.hessian": 0.6,
    "options, jacfwd of jacfwd": 0.55,
    "pendulum of 2 links": 0.2,
    "3 reactions of 5 species": 0.3,
}


def run(f, args):
  """Number of equations, and values.

  They are compiled without what costs time: the programs run once.
  """
  traced = jax.jit(lambda *xs: f(*xs)).trace(*args)
  compiled = traced.lower().compile(
      compiler_options={"xla_backend_optimization_level": 0,
                        "xla_llvm_disable_expensive_passes": True})
  return len(list(counting.equations(traced.jaxpr.jaxpr))), compiled(*args)


_done: dict = {}


def run_once(f, args):
  """The same, for ways that several tests or workloads share, as jet's."""
  if f not in _done:
    _done[f] = run(f, args)
  return _done[f]


def close(actual, expected, tolerance=1e-11):
  scale = max(np.abs(x).max() for x in jax.tree.leaves(expected))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=0, atol=tolerance * scale), actual, expected)


class WorkloadsTest(parameterized.TestCase):

  @parameterized.parameters(*ALL)
  def test_all_ways_agree(self, name):
    _, ways, args = ALL[name]
    with jax.enable_x64(True):
      plain, expected = run_once(ways["plain"], args)
      for leaf in jax.tree.leaves(expected):
        self.assertEqual(leaf.dtype, jnp.float64)
      for way in ways:
        if (name, way) in workloads.REFUSED:
          with self.assertRaises(workloads.REFUSED[name, way]):
            run(ways[way], args)
        else:
          close(run_once(ways[way], args)[1], expected)
      with jax_cse.enabled():
        merged, found = run(ways["plain"], args)
    close(found, expected)
    self.assertLessEqual(merged, AT_MOST[name] * plain)
    # What a cheaper gradient is rebuilt from may be more than what is merged.
    self.assertLess(run_once(ways["explicit"], args)[0], plain)

  def test_a_wrong_way_is_found(self):
    with jax.enable_x64(True):
      _, ways, args = ALL["Burgers, nested jvp"]
      right = run_once(ways["plain"], args)[1]
      close(right * (1 + 1e-13), right)
      with self.assertRaises(AssertionError):
        close(right * (1 + 1e-9), right)

  def test_names(self):
    several = list(workloads.workloads(workloads.SMALL._replace(
        orders=(2, 3), dimensions=(2, 3), links=(1, 2),
        networks=((4, 3), (5, 6)))))
    self.assertLen({w.name for w in several}, len(several))
    for name, way in workloads.REFUSED:
      [of_that_name] = [w for w in several if w.name == name]
      self.assertEqual(way in of_that_name.ways, way == "jet"
                       or workload.installed(way.replace("-", "_")))

  def test_arguments_are_of_the_default_dtype(self):
    for _, _, args in workloads.workloads(workloads.SMALL):
      for x in jax.tree.leaves(args):
        self.assertEqual(x.dtype, jnp.float32)


class FlowsTest(parameterized.TestCase):

  @parameterized.product(way=["plain", *flows.OTHERS], order=(1, 2, 5))
  def test_of_a_solution_in_closed_form(self, way, order):
    # dz/dt = z t is solved by exp(t^2 / 2).
    with jax.enable_x64(True):
      t = jnp.asarray(0.7)
      solution = lambda t: jnp.exp(t**2 / 2)
      along = {"plain": flows.along_flow, **flows.OTHERS}[way]
      derived = along(lambda t, z: z * t, order)(t, solution(t))
      for _ in range(order):
        solution = jax.grad(solution)
      close(derived, solution(t))


def _soliton(t, x):
  return 0.5 * (1 - jnp.tanh(0.5 * (x - t))**2)


SOLUTIONS = {
    "Burgers": lambda t, x: 1 - jnp.tanh(
        (x - t) / (2 * residuals.VISCOSITY)),
    "Korteweg-de Vries": _soliton,
    "Kuramoto-Sivashinsky": pinn.exact,
}


class ResidualsTest(parameterized.TestCase):

  @parameterized.product(name=[*SOLUTIONS],
                         way=[*residuals.PLAIN, *residuals.OTHERS])
  def test_is_zero_for_a_solution(self, name, way):
    equation = residuals.EQUATIONS[name]
    of = (residuals.PLAIN | residuals.OTHERS)[way]
    at = (0.4, 0.5)
    with jax.enable_x64(True):
      at = tuple(map(jnp.asarray, at))
      left = residuals.residual(of, equation, SOLUTIONS[name])
      self.assertLess(abs(jax.jit(left)(*at)), 1e-11)
      # And for nothing like it.
      other = lambda t, x: SOLUTIONS[name](t, x) + x * x * t
      left = residuals.residual(of, equation, other)
      self.assertGreater(abs(jax.jit(left)(*at)), 1e-2)


class OperatorsTest(parameterized.TestCase):

  @parameterized.product(
      way=[*operators.PLAIN, *operators.LAPLACIAN],
      dimension=(1, 3))
  def test_laplacian_of_a_polynomial(self, way, dimension):
    of = (operators.PLAIN | operators.LAPLACIAN)[way]
    with jax.enable_x64(True):
      x = workload.random(3, dimension)
      close(jax.jit(of(lambda x: (x @ x)**2))(x),
            4 * (dimension + 2) * (x @ x))

  @parameterized.product(way=[*operators.BIHARMONIC], dimension=(1, 3))
  def test_biharmonic_of_a_polynomial(self, way, dimension):
    with jax.enable_x64(True):
      x = workload.random(3, dimension)
      close(jax.jit(operators.BIHARMONIC[way](lambda x: (x @ x)**2))(x),
            jnp.asarray(8.0 * dimension * (dimension + 2)))


def first_of(name):
  """The first of the points of a workload, and what plain makes of it."""
  _, ways, args = ALL[name]
  return args[-1][0], run_once(ways["plain"], args)[1][0]


class HessiansTest(parameterized.TestCase):

  def test_of_the_cluster(self):
    # Of a pair: V'' r r^T / r^2 + V' / r (1 - r r^T / r^2), less that between
    # the two.
    potential = lambda r: 4 * (r**-12 - r**-6)
    first = jax.grad(potential)
    with jax.enable_x64(True):
      positions, found = first_of("cluster of 2 atoms, jax.hessian")
      expected = np.zeros(found.shape)
      for i, j in itertools.permutations(range(len(positions)), 2):
        away = positions[i] - positions[j]
        r = jnp.linalg.norm(away)
        along = jnp.outer(away, away) / r**2
        block = (jax.grad(first)(r) * along
                 + first(r) / r * (jnp.eye(3) - along))
        expected[i, :, i] += block
        expected[i, :, j] -= block
      close(found, expected)

  def test_of_the_arm(self):
    # By axes z_i and joints p_i: z_i x (z_j x (hand - p_j)) for i <= j.
    with jax.enable_x64(True):
      angles, found = first_of("arm, jax.hessian")
      frames = [np.eye(4)]
      for q, link in zip(angles, hessians.LINKS):
        frames.append(frames[-1] @ np.asarray(hessians.transform(q, *link)))
      hand = frames[-1][:3, 3]
      expected = np.zeros(found.shape)
      for j in range(len(angles)):
        arc = np.cross(frames[j][:3, 2], hand - frames[j][:3, 3])
        for i in range(j + 1):
          expected[:, i, j] = expected[:, j, i] = np.cross(
              frames[i][:3, 2], arc)
      close(found, expected)

  def test_of_an_option(self):
    with jax.enable_x64(True):
      (s, k, t, r, v), found = first_of("options, jax.hessian")
      d1 = (np.log(s / k) + (r + v**2 / 2) * t) / (v * np.sqrt(t))
      d2 = d1 - v * np.sqrt(t)
      density = np.exp(-d1**2 / 2) / np.sqrt(2 * np.pi)
      for i, j, expected in (
          (0, 0, density / (s * v * np.sqrt(t))),           # gamma
          (0, 4, -density * d2 / v),                        # vanna
          (4, 4, s * density * np.sqrt(t) * d1 * d2 / v)):  # vomma
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-11)
        np.testing.assert_allclose(found[j, i], expected, rtol=1e-11)


class PrintedCodeTest(parameterized.TestCase):

  @parameterized.parameters(
      ("pendulum of 2 links", printed_code.pendulum, 2),
      ("3 reactions of 5 species", printed_code.reactions, 5, 3))
  def test_the_jacobian_is_that_of_sympy(self, name, make, *size):
    state, rates = make(*size)
    with jax.enable_x64(True):
      point, found = first_of(name)
    expected = sympy.Matrix(rates).jacobian(state).evalf(
        20, subs=dict(zip(state, map(float, point))))
    close(found, np.asarray(expected.tolist(), float))

  def test_one_link_is_the_pendulum(self):
    state, rates = printed_code.pendulum(1)
    self.assertEqual(rates[0], state[1])
    self.assertEqual(sympy.simplify(
        rates[1] + printed_code.GRAVITY * sympy.sin(state[0])), 0)

  def test_reactions_keep_the_number_of_molecules(self):
    self.assertEqual(sympy.expand(
        sympy.Add(*printed_code.reactions(5, 6).rates)), 0)

  def test_the_pendulum_keeps_its_energy(self):
    (*q, v, w), rates = printed_code.pendulum(2)
    at = dict(zip((*q, v, w), (0.3, -0.5, 0.7, 0.2)))
    kinetic = (2 * v**2 + w**2) / 2 + v * w * sympy.cos(q[0] - q[1])
    potential = -printed_code.GRAVITY * (2 * sympy.cos(q[0])
                                         + sympy.cos(q[1]))
    power = sum(sympy.diff(kinetic + potential, x) * rate
                for x, rate in zip((*q, v, w), rates))
    self.assertLess(abs(power.subs(at)), 1e-12)


if __name__ == "__main__":
  absltest.main()
