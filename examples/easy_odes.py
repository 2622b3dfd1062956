"""Neural differential equations that are easy to solve, trained with jax_cse.

A neural ODE maps z(0) to z(1) along dz/dt = f(t, z), f a network. An adaptive
solver takes as many steps as the solution asks for, and training does not care.
Kelly et al. 2020 make it care: the loss gets

    R_K = integral over the trajectory of the mean square of d^K z / dt^K

with a weight, and as a solver of order p has to follow the derivatives of about
that order, regularized dynamics take far fewer evaluations of f, at a small
cost in fit. This is the problem that the 2019 thread on JAX's tracker set out
from: it differentiates the solution K - 1 times, and then trains.

Here f learns x -> x + x^3 for |x| <= 1. The total derivative is nested
`jax.jvp` along the flow, three lines, inside of `jax_cse.enabled()`; diffrax is
the solver and its steps are the measure. Beside it stands the same by
`jax.experimental.jet`, which is handed the derivatives one order at a time and
so evaluates the network again for each:

    pip install 'PATH/TO/CLONE[examples]'
    python examples/easy_odes.py [--steps N] [--orders K ...] [--width N]
                                 [--layers N] [--seed N] [--out FILE.png]
                                 [--adjoint checkpointed|backsolve]

It prints a table and draws the trajectories with the steps of the solver.
"""

import argparse
from collections.abc import Callable
import itertools
import statistics
import time
from typing import Any, NamedTuple

import diffrax
import jax
from jax.experimental import jet
import jax.numpy as jnp
from tqdm import tqdm

import _command_line
import _training
import jax_cse

# Of R_K, for each order K.
WEIGHTS = {2: 1e-2, 3: 1e-3, 4: 1e-5, 5: 1e-7}
ADJOINTS: dict[str, type[diffrax.AbstractAdjoint]] = {
    "checkpointed": diffrax.RecursiveCheckpointAdjoint,
    "backsolve": diffrax.BacksolveAdjoint}
# Tolerances, relative and absolute, to train with and to measure with.
COARSE, FINE = 1e-4, 1e-6
# Of Tsit5 in each step, taken or rejected; its last is the first of the next.
EVALUATIONS_PER_STEP = 6


# The derivatives.

def along_flow(f: Callable, order: int) -> Callable:
  """The total derivative d^order z / dt^order where dz/dt = f(t, z)."""
  derived = f
  for _ in range(order - 1):
    derived = lambda t, z, g=derived: jax.jvp(
        g, (t, z), (jnp.ones_like(t), f(t, z)))[1]
  return derived


def along_flow_by_jet(f: Callable, order: int) -> Callable:
  """The same, each order from a Taylor series that ends in the one before."""
  def derived(t, z):
    terms = [f(t, z)]
    for k in range(1, order):
      of_t = [jnp.ones_like(t)] + [jnp.zeros_like(t)] * (k - 1)
      first, rest = jet.jet(f, (t, z), (of_t, terms))
      terms = [first, *rest]
    return terms[-1]
  return derived


WAYS = {"nested jvp": along_flow, "jet": along_flow_by_jet}


# The network, the solver and the training.

def init(key: jax.Array, layers: int, width: int) -> list:
  """Weights of (z, t) and biases of so many hidden layers, and of the last.

  They are larger than one would choose, so that the dynamics are not simple to
  begin with.
  """
  sizes = [2] + [width] * layers + [1]
  keys = jax.random.split(key, len(sizes) - 1)
  scales = [3.0] + [width**-0.5] * layers
  return [(scale * jax.random.normal(k, (n, m)), jnp.zeros(m))
          for k, scale, n, m in zip(keys, scales, sizes, sizes[1:])]


def network(params: list, t: jax.Array, z: jax.Array) -> jax.Array:
  """f(t, z) for a column of states."""
  h = jnp.concatenate([z, jnp.broadcast_to(t, z.shape)], axis=1)
  for w, b in params[:-1]:
    h = jnp.tanh(h @ w + b)
  w, b = params[-1]
  return h @ w + b


