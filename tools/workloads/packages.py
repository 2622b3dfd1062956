"""Programs of other people's packages: samplers, optimizers, solvers.

`PROGRAMS` has, by name, the packages that a program needs and what makes it: a
function, and its operands. What is traced is all that the package does for one
answer, loops in loops included.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np


class Program(NamedTuple):
  packages: tuple[str, ...]
  make: Callable[[], tuple[Callable, tuple]]


def _numpyro_nuts():
  import numpyro
  from numpyro import distributions as dist
  from numpyro.infer import MCMC, NUTS
  x = np.random.RandomState(0).randn(50, 3).astype(np.float32)
  y = (x @ np.ones(3) > 0).astype(np.int32)

  def model():
    b = numpyro.sample("b", dist.Normal(0, 1).expand([3]).to_event(1))
    numpyro.sample("y", dist.Bernoulli(logits=x @ b), obs=y)

  def run(key):
    mcmc = MCMC(NUTS(model), num_warmup=50, num_samples=50, progress_bar=False)
    mcmc.run(key)
    return mcmc.get_samples()["b"]
  return run, (jax.random.PRNGKey(1),)


def _blackjax_nuts():
  import blackjax
  log_density = lambda q: (-jnp.sum((q["a"] - 1) ** 2) / 2
                           - jnp.sum(jnp.exp(q["b"])) + jnp.sum(q["b"]))

  def run(key):
    warmup = blackjax.window_adaptation(blackjax.nuts, log_density)
    start = {"a": jnp.ones(3), "b": jnp.zeros(2)}
    (state, parameters), _ = warmup.run(key, start, num_steps=50)
    kernel = blackjax.nuts(log_density, **parameters)

    def step(state, key):
      state, _ = kernel.step(key, state)
      return state, state.position
    return lax.scan(step, state, jax.random.split(key, 20))[1]
  return run, (jax.random.PRNGKey(1),)


def _optax_lbfgs():
  import optax
  rosenbrock = lambda x: jnp.sum(
      100 * (x[1:] - x[:-1] ** 2) ** 2 + (1 - x[:-1]) ** 2)
  optimizer = optax.lbfgs()
  derived = optax.value_and_grad_from_state(rosenbrock)

  def step(carry):
    x, state = carry
    value, grad = derived(x, state=state)
    updates, state = optimizer.update(
        grad, state, x, value=value, grad=grad, value_fn=rosenbrock)
    return optax.apply_updates(x, updates), state

  def run(x):
    goes_on = lambda carry: optax.tree_utils.tree_get(carry[1], "count") < 20
    return lax.while_loop(goes_on, step, (x, optimizer.init(x)))[0]
  return run, (jnp.zeros(8),)


def _robertson(y, k, adjoint="RecursiveCheckpointAdjoint"):
  """A stiff reaction, solved implicitly."""
  import diffrax
  rates = lambda t, y, k: jnp.array([
      -k * y[0] + 1e4 * y[1] * y[2],
      k * y[0] - 1e4 * y[1] * y[2] - 3e7 * y[1] ** 2, 3e7 * y[1] ** 2])
  return diffrax.diffeqsolve(
      diffrax.ODETerm(rates), diffrax.Kvaerno5(), 0.0, 100.0, 1e-4, y, args=k,
      stepsize_controller=diffrax.PIDController(rtol=1e-5, atol=1e-7),
      max_steps=1024, adjoint=getattr(diffrax, adjoint)()).ys[-1]


def _kvaerno5():
  return _robertson, (jnp.array([1.0, 0, 0]), jnp.float32(0.04))


def _kvaerno5_adjoint():
  return jax.grad(lambda y, k: jnp.sum(_robertson(y, k))), _kvaerno5()[1]


def _fitted_reaction():
  import optimistix
  y = jnp.array([1.0, 0, 0])

  def fit(k):
    residuals = lambda k, _: _robertson(y, k, "ForwardMode") - jnp.array(
        [0.6, 1e-5, 0.4])
    return optimistix.least_squares(
        residuals, optimistix.LevenbergMarquardt(rtol=1e-4, atol=1e-4), k,
        max_steps=20, throw=False).value
  return fit, (jnp.float32(0.05),)


def _flax_transformer():
  from flax import linen
  import optax

  class Block(linen.Module):
    @linen.compact
    def __call__(self, x):
      h = linen.LayerNorm()(x)
      x = x + linen.MultiHeadDotProductAttention(num_heads=4)(h, h)
      h = linen.gelu(linen.Dense(256)(linen.LayerNorm()(x)))
      return x + linen.Dense(64)(h)

  class Model(linen.Module):
    @linen.compact
    def __call__(self, tokens):
      x = linen.Embed(128, 64)(tokens)
      for _ in range(4):
        x = Block()(x)
      return linen.Dense(128)(x)

  model, optimizer = Model(), optax.adamw(1e-3)
  tokens = jnp.zeros((2, 32), int)

  def loss(weights, tokens):
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(
        model.apply(weights, tokens), tokens))

  def step(weights, state, tokens):
    value, gradient = jax.value_and_grad(loss)(weights, tokens)
    updates, state = optimizer.update(gradient, state, weights)
    return optax.apply_updates(weights, updates), state, value

  weights = model.init(jax.random.PRNGKey(0), tokens)
  return step, (weights, optimizer.init(weights), tokens)


def _e3nn_forces():
  import e3nn_jax as e3nn
  positions = jnp.asarray(np.random.RandomState(0).randn(6, 3), jnp.float32)

  def energy(positions):
    edges = positions[:, None] - positions[None] + jnp.eye(6)[..., None]
    harmonics = e3nn.spherical_harmonics("0e + 1o + 2e", edges, True)
    features = e3nn.tensor_product(harmonics, harmonics).filter("0e + 1o")
    return jnp.sum(e3nn.norm(features).array)
  return jax.grad(energy), (positions,)


def _mjx_step():
  import mujoco
  from mujoco import mjx
  model = mjx.put_model(mujoco.MjModel.from_xml_string("""
    <mujoco><worldbody>
      <body><joint type="hinge" axis="0 1 0"/>
        <geom type="capsule" size=".05" fromto="0 0 0 0 0 -.5"/>
        <body pos="0 0 -.5"><joint type="hinge" axis="0 1 0"/>
          <geom type="capsule" size=".05" fromto="0 0 0 0 0 -.5"/>
        </body></body></worldbody></mujoco>"""))

  def step(angles):
    data = mjx.make_data(model).replace(qpos=angles)
    return mjx.step(model, data).qpos
  return jax.jacfwd(step), (jnp.array([0.1, 0.2]),)


def _jax_md_hessian():
  from jax_md import energy, space
  displacement, _ = space.periodic(4.0)
  positions = jnp.asarray(np.random.RandomState(0).rand(16, 3) * 4, jnp.float32)
  return jax.hessian(energy.soft_sphere_pair(displacement)), (positions,)


def _jaxopt_lm():
  import jaxopt
  x = jnp.linspace(0, 1, 30)
  residuals = lambda p: p[0] * jnp.exp(-p[1] * x) - jnp.exp(-2 * x)
  return (lambda p: jaxopt.LevenbergMarquardt(residuals, maxiter=20).run(
      p).params), (jnp.array([1.0, 1.0]),)


PROGRAMS = {
    "numpyro: NUTS, warmup and sampling": Program(("numpyro",), _numpyro_nuts),
    "blackjax: NUTS, window adaptation": Program(
        ("blackjax",), _blackjax_nuts),
    "optax: L-BFGS with line search": Program(("optax",), _optax_lbfgs),
    "diffrax: Kvaerno5, a stiff reaction": Program(("diffrax",), _kvaerno5),
    "diffrax: its adjoint": Program(("diffrax",), _kvaerno5_adjoint),
    "optimistix: Levenberg-Marquardt around it": Program(
        ("diffrax", "optimistix"), _fitted_reaction),
    "jaxopt: Levenberg-Marquardt": Program(("jaxopt",), _jaxopt_lm),
    "flax: a training step of a transformer": Program(
        ("flax", "optax"), _flax_transformer),
    "e3nn: forces by spherical harmonics": Program(("e3nn_jax",), _e3nn_forces),
    "MuJoCo MJX: the Jacobian of a step": Program(("mujoco",), _mjx_step),
    "jax-md: the Hessian of a soft sphere potential": Program(
        ("jax_md",), _jax_md_hessian),
}
