"""A physics-informed neural network, trained with jax_cse and without.

The Kuramoto-Sivashinsky equation

    u_t + u u_x + u_xx + u_xxxx = 0

is of fourth order in x, so its residual differentiates a network four times,
and training differentiates once more. It has a solution in closed form, a
travelling front (Kuramoto and Tsuzuki 1976):

    u = c + 15/19 sqrt(11/19) (11 s^3 - 9 s),
    s = tanh(1/2 sqrt(11/19) (x - c t))

A small tanh network of (t, x) learns that front for 0 <= t <= 1, |x| <= 3 from
its values at t = 0, its values and slopes at both ends, and the residual on a
grid inside. Derivatives are written in the two plain ways, nested `jax.jvp` and
nested `jax.grad`, and each is trained as it is and inside of
`jax_cse.enabled("ring")`, on the same code:

    pip install 'PATH/TO/CLONE[examples]'
    python examples/pinn.py [--steps N] [--points N] [--layers N] [--width N]
                            [--seed N] [--repeats N] [--x64] [--out FILE.png]

It prints a table of equations, times and losses, and draws them. It ends with a
mixed partial derivative, u_xxxt, which is one line with `jax_cse.pushfwd`.

The loss is simplified before the last differentiation, by the parameters. Each
value in it gets one cotangent then, the sum, and has its rule applied to that.
What is merged after that differentiation, as by XLA, has the copies' cotangents
pass through their rules one by one. Nested `grad` runs forwards where it is by
one number, so both ways come to the same program.

The losses differ by rounding, which a long training amplifies, as it does any
change in the last bit of a weight.
"""

import argparse
from collections.abc import Callable
import math
import statistics
import time
from typing import Any, NamedTuple

import jax
from jax.experimental import jet
import jax.numpy as jnp
from tqdm import tqdm

import _command_line
import _training
import jax_cse

SPEED = 1.0
END = 3.0
E_T, E_X = (1.0, 0.0), (0.0, 1.0)


# The problem.

def by_jvp(f: Callable, argnum: int) -> Callable:
  """The derivative of f(t, x) by one of its arguments, in forward mode."""
  direction = (E_T, E_X)[argnum]
  return lambda t, x: jax.jvp(f, (t, x), direction)[1]


DERIVATIVES: dict[str, Callable] = {
    "nested jvp": by_jvp, "nested grad": jax.grad}


def residual(u: Callable, d: Callable) -> Callable:
  """What the equation makes of u(t, x); `d` is one of `DERIVATIVES`."""
  u_t, u_x = d(u, 0), d(u, 1)
  u_xx = d(u_x, 1)
  u_xxxx = d(d(u_xx, 1), 1)
  return lambda t, x: (u_t(t, x) + u(t, x) * u_x(t, x)
                       + u_xx(t, x) + u_xxxx(t, x))


def exact(t: Any, x: Any) -> jax.Array:
  """The front, which solves the equation on the whole line."""
  root = (11 / 19)**0.5
  s = jnp.tanh(root / 2 * (x - SPEED * t))
  return SPEED + 15 / 19 * root * (11 * s**3 - 9 * s)


def mixed(u: Callable, t: Any, x: Any) -> jax.Array:
  """u_xxxt at (t, x), by one direction after the other."""
  return jax_cse.pushfwd(lambda at: u(*at), (t, x), [E_X, E_X, E_X, E_T])


def mixed_by_jet(u: Callable, t: Any, x: Any) -> jax.Array:
  """The same from a Taylor series.

  Series along lines have only derivatives along one direction each, of which
  mixed ones are combinations (Griewank, Utke and Walther 2000). Along the curve
  (t + s^5, x + s^2) one series is enough, but it is one of order 11: that is
  3 * 2 + 5 and no other sum of twos and fives, so that the coefficient of s^11
  is u_xxxt / 3!.
  """
  along_t, along_x = [0.0] * 11, [0.0] * 11
  along_t[5 - 1], along_x[2 - 1] = 120.0, 2.0   # their derivatives, 5! and 2!
  _, terms = jet.jet(u, (t, x), (along_t, along_x))
  return terms[11 - 1] * (math.factorial(3) / math.factorial(11))


# The network and its training.

def init(key: jax.Array, layers: int, width: int) -> list:
  """Weights and biases of so many hidden layers, and of the last."""
  return _training.init(key, [2] + [width] * layers + [1])


