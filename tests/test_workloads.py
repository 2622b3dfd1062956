"""The workloads of the benchmarks, in small sizes: that all ways of a workload
compute the same, that it is what the textbook says, and what CSE leaves."""

from absl.testing import absltest
from absl.testing import parameterized
import jax
import jax.numpy as jnp
from jax.scipy import stats
import numpy as np
import pinn
import sympy

import jax_cse
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
    "Laplacian, nested jvp": 0.75,
    "Laplacian, trace of hessian": 0.97,
    "Laplacian of gelu, nested jvp": 0.7,
    "Laplacian of gelu, trace of hessian": 0.95,
    "biharmonic in 3 dimensions, nested jvp": 0.5,
    "biharmonic in 3 dimensions, trace of hessian": 0.75,
    "cluster of 3 atoms, jax.hessian": 0.5,
    "cluster of 3 atoms, jacfwd of jacfwd": 0.4,
    "arm, jax.hessian": 0.55,
    "arm, jacfwd of jacfwd": 0.4,
    "options, jax.hessian": 0.6,
    "options, jacfwd of jacfwd": 0.5,
    "pendulum of 2 links": 0.2,
    "6 reactions of 5 species": 0.25,
}


_values: dict = {}


def run(f, args):
  """Values, compiled without what costs time: the programs run once."""
  compiled = jax.jit(lambda *xs: f(*xs)).lower(*args).compile(
      compiler_options={"xla_backend_optimization_level": 0,
                        "xla_llvm_disable_expensive_passes": True})
  return compiled(*args)


def value(f, args):
  """The same, once for all workloads that share a way, as jet's."""
  if f not in _values:
    _values[f] = run(f, args)
  return _values[f]


def close(actual, expected, tolerance=1e-11):
  scale = max(np.abs(x).max() for x in jax.tree.leaves(expected))
  jax.tree.map(lambda a, b: np.testing.assert_allclose(
      a, b, rtol=0, atol=tolerance * scale), actual, expected)


class WorkloadsTest(parameterized.TestCase):

  @parameterized.parameters(*ALL)
  def test_all_ways_agree(self, name):
    _, ways, args = ALL[name]
    with jax.enable_x64(True):
      expected = run(ways["plain"], args)
      for leaf in jax.tree.leaves(expected):
        self.assertEqual(leaf.dtype, jnp.float64)
      with jax_cse.enabled():
        close(run(ways["plain"], args), expected)
      for way in ways.keys() - {"plain"}:
        if (name, way) in workloads.REFUSED:
          with self.assertRaises(workloads.REFUSED[name, way]):
            run(ways[way], args)
        else:
          close(value(ways[way], args), expected)

  def test_a_wrong_way_is_found(self):
    _, ways, args = ALL["arm, jax.hessian"]
    right = run(ways["plain"], args)
    with self.assertRaises(AssertionError):
      close(right + 1e-9 * jnp.max(right), right)

  @parameterized.parameters(*ALL)
  def test_equations(self, name):
    _, ways, args = ALL[name]
    count = lambda way: jax_cse.count_primitives(ways[way])(*args).total()
    with jax.enable_x64(True):
      plain, explicit = count("plain"), count("explicit")
      with jax_cse.enabled():
        merged = count("plain")
    self.assertLessEqual(merged, AT_MOST[name] * plain)
    self.assertLessEqual(explicit, merged)

  def test_names(self):
    several = list(workloads.workloads(workloads.SMALL._replace(
        orders=(2, 3), dimensions=(2, 3), links=(1, 2),
        networks=((4, 3), (5, 6)))))
    self.assertLen({w.name for w in several}, len(several))
    for name, way in workloads.REFUSED:
      [of_that_name] = [w for w in several if w.name == name]
      package = way.replace("-", "_")
      self.assertEqual(way in of_that_name.ways, workload.installed(package))

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
      along = {"plain": flows.nested, **flows.OTHERS}[way]
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


class HessiansTest(parameterized.TestCase):

  def test_of_a_pair_of_atoms(self):
    # V'' r r^T / r^2 + V' / r (1 - r r^T / r^2) for one with itself.
    with jax.enable_x64(True):
      positions = jnp.asarray([[0.0, 0.0, 0.0], [0.7, -0.4, 0.8]])
      r = jnp.linalg.norm(positions[1])
      along = jnp.outer(positions[1], positions[1]) / r**2
      potential = lambda r: 4 * (r**-12 - r**-6)
      first = jax.grad(potential)
      block = (jax.grad(first)(r) * along
               + first(r) / r * (jnp.eye(3) - along))
      found = jax.jit(jax.hessian(hessians.energy))(positions)
      for i in range(2):
        for j in range(2):
          close(found[i, :, j], block if i == j else -block)

  def test_of_the_arm(self):
    # By axes z_i and joints p_i: z_i x (z_j x (hand - p_j)) for i <= j.
    with jax.enable_x64(True):
      angles = workload.uniform(2, -3, 3, 6)
      frames = [jnp.eye(4)]
      for q, link in zip(angles, hessians.LINKS):
        frames.append(frames[-1] @ hessians.transform(q, *link))
      hand = frames[-1][:3, 3]
      found = jax.jit(jax.hessian(hessians.hand))(angles)
      for j in range(6):
        arc = jnp.cross(frames[j][:3, 2], hand - frames[j][:3, 3])
        for i in range(j + 1):
          expected = jnp.cross(frames[i][:3, 2], arc)
          np.testing.assert_allclose(found[:, i, j], expected, atol=1e-12)
          np.testing.assert_allclose(found[:, j, i], expected, atol=1e-12)

  def test_of_an_option(self):
    with jax.enable_x64(True):
      s, k, t, r, v = market = jnp.asarray([100.0, 95.0, 0.75, 0.03, 0.25])
      d1 = (jnp.log(s / k) + (r + v**2 / 2) * t) / (v * jnp.sqrt(t))
      d2 = d1 - v * jnp.sqrt(t)
      density = stats.norm.pdf(d1)
      found = jax.jit(jax.hessian(hessians.call))(market)
      for i, j, expected in (
          (0, 0, density / (s * v * jnp.sqrt(t))),           # gamma
          (0, 4, -density * d2 / v),                          # vanna
          (4, 4, s * density * jnp.sqrt(t) * d1 * d2 / v)):   # vomma
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-11)
        np.testing.assert_allclose(found[j, i], expected, rtol=1e-11)


class PrintedCodeTest(parameterized.TestCase):

  @parameterized.parameters((printed_code.pendulum, 2),
                            (printed_code.reactions, 5, 4))
  def test_the_jacobian_is_that_of_sympy(self, make, *size):
    state, rates = make(*size)
    values = [sympy.Rational(n + 3, 10) for n in range(len(state))]
    expected = sympy.Matrix(rates).jacobian(state).evalf(
        20, subs=dict(zip(state, values)))
    with jax.enable_x64(True):
      at = jnp.asarray([[float(x) for x in values]])
      for cse in (False, True):
        found = run(printed_code.jacobian(make, *size, cse=cse), (at,))
        close(found[0], np.asarray(expected.tolist(), float))

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