def solve(params: list, z: jax.Array, order: int = 0, way: str = "nested jvp",
          tolerance: float = COARSE, adjoint: str = "checkpointed",
          saveat: Any = None) -> Any:
  """Follows states from time 0 to 1, and R_order with them; 0 means none."""
  def field(t, state, params):
    z, _ = state
    f = lambda t, z: network(params, t, z)
    rate = jnp.zeros(())
    if order:
      rate = jnp.mean(WAYS[way](f, order)(t, z)**2)
    return f(t, z), rate

  return diffrax.diffeqsolve(
      diffrax.ODETerm(field), diffrax.Tsit5(), 0.0, 1.0, 0.05,
      (z, jnp.zeros(())), args=params, max_steps=1024,
      saveat=saveat or diffrax.SaveAt(t1=True), adjoint=ADJOINTS[adjoint](),
      stepsize_controller=diffrax.PIDController(tolerance, tolerance))


def data() -> tuple[jax.Array, jax.Array]:
  x = jnp.linspace(-1, 1, 64)[:, None]
  return x, x + x**3


def misfit(z: jax.Array) -> jax.Array:
  return jnp.mean((z - data()[1])**2)


def training(order: int, way: str, steps: int, adjoint: str = "checkpointed"
             ) -> tuple[Callable, Callable]:
  """The first state of Adam, and a step."""
  def loss(params):
    (z,), (roughness,) = solve(params, data()[0], order, way,
                               adjoint=adjoint).ys
    return misfit(z) + WEIGHTS.get(order, 0.0) * roughness

  return _training.adam(loss, 1e-2, steps)


# The comparison.

class Run(NamedTuple):
  """A training. Times are in seconds, of the first step from cold caches."""
  order: int
  way: str
  cse: bool
  equations: int
  trace_s: float
  compile_s: float
  first_s: float
  step_s: float
  losses: list[float]
  fit: float
  evaluations: int
  params: list


def around(cse: bool) -> Any:
  """What stands around the code: this is all that differs."""
  return jax_cse.enabled() if cse else jax_cse.disabled()


def equations(order: int, way: str, cse: bool, params: list) -> int:
  """Of the total derivative by itself; calls inside are counted."""
  f = lambda t, z: network(params, t, z)
  with around(cse):
    return jax_cse.count_primitives(WAYS[way](f, max(order, 1)))(
        0.5, data()[0]).total()


def train(order: int, way: str, cse: bool, params: list, steps: int,
          adjoint: str = "checkpointed") -> Run:
  """Trains from `params`; the first step starts with cold caches."""
  count = equations(order, way, cse, params)
  start, step = training(order, way, steps, adjoint)
  state = params, start(params)
  jax.clear_caches()
  times = [time.perf_counter()]
  tick = lambda: times.append(time.perf_counter())
  with around(cse):
    traced = jax.jit(step).trace(*state)
    tick()
    compiled = traced.lower().compile()
    tick()
  losses = []
  name = f"R_{order} by {way}" if order else "no regularization"
  for _ in tqdm(range(steps), desc=name, unit="step"):
    *state, value = jax.block_until_ready(compiled(*state))
    tick()
    losses.append(float(value))
  seconds = [b - a for a, b in itertools.pairwise(times)]
  params = state[0]
  solution = jax.jit(lambda p: solve(p, data()[0], tolerance=FINE))(params)
  return Run(order, way, cse, count, seconds[0], seconds[1], sum(seconds[:3]),
             statistics.median(seconds[2:]), losses,
             float(misfit(solution.ys[0][0])),
             1 + EVALUATIONS_PER_STEP * int(solution.stats["num_steps"]),
             params)


def compare(orders: list[int], params: list, steps: int, adjoint: str
            ) -> list[Run]:
  """Without regularization, and with each R_K in both ways."""
  runs = [train(0, "nested jvp", True, params, steps, adjoint)]
  for order in orders:
    runs.append(train(order, "nested jvp", True, params, steps, adjoint))
    runs.append(train(order, "jet", False, params, steps, adjoint))
  return runs


def label(run: Run) -> str:
  if not run.order:
    return "none"
  return f"R_{run.order}, {'jax_cse' if run.cse else run.way}"


def table(runs: list[Run], plain: dict[int, int]) -> str:
  """All measurements; `plain` has the equations of plain nested jvp."""
  head = (
      f"{'':14}|{'of f along the solution':^26}|{'equations':^18}|"
      f"{'seconds, cold caches':^26}|{'ms':^8}\n"
      f"{'regularized by':14}|{'mean square error':>17}{'evals':>8} |"
      f"{'of d^K z':>9}{'plain':>8} |{'trace':>7}{'compile':>8}"
      f"{'1st step':>10} |{'a step':>7}")
  lines = [head, "-" * len(head.splitlines()[1])]
  for run in runs:
    before = f"{plain[run.order]:,}" if run.order and run.cse else ""
    lines.append(
        f"{label(run):14}|{run.fit:>17.1e}{run.evaluations:>8} |"
        f"{run.equations:>9,}{before:>8} |{run.trace_s:>7.2f}"
        f"{run.compile_s:>8.2f}{run.first_s:>10.2f} |{1e3 * run.step_s:>7.2f}")
  return "\n".join(lines)