def network(params: list, t: Any, x: Any) -> jax.Array:
  h = jnp.stack([t, x / END])
  for w, b in params[:-1]:
    h = jnp.tanh(h @ w + b)
  w, b = params[-1]
  return (h @ w + b)[0]


def training(d: Callable, points: int, steps: int) -> tuple[Callable, Callable]:
  """The loss, and one step of Adam, for the derivatives `d`."""
  times = jnp.linspace(0.0, 1.0, points)
  places = jnp.linspace(-END, END, points)
  inside_t, inside_x = map(jnp.ravel, jnp.meshgrid(times, places))
  ends_t, ends_x = map(jnp.ravel, jnp.meshgrid(times, jnp.array([-END, END])))

  def loss(params):
    def u(t, x):
      return network(params, t, x)

    def error(t, x):
      return u(t, x) - exact(t, x)

    def mean_square(f, t, x):
      return jnp.mean(jax.vmap(f)(t, x)**2)

    return (mean_square(residual(u, d), inside_t, inside_x)
            + mean_square(error, jnp.zeros(points), places)
            + mean_square(error, ends_t, ends_x)
            + mean_square(d(error, 1), ends_t, ends_x))

  return _training.adam(loss, 1e-2, steps)


def at(operator: Callable, *args: Any) -> Callable:
  """The derivative `operator(u, *args)` as a function of the network too."""
  return lambda params, t, x: operator(
      lambda t, x: network(params, t, x), *args)(t, x)


def distance(params: list, points: int) -> float:
  """How far the network is from the front, relative to it, in the mean square.
  """
  t, x = jnp.meshgrid(jnp.linspace(0.0, 1.0, points),
                      jnp.linspace(-END, END, points))
  u = jnp.vectorize(lambda t, x: network(params, t, x))(t, x)
  front = exact(t, x)
  return float(jnp.linalg.norm(u - front) / jnp.linalg.norm(front))


# The comparison.

class Run(NamedTuple):
  """One way of writing derivatives, with CSE or without.

  Times are in seconds: `first_s` is all that passes until the first step is
  done, `cpu_s` what all processor cores together spend on that.
  """
  way: str
  cse: bool
  residual: int
  step: int
  trace_s: float
  compile_s: float
  first_s: float
  cpu_s: float
  step_s: float
  losses: list[float]
  distance: float


def around(cse: bool) -> Any:
  """What stands around the code: this is all that differs."""
  return jax_cse.enabled("ring") if cse else jax_cse.disabled()


def timed(f: Callable, *args: Any) -> tuple[Any, float]:
  start = time.perf_counter()
  result = jax.block_until_ready(f(*args))
  return result, time.perf_counter() - start


def first_step(step: Callable, cse: bool, *args: Any
               ) -> tuple[Any, list[float]]:
  """Compiles a step from cold caches.

  Returns:
    The compiled step, and the seconds to trace, to lower and compile, all until
    it has run once, and of processor time for all.
  """
  jax.clear_caches()
  before = time.process_time()
  with around(cse):
    traced, trace_s = timed(jax.jit(step).trace, *args)
    compiled, compile_s = timed(lambda: traced.lower().compile())
  _, run_s = timed(compiled, *args)
  return compiled, [trace_s, compile_s, trace_s + compile_s + run_s,
                    time.process_time() - before]


def compare(params: list, points: int, steps: int, repeats: int) -> list[Run]:
  """Trains in all four ways from the same parameters.

  The ways take turns, with each compilation and with each step, so that what
  else the machine does falls on all of them. Times are medians.
  """
  ways = [(way, cse) for way in DERIVATIVES for cse in (False, True)]
  counts, compiled, state = {}, {}, {}
  cold: dict[tuple[str, bool], list[list[float]]] = {key: [] for key in ways}
  losses: dict[tuple[str, bool], list[float]] = {key: [] for key in ways}
  seconds: dict[tuple[str, bool], list[float]] = {key: [] for key in ways}
  for way, cse in tqdm(ways * repeats, desc="compiling", unit="program"):
    key = way, cse
    start, step = training(DERIVATIVES[way], points, steps)
    state[key] = params, start(params)
    compiled[key], times = first_step(step, cse, *state[key])
    cold[key].append(times)
    if key not in counts:
      with around(cse):
        counts[key] = [
            jax_cse.count_primitives(at(residual, DERIVATIVES[way]))(
                params, 0.5, 0.5).total(),
            jax_cse.count_primitives(step)(*state[key]).total()]
  for _ in tqdm(range(steps), desc="training", unit="step"):
    for key in ways:
      (*state[key], value), took = timed(compiled[key], *state[key])
      losses[key].append(float(value))
      seconds[key].append(took)
  runs = []
  for way, cse in ways:
    key = way, cse
    of_residual, of_step = counts[key]
    trace_s, compile_s, first_s, cpu_s = map(
        statistics.median, zip(*cold[key]))
    runs.append(Run(
        way, cse, of_residual, of_step, trace_s, compile_s, first_s, cpu_s,
        statistics.median(seconds[key]), losses[key],
        distance(state[key][0], 4 * points)))
  return runs


