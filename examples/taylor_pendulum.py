"""A Taylor series as the solver of a pendulum, beside Runge and Kutta's.

A solver by Taylor series takes the first p coefficients of the solution for a
step (_taylor_solver.py, for any ODE). p is any number, where a Runge-Kutta
method has to be found for each order; the polynomials are dense output; and the
last coefficients tell how long a step may be, so none is ever rejected (Jorba
and Zou 2005). The coefficients come from `jax_cse.jet`, order by order, with
`jax_cse.cse` around the recursion; beside it stand `jet` without `cse`, and
JAX's own `jax.experimental.jet` in both ways.

The other solver is diffrax's Dopri8, of order 8 (Prince and Dormand 1981), in
double precision as all here. A pendulum, or a double one, swings from far up.
The reference is the Taylor series of the highest order at a tolerance of 1e-18,
and what Dopri8 at 1e-14 is off from it is printed; energy is kept, so its drift
is an error too:

    pip install 'PATH/TO/CLONE[examples]'
    python examples/taylor_pendulum.py [--system single|double]
                                       [--pendulums N] [--orders P ...]
                                       [--repeats N] [--out FILE.png]

It prints two tables, and draws the trajectory with the steps of the solvers and
their work for each error.
"""

import argparse
from collections.abc import Callable
import itertools
import time
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from tqdm import tqdm

import _command_line
from _pendulums import many, System, SYSTEMS
import _taylor_solver
from _taylor_solver import BEST, WAYS
import jax_cse

TOLERANCES = 1e-4, 1e-6, 1e-8, 1e-10, 1e-12
# Where the ways to the coefficients are compared, and for the reference.
MIDDLE, FINEST = 1e-8, 1e-18
# Of Dopri8, which is compared with that reference.
NEAR = 1e-14
# Evaluations of Dopri8: of each step, taken or rejected, and before the first;
# its last is the first of the next.
STAGES, FIRST_STEP = 13, 1


# The solver beside it.

def by_diffrax(system: System, x: Any, tolerance: Any,
               max_steps: int = _taylor_solver.MAX_STEPS, **options: Any
               ) -> Any:
  """The solution by Dopri8."""
  return diffrax.diffeqsolve(
      diffrax.ODETerm(lambda t, x, args: system.slope(x)), diffrax.Dopri8(),
      0.0, system.end, None, x, adjoint=diffrax.ForwardMode(),
      max_steps=max_steps, **options,
      stepsize_controller=diffrax.PIDController(tolerance, tolerance))


def dopri8(system: System) -> Callable:
  """A solver, which returns the last state and the evaluations of the slope."""
  def solve(x, tolerance):
    solution = by_diffrax(system, x, tolerance)
    return (jax.tree.map(lambda rows: rows[-1], solution.ys),
            FIRST_STEP + STAGES * solution.stats["num_steps"])

  return solve


# The comparison.

class Solver(NamedTuple):
  """A compiled solver. Times are in CPU seconds, from cold caches."""
  name: str
  way: str
  equations: int
  trace_s: float
  compile_s: float
  first_s: float
  run: Callable


class Run(NamedTuple):
  """A solution: what was evaluated, how far it is off, the seconds it took."""
  evaluations: int
  error: float
  drift: float
  run_s: float


def ready(name: str, way: str, equations: int, solve: Callable, x: Any
          ) -> Solver:
  """Compiles a solver and runs it once."""
  jax.clear_caches()
  times = [time.process_time()]
  tick = lambda: times.append(time.process_time())
  traced = jax.jit(solve).trace(x, MIDDLE)
  tick()
  compiled = traced.lower().compile()
  tick()
  jax.block_until_ready(compiled(x, MIDDLE))
  tick()
  seconds = [b - a for a, b in itertools.pairwise(times)]
  return Solver(name, way, equations, seconds[0], seconds[1], sum(seconds),
                compiled)