def figure(runs: list[Run], plain: dict[int, int]):
  """Trajectories with the steps of the solver; evaluations; costs."""
  from matplotlib.figure import Figure
  trained = [run for run in runs if run.cse]
  fig = Figure(figsize=(13, 7), layout="constrained")
  grid = fig.add_gridspec(2, 1)
  upper = grid[0].subgridspec(1, len(trained))
  starts, first = jnp.linspace(-1, 1, 9)[:, None], None
  follow = jax.jit(lambda params: solve(
      params, starts, tolerance=FINE,
      saveat=diffrax.SaveAt(t0=True, steps=True)))
  for i, run in enumerate(trained):
    ax = first = fig.add_subplot(upper[i], sharey=first)
    solution = follow(run.params)
    taken = jnp.isfinite(solution.ts)
    ax.plot(solution.ts[taken], solution.ys[0][taken][..., 0], ".-",
            color="C0", linewidth=1, markersize=4)
    name = f"R$_{run.order}$" if run.order else "none"
    ax.set(title=f"{name}: {run.evaluations} evaluations\nerror {run.fit:.1e}",
           xlabel="t", ylabel="z(t)" if not i else None)
  lower = grid[1].subgridspec(1, 3)
  orders = [run.order for run in trained if run.order]
  beside = {"nested jvp, jax_cse": {run.order: run for run in trained},
            "jet": {run.order: run for run in runs if run.way == "jet"}}
  for place, title, unit, of in (
      (lower[0], "d$^K$z/dt$^K$", "equations", lambda run: run.equations),
      (lower[1], "Until the first step is done, cold caches", "seconds",
       lambda run: run.first_s),
      (lower[2], "A step of training", "milliseconds",
       lambda run: 1e3 * run.step_s)):
    ax = fig.add_subplot(place)
    for color, (name, by_order) in zip(("C0", "C1"), beside.items()):
      ax.plot(orders, [of(by_order[k]) for k in orders], "o-", color=color,
              label=name)
    if unit == "equations":
      ax.plot(orders, [plain[k] for k in orders], "o--", color="C7",
              label="nested jvp, plain")
      ax.set_yscale("log")
    else:
      ax.set_ylim(bottom=0)
    ax.set(title=title, xlabel="K", ylabel=unit, xticks=orders)
    ax.legend()
  for ax in fig.axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, axis="y", alpha=0.3)
  fig.suptitle("Neural ODEs for x $\\to$ x + x$^3$, regularized by the K-th "
               "derivative of the solution: steps of the solver, and costs")
  return fig


NUMBERS = {                 # the default, the least, and what it is
    "steps": (800, 1, "steps of Adam"),
    "layers": (2, 1, "hidden layers"),
    "width": (16, 1, "width of the hidden layers"),
    "seed": (0, 0, "seed of the first parameters")}


def main(argv: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  _command_line.add_options(parser, NUMBERS, "easy_odes.png")
  parser.add_argument("--orders", type=int, nargs="+", metavar="K",
                      default=list(WEIGHTS), choices=list(WEIGHTS),
                      help="orders of the derivative (default: "
                      f"{' '.join(map(str, WEIGHTS))})")
  parser.add_argument("--adjoint", choices=list(ADJOINTS),
                      default="checkpointed", help="how diffrax differentiates "
                      "the solver (default: checkpointed)")
  options = _command_line.parse(parser, NUMBERS, argv)
  # A compilation that is found on disk takes no time.
  jax.config.update("jax_enable_compilation_cache", False)

  params = init(jax.random.key(options.seed), options.layers, options.width)
  orders = sorted(set(options.orders))
  plain = {k: equations(k, "nested jvp", False, params) for k in orders}
  runs = compare(orders, params, options.steps, options.adjoint)
  print(table(runs, plain))
  print(f"evals: evaluations of f with tolerances of {FINE:g}; plain: "
        "equations of nested jvp\nwithout CSE; 1st step: all until it is done",
        end="\n\n")
  _command_line.save(lambda: figure(runs, plain), options.out)


if __name__ == "__main__":
  main()