def pairs(runs: list[Run]) -> list[tuple[Run, Run]]:
  """Each way without CSE and with it."""
  return list(zip(runs[::2], runs[1::2]))


def differences(plain: Run, merged: Run) -> list[float]:
  """How far the two losses are apart after each step, relative to the plain."""
  return [abs(a - b) / abs(a) for a, b in zip(plain.losses, merged.losses)]


def table(runs: list[Run]) -> str:
  """All measurements, and the ratios of CSE to plain."""
  head = (
      f"{'':20}|{'equations':^18}|{'seconds, cold caches':^33}|{'ms':^9}|"
      f"{'after training':^20}\n"
      f"{'':20}|{'residual':>9}{'step':>8} |{'trace':>6}{'compile':>9}"
      f"{'1st step':>10}{'CPU':>7} |{'a step':>8} |{'loss':>10}{'off by':>9}")
  lines = [head, "-" * len(head.splitlines()[1])]
  for pair in pairs(runs):
    for run in pair:
      lines.append(
          f"{run.way:12}{'jax_cse' if run.cse else 'plain':8}|"
          f"{run.residual:>9,}{run.step:>8,} |{run.trace_s:>6.2f}"
          f"{run.compile_s:>9.2f}{run.first_s:>10.2f}{run.cpu_s:>7.2f} |"
          f"{1e3 * run.step_s:>8.2f} |{run.losses[-1]:>10.6f}"
          f"{run.distance:>9.2%}")
    a, b = ([getattr(run, name) for name in Run._fields[2:9]] for run in pair)
    r = [y / x for x, y in zip(a, b)]
    lines.append(f"{'':12}{'ratio':8}|{r[0]:>9.2f}{r[1]:>8.2f} |{r[2]:>6.2f}"
                 f"{r[3]:>9.2f}{r[4]:>10.2f}{r[5]:>7.2f} |{r[6]:>8.2f} |")
  return "\n".join(lines)


def agreement(plain: Run, merged: Run) -> str:
  """How far the losses of a pair are apart, as a sentence."""
  apart = differences(plain, merged)
  worst = max(range(len(apart)), key=apart.__getitem__)
  if not apart[worst]:
    return f"{plain.way}: the losses are the same to the last bit"
  return (f"{plain.way}: the losses differ, as a part of the loss, by "
          f"{apart[0]:.1g} at step 1,\n  by {apart[-1]:.1e} at the last and by "
          f"{apart[worst]:.1e} at most, at step {worst + 1} of {len(apart)}")


def mixed_partial(params: list, t: float, x: float) -> str:
  """u_xxxt of a network, in three ways, as text."""
  def nested(u, t, x):
    d = jax.grad
    return d(d(d(d(u, 1), 1), 1), 0)(t, x)

  lines = [f"u_xxxt at ({t:g}, {x:g})       value    equations, with jax_cse"]
  for name, way in (("pushfwd", mixed), ("nested grad", nested),
                    ("jet, order 11", mixed_by_jet)):
    f = at(lambda u, way=way: lambda t, x: way(u, t, x))
    counts = []
    for cse in (False, True):
      with around(cse):
        counts.append(jax_cse.count_primitives(f)(params, t, x).total())
    lines.append(f"  {name:16}{float(jax.jit(f)(params, t, x)):>12.6f}"
                 f"{counts[0]:>13,}{counts[1]:>14,}")
  return "\n".join(lines)


