"""A network for several equations, trained with one line more and without.

The Navier-Stokes equations for a plane flow (u, v) of pressure p,

    u_t + u u_x + v u_y + p_x - nu (u_xx + u_yy) = 0
    v_t + u v_x + v v_y + p_y - nu (v_xx + v_yy) = 0
    u_x + v_y                                    = 0

have a solution in closed form, decaying vortices (Taylor and Green 1937):

    u = -cos(x) sin(y) exp(-2 nu t),   v = sin(x) cos(y) exp(-2 nu t),
    p = -(cos(2 x) + cos(2 y)) / 4 exp(-4 nu t)

A network with four layers of width 128, of (x, y, t), learns them on a square
from their values at t = 0 and on its sides, and from the residuals inside
(Raissi, Perdikaris and Karniadakis 2019). The derivatives are nested `jax.grad`
by the coordinates, 14 of them, as everybody writes them. The same code is
trained twice, plain and inside of `jax_cse.enabled("ring")`:

    pip install 'PATH/TO/CLONE[examples]'
    python examples/navier_stokes.py [--steps N] [--points N] [--layers N]
                                     [--width N] [--seed N] [--repeats N]
                                     [--out FILE.png]

It prints times and losses, and draws losses and the vortices that were learned.
"""

import argparse
from collections.abc import Callable
import contextlib
import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import _command_line
import _training
import jax_cse

VISCOSITY = 0.1
END = 1.0
SIDE = jnp.pi


# The problem.

def exact(x: Any, y: Any, t: Any) -> jax.Array:
  """u, v and p of the vortices."""
  slower = jnp.exp(-2 * VISCOSITY * t)
  return jnp.stack([
      -jnp.cos(x) * jnp.sin(y) * slower, jnp.sin(x) * jnp.cos(y) * slower,
      -(jnp.cos(2 * x) + jnp.cos(2 * y)) / 4 * slower**2])


def residual(fields: Callable, x: Any, y: Any, t: Any) -> jax.Array:
  """What the three equations make of u, v and p at a point."""
  u, v, p = (lambda *at, i=i: fields(*at)[i] for i in range(3))
  d = jax.grad

  def momentum(w, gradient):
    laplacian = d(d(w, 0), 0)(x, y, t) + d(d(w, 1), 1)(x, y, t)
    return (d(w, 2)(x, y, t) + u(x, y, t) * d(w, 0)(x, y, t)
            + v(x, y, t) * d(w, 1)(x, y, t) + gradient
            - VISCOSITY * laplacian)

  return jnp.stack([momentum(u, d(p, 0)(x, y, t)),
                    momentum(v, d(p, 1)(x, y, t)),
                    d(u, 0)(x, y, t) + d(v, 1)(x, y, t)])


# The network and its training.

def init(key: jax.Array, layers: int, width: int) -> list:
  """Weights and biases of so many hidden layers, and of the last."""
  return _training.init(key, [3] + [width] * layers + [3])


def network(params: list, x: Any, y: Any, t: Any) -> jax.Array:
  h = jnp.stack([x, y, t])
  for w, b in params[:-1]:
    h = jnp.tanh(h @ w + b)
  w, b = params[-1]
  return h @ w + b