def solvers(system: System, orders: list[int]) -> list[Solver]:
  """Taylor's of each order in each way, and Dopri8."""
  count = lambda fun: jax_cse.count_primitives(fun)(system.start).total()
  made = []
  bar = tqdm(list(itertools.product(orders, WAYS)), desc="compile",
             unit="solver")
  for order, way in bar:
    equations = count(WAYS[way](system.slope, order))
    made.append(ready(f"Taylor {order}", way, equations,
                      _taylor_solver.solver(system.slope, system.end, order,
                                            way), system.start))
  return [*made, ready("Dopri8", "diffrax", count(system.slope),
                       dopri8(system), system.start)]


def distance(x: Any, y: Any) -> float:
  return max(float(jnp.max(jnp.abs(a - b)))
             for a, b in zip(jax.tree.leaves(x), jax.tree.leaves(y)))


def measured(system: System, solver: Solver, tolerance: float, exact: Any,
             repeats: int) -> Run:
  """The least time of some, since others may be at work."""
  seconds = []
  for _ in range(repeats):
    before = time.perf_counter()
    x, evaluations = jax.block_until_ready(
        solver.run(system.start, tolerance))
    seconds.append(time.perf_counter() - before)
  drift = distance(system.energy(x), system.energy(system.start))
  return Run(int(evaluations), distance(x, exact), drift, min(seconds))


def ways_table(made: list[Solver], runs: dict) -> str:
  """What a series costs in each way."""
  head = (f"{'solver':10}{'coefficients':20}|{'equations':>10} |{'trace':>7}"
          f"{'compile':>9}{'1st result':>12} |{'us':>9}")
  return "\n".join([head, "-" * len(head), *(
      f"{s.name:10}{s.way:20}|{s.equations:>10,} |{s.trace_s:>7.2f}"
      f"{s.compile_s:>9.2f}{s.first_s:>12.2f} |"
      f"{1e6 * runs[s.name, s.way, MIDDLE].run_s:>9,.0f}" for s in made)])


def work_table(chosen: list[Solver], runs: dict) -> str:
  """What an error costs."""
  head = (f"{'tolerance':>9} {'solver':10}|{'evals':>6}{'error':>10}"
          f"{'energy drift':>14} |{'us':>9}")
  lines = [head]
  for tolerance in TOLERANCES:
    lines.append("-" * len(head))
    for s in chosen:
      run = runs[s.name, s.way, tolerance]
      lines.append(
          f"{tolerance:>9.0e} {s.name:10}|{run.evaluations:>6}"
          f"{run.error:>10.1e}{run.drift:>14.1e} |{1e6 * run.run_s:>9,.0f}")
  return "\n".join(lines)


# The figure.

def path(system: System, name: str) -> tuple[Any, Callable, int]:
  """Where steps begin and end, the state at a time, and what was rejected."""
  if name == "Dopri8":
    solution = by_diffrax(
        system, system.start, MIDDLE, max_steps=500,
        saveat=diffrax.SaveAt(t0=True, steps=True, dense=True))
    return (solution.ts[jnp.isfinite(solution.ts)], solution.evaluate,
            solution.stats["num_rejected_steps"])
  series = WAYS[BEST](system.slope, int(name.split()[1]))
  advance = jax.jit(lambda t, x: _taylor_solver.step(
      series, t, x, system.end, MIDDLE))
  times, x, polynomials = [jnp.float64(0)], system.start, []
  while times[-1] < system.end:
    t, x, polynomial = advance(times[-1], x)
    times.append(t)
    polynomials.append(polynomial)
  ts = jnp.stack(times)
  rows = jax.tree.map(lambda *c: jnp.stack(c), *polynomials)

  def evaluate(t):
    i = jnp.clip(jnp.searchsorted(ts, t, "right") - 1, 0, len(ts) - 2)
    return _taylor_solver.at(jax.tree.map(lambda c: c[i], rows), t - ts[i])

  return ts, evaluate, 0