def figure(runs: list[Run]):
  """Losses and their differences by step, equations and times as bars."""
  from matplotlib.figure import Figure
  fig = Figure(figsize=(13, 7), layout="constrained")
  grid = fig.add_gridspec(2, 2, height_ratios=(1.2, 1))
  colors = dict(zip(DERIVATIVES, ("C0", "C1")))

  top = fig.add_subplot(grid[0, 0])
  below = fig.add_subplot(grid[1, 0], sharex=top)
  for plain, merged in pairs(runs):
    color = colors[plain.way]
    steps = range(1, len(plain.losses) + 1)
    wide = 7 if plain.way == "nested jvp" else 4
    top.plot(steps, plain.losses, color=color, linewidth=wide, alpha=0.35,
             solid_capstyle="butt", label=f"{plain.way}, plain")
    top.plot(steps, merged.losses, "--" if wide == 7 else ":", color=color,
             linewidth=1.6, label=f"{plain.way}, jax_cse")
    apart = {i: y for i, y in zip(steps, differences(plain, merged)) if y}
    below.plot(list(apart), list(apart.values()), ".", color=color,
               markersize=4, label=plain.way)
  top.set(yscale="log", ylabel="loss", title="Loss of the four trainings")
  top.legend()
  top.tick_params(labelbottom=False)
  # A logarithmic scale without a number on it is an error.
  any_apart = any(any(differences(*pair)) for pair in pairs(runs))
  below.set(yscale="log" if any_apart else "linear", xlabel="step of Adam",
            ylabel="|jax_cse - plain| / plain",
            title="Difference of the losses, where it is not 0")
  below.legend()

  lower = grid[1, 1].subgridspec(1, 2, width_ratios=(3.2, 1))
  for place, title, unit, form, quantities in (
      (grid[0, 1], "Size of the program", "equations", "{:,.0f}",
       [("residual", "residual"), ("training step", "step")]),
      (lower[0], "Time from cold caches", "seconds", "{:.2f}",
       [("trace", "trace_s"), ("lower and\ncompile", "compile_s"),
        ("until the first\nstep is done", "first_s"),
        ("the same in\nCPU time", "cpu_s")]),
      (lower[1], "Training", "milliseconds", "{:.2f}",
       [("each step", "step_s")])):
    ax = fig.add_subplot(place)
    for i, run in enumerate(runs):
      drawn = ax.bar([x + 0.22 * (i - 1.5) for x in range(len(quantities))],
                     [getattr(run, name) * (1e3 if name == "step_s" else 1)
                      for _, name in quantities], 0.21, color=colors[run.way],
                     alpha=1.0 if run.cse else 0.35,
                     label=f"{run.way}, {'jax_cse' if run.cse else 'plain'}")
      ax.bar_label(drawn, fmt=form, fontsize=8 if unit == "equations" else 7)
    ax.set_xticks(range(len(quantities)), [label for label, _ in quantities])
    ax.set(ylabel=unit, title=title)
    ax.margins(y=0.12)
    if unit == "equations":
      ax.legend(loc="upper left")
  for ax in fig.axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, axis="y", alpha=0.3)
    ax.set_axisbelow(True)
  fig.suptitle("A network for u$_t$ + u u$_x$ + u$_{xx}$ + u$_{xxxx}$ = 0, "
               "trained with jax_cse and without")
  return fig


NUMBERS = {                 # the default, the least, and what it is
    "steps": (300, 1, "steps of Adam"),
    "points": (24, 2, "points of the grid along t, and as many along x"),
    "layers": (2, 1, "hidden layers"),
    "width": (32, 1, "width of the hidden layers"),
    "seed": (0, 0, "seed of the first parameters"),
    "repeats": (3, 1, "how often each program is compiled, for the median")}


def main(argv: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  _command_line.add_options(parser, NUMBERS, "pinn.png")
  parser.add_argument("--x64", action="store_true",
                      help="double precision; single without")
  options = _command_line.parse(parser, NUMBERS, argv)
  jax.config.update("jax_enable_x64", options.x64)
  # A compilation that is found on disk takes no time.
  jax.config.update("jax_enable_compilation_cache", False)

  params = init(jax.random.key(options.seed), options.layers, options.width)
  runs = compare(params, options.points, options.steps, options.repeats)
  print(table(runs))
  print("1st step: all until it is done, and in CPU time; off by: the distance "
        "from the\nfront relative to it, in the mean square", end="\n\n")
  for pair in pairs(runs):
    print(agreement(*pair))
  print()
  print(mixed_partial(params, 0.5, 0.5), end="\n\n")
  _command_line.save(lambda: figure(runs), options.out)


if __name__ == "__main__":
  main()