def draw_points(key: jax.Array, count: int) -> tuple:
  """Points inside, at t = 0, and on the sides of the square."""
  inside, start, sides = (jax.random.uniform(k, (count, 3)) * jnp.array(
      [SIDE, SIDE, END]) for k in jax.random.split(key, 3))
  start = start.at[:, 2].set(0.0)
  quarter = jnp.arange(count) % 4
  axis, value = quarter % 2, SIDE * (quarter // 2)
  sides = sides.at[jnp.arange(count), axis].set(value)
  return inside, jnp.concatenate([start, sides])


def training(points: tuple, steps: int) -> tuple[Callable, Callable]:
  """The first state, and one step of Adam."""
  inside, known = points

  def loss(params):
    fields = lambda x, y, t: network(params, x, y, t)
    left = jax.vmap(lambda at: residual(fields, *at))(inside)
    error = jax.vmap(lambda at: fields(*at) - exact(*at))(known)
    return jnp.mean(left**2) + jnp.mean(error**2)

  return _training.adam(loss, 3e-3, steps)


# The comparison.

class Run(NamedTuple):
  """One training. Times are medians, in seconds."""
  name: str
  flops: float
  trace_s: float
  first_s: float
  step_s: float
  losses: list[float]
  params: list


WAYS: dict[str, Callable[[], Any]] = {
    "plain": contextlib.nullcontext,
    'enabled("ring")': lambda: jax_cse.enabled("ring")}


def first_step(step: Callable, context: Callable, *args: Any) -> tuple:
  """The compiled step, and the seconds to trace it and until it has run once,
  from cold caches."""
  jax.clear_caches()
  start = time.perf_counter()
  with context():
    traced = jax.jit(step).trace(*args)
    traced_s = time.perf_counter() - start
    compiled = traced.lower().compile()
  jax.block_until_ready(compiled(*args))
  return compiled, traced_s, time.perf_counter() - start


def compare(params: list, points: tuple, steps: int, repeats: int
            ) -> list[Run]:
  """Trains both ways from the same parameters; they take turns."""
  start, step = training(points, steps)
  state = {name: (params, start(params)) for name in WAYS}
  compiled: dict[str, Any] = {}
  cold: dict[str, list] = {name: [] for name in WAYS}
  for name in tqdm([*WAYS] * repeats, desc="compiling", unit="program"):
    compiled[name], *times = first_step(step, WAYS[name], *state[name])
    cold[name].append(times)
  losses: dict[str, list] = {name: [] for name in WAYS}
  seconds: dict[str, list] = {name: [] for name in WAYS}
  for _ in tqdm(range(steps), desc="training", unit="step"):
    for name in WAYS:
      began = time.perf_counter()
      *state[name], value = jax.block_until_ready(compiled[name](*state[name]))
      seconds[name].append(time.perf_counter() - began)
      losses[name].append(float(value))
  runs = []
  for name in WAYS:
    trace_s, first_s = map(statistics.median, zip(*cold[name]))
    runs.append(Run(
        name, compiled[name].cost_analysis()["flops"], trace_s, first_s,
        statistics.median(seconds[name]), losses[name], state[name][0]))
  return runs


def distance(params: list, count: int = 32) -> float:
  """How far (u, v) at t = END is from the vortices, relative to them."""
  x, y = jnp.meshgrid(*[jnp.linspace(0, SIDE, count)] * 2)
  found, wanted = (jnp.vectorize(f, signature="(),()->(k)")(x, y)[..., :2]
                   for f in (lambda x, y: network(params, x, y, END),
                             lambda x, y: exact(x, y, END)))
  return float(jnp.linalg.norm(found - wanted) / jnp.linalg.norm(wanted))


def table(runs: list[Run]) -> str:
  head = (f"{'':18}{'flops':>10}{'trace':>9}{'1st step':>10}{'a step':>10}"
          f"{'last loss':>12}{'off by':>9}")
  lines = [head]
  lines += [f"{run.name:18}{run.flops / 1e6:>8,.0f} M{run.trace_s:>7.2f} s"
            f"{run.first_s:>8.2f} s{1e3 * run.step_s:>7.1f} ms"
            f"{run.losses[-1]:>12.3g}{distance(run.params):>9.2%}"
            for run in runs]
  plain, ours = runs
  ratios = [ours.flops / plain.flops, ours.trace_s / plain.trace_s,
            ours.first_s / plain.first_s, ours.step_s / plain.step_s]
  lines.append(f"{'ratio':18}{ratios[0]:>10.2f}{ratios[1]:>9.2f}"
               f"{ratios[2]:>10.2f}{ratios[3]:>10.2f}")
  return "\n".join(lines)


def agreement(plain: Run, ours: Run) -> str:
  apart = [abs(a - b) / a for a, b in zip(plain.losses, ours.losses)]
  return ("the losses differ, as a part of the loss, by "
          f"{apart[0]:.1g} at step 1 and by {max(apart):.1g} at most")


def figure(runs: list[Run]):
  """Losses by step, and the speed of the flow that was learned."""
  from matplotlib.figure import Figure
  fig = Figure(figsize=(12, 4), layout="constrained")
  first, *maps = fig.subplots(1, 3)
  for run, style in zip(runs, ("-", "--")):
    first.plot(run.losses, style, label=run.name)
  first.set(yscale="log", xlabel="step of Adam", ylabel="loss", title="Loss")
  first.legend()
  first.spines[["top", "right"]].set_visible(False)
  x, y = jnp.meshgrid(*[jnp.linspace(0, SIDE, 64)] * 2)
  for ax, run in zip(maps, runs):
    flow = jnp.vectorize(lambda x, y, p=run.params: network(p, x, y, END),
                         signature="(),()->(k)")(x, y)
    speed = np.hypot(flow[..., 0], flow[..., 1])
    drawn = ax.contourf(x, y, speed, 20)
    ax.streamplot(np.asarray(x), np.asarray(y), np.asarray(flow[..., 0]),
                  np.asarray(flow[..., 1]), color="white", linewidth=0.6,
                  arrowsize=0.6, density=0.8)
    ax.set(title=f"Speed at t = {END:g}; {run.name},\n"
           f"{1e3 * run.step_s:.0f} ms a step",
           xlabel="x", ylabel="y", aspect="equal")
    fig.colorbar(drawn, ax=ax)
  return fig


NUMBERS = {                 # the default, the least, and what it is
    "steps": (300, 1, "steps of Adam"),
    "points": (512, 4, "points inside, and twice as many around"),
    "layers": (4, 1, "hidden layers"),
    "width": (128, 1, "width of the hidden layers"),
    "seed": (0, 0, "seed of points and first parameters"),
    "repeats": (3, 1, "how often each program is compiled, for the median")}


def main(argv: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  _command_line.add_options(parser, NUMBERS, "navier_stokes.png")
  options = _command_line.parse(parser, NUMBERS, argv)
  # A compilation that is found on disk takes no time.
  jax.config.update("jax_enable_compilation_cache", False)
  weights, places = jax.random.split(jax.random.key(options.seed))
  runs = compare(init(weights, options.layers, options.width),
                 draw_points(places, options.points), options.steps,
                 options.repeats)
  print(table(runs))
  print("1st step: all until it is done; off by: the distance of the flow at "
        f"t = {END:g}\nfrom the vortices, relative to it", end="\n\n")
  print(agreement(*runs), end="\n\n")
  _command_line.save(lambda: figure(runs), options.out)


if __name__ == "__main__":
  main()