def draw_steps(ax, system: System, name: str, color: str) -> None:
  """The angles of the first pendulum, and where the steps end."""
  ts, evaluate, rejected = path(system, name)
  angles = jax.jit(jax.vmap(lambda t: [
      y.ravel()[0] for y in jax.tree.leaves(evaluate(t)[0])]))
  line = jnp.linspace(0, system.end, 1000)
  for along, ends in zip(angles(line), angles(ts)):
    ax.plot(line, along, color="0.7", linewidth=1)
    ax.plot(ts, ends, "|", color=color, markersize=9)
  ax.margins(y=0.15)
  ax.set_title(f"{name}: {len(ts) - 1} steps"
               + (f", and {rejected} rejected" if rejected else ""), loc="left")


def figure(system: System, chosen: list[Solver], runs: dict):
  """Trajectories with the steps; evaluations and time for each error."""
  from matplotlib.figure import Figure
  fig = Figure(figsize=(14, 6.5), layout="constrained")
  grid = fig.add_gridspec(1, 3, width_ratios=(1.3, 1, 1))
  left = grid[0].subgridspec(len(chosen), 1)
  first = None
  for i, solver in enumerate(chosen):
    ax = first = fig.add_subplot(left[i], sharex=first, sharey=first)
    draw_steps(ax, system, solver.name, f"C{i}")
    ax.set_ylabel("angle")
    ax.tick_params(labelbottom=i == len(chosen) - 1)
  ax.set_xlabel("t")
  for place, title, of in (
      (grid[1], "Series, or evaluations by Dopri8",
       lambda run: run.evaluations),
      (grid[2], "Microseconds for a solution", lambda run: 1e6 * run.run_s)):
    ax = fig.add_subplot(place)
    for solver in chosen:
      mine = [runs[solver.name, solver.way, t] for t in TOLERANCES]
      ax.loglog([run.error for run in mine], list(map(of, mine)),
                "s--" if solver.name == "Dopri8" else "o-", label=solver.name)
    ax.set(xlabel="error at the end", title=title)
    ax.invert_xaxis()
    ax.grid(True, alpha=0.3)
    ax.legend()
  for ax in fig.axes:
    ax.spines[["top", "right"]].set_visible(False)
  fig.suptitle("A pendulum by Taylor series and by Dopri8: steps at a "
               f"tolerance of {MIDDLE:.0e}, and work at {TOLERANCES[0]:.0e} "
               f"to {TOLERANCES[-1]:.0e}")
  return fig


NUMBERS = {                 # the default, the least, and what it is
    "pendulums": (1, 1, "pendulums that swing at once"),
    "repeats": (200, 1, "solutions that are timed")}


def main(argv: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  _command_line.add_options(parser, NUMBERS, "taylor_pendulum.png")
  parser.add_argument("--system", choices=list(SYSTEMS), default="single",
                      help="which pendulum (default: single)")
  parser.add_argument("--orders", type=int, nargs="+", metavar="P",
                      choices=range(6, 31), help="orders of the series, 6 to "
                      "30 (default: 8 12 20; double: 8 12)")
  options = _command_line.parse(parser, NUMBERS, argv)
  # A compilation that is found on disk takes no time.
  jax.config.update("jax_enable_compilation_cache", False)
  jax.config.update("jax_enable_x64", True)

  system = many(SYSTEMS[options.system], options.pendulums)
  made = solvers(system, sorted(set(options.orders or system.orders)))
  chosen = [s for s in made if s.way in (BEST, "diffrax")]
  exact, _ = chosen[-2].run(system.start, FINEST)
  near, _ = chosen[-1].run(system.start, NEAR)
  runs = {(s.name, s.way, tolerance): measured(
      system, s, tolerance, exact, options.repeats)
          for s in made for tolerance in TOLERANCES}
  print(ways_table(made, runs), end="\n\n")
  print(work_table(chosen, runs), end="\n\n")
  print("equations: of a series, or of the slope; trace to 1st result: CPU "
        "seconds, cold\ncaches; us: microseconds for a solution, compiled, "
        f"above at {MIDDLE:.0e}; evals: series,\nor evaluations of the slope. "
        f"From the reference Dopri8 at {NEAR:.0e} is "
        f"{distance(near, exact):.0e} off.", end="\n\n")
  _command_line.save(lambda: figure(system, chosen, runs), options.out)


if __name__ == "__main__":
  main()
