"""Variational Monte Carlo: a network learns the wavefunction of a molecule.

The energy of a wavefunction psi is the mean of its local energy

    E = -1/2 (laplacian log|psi| + |grad log|psi||^2) + V

over electrons that are distributed as psi^2, and no wavefunction has less than
the ground state. A small FermiNet or PsiFormer (_wavefunction.py) is trained to
have little: electrons walk by Metropolis's rule, their local energies tell how
the parameters should move, and Adam moves them. Most of the time goes into the
Laplacian. It comes from `jax_cse.value_grad_laplacian`; beside it stand folx,
if it is installed, and plain nested `jvp` (_local_energy.py):

    pip install 'PATH/TO/CLONE[examples]'
    python examples/vmc.py [--molecule H|He|H2|Li|LiH]
                           [--network ferminet|psiformer] [--batch N]
                           [--steps N] [--repeats N] [--seed N] [--out FILE.png]

It prints a table of the ways before the training and the energy after it,
beside the known one (_molecules.py), and draws both.

On CPU it runs on one core. The LAPACK calls of jaxlib before 0.11.2 split a
batch over XLA's threads and wait for them in one of these, so that as many
calls at once as there are threads wait forever.
"""

import argparse
from collections.abc import Callable
import os
import statistics
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from tqdm import tqdm

import _command_line
from _local_energy import local_energy, NESTED, WAYS
from _molecules import first_places, Molecule, MOLECULES
import _training
import _wavefunction

MOVES = 10              # of each electron between two steps of Adam
WARM_UP = 20            # rounds of moves before the first step
MEASURED = 200          # rounds for the energy at the end
RATE = 1e-2
# A mean absolute deviation of so many times is where local energies are cut.
CLIP = 5


# The comparison.

class Row(NamedTuple):
  """What the local energies of a batch cost in one way.

  Times are in CPU seconds, as others may be at work.
  """
  way: str
  flops: float
  first_s: float
  runs_s: list[float]
  temporary: int
  difference: float


def energies(psi: Callable, molecule: Molecule, way: str) -> Callable:
  """Local energies of a batch, for `psi(params, x)`."""
  return jax.vmap(
      lambda params, x: local_energy(lambda x: psi(params, x), molecule, way)(
          x), in_axes=(None, 0))


def in_double(psi: Callable, molecule: Molecule, way: str, params: Any,
              x: jax.Array) -> np.ndarray:
  with jax.enable_x64(True):
    double = lambda tree: jax.tree.map(lambda a: a.astype("float64"), tree)
    return np.asarray(jax.jit(energies(psi, molecule, way))(
        double(params), double(x)))


def compare(psi: Callable, molecule: Molecule, params: Any, x: jax.Array,
            repeats: int) -> list[Row]:
  """Runs the ways in turn, so that what else the machine does falls on all.

  Before each run that is timed there is one that is not, so that none pays for
  what the one before left in the caches.
  """
  compiled: dict[str, Any] = {}
  first, exact = {}, {}
  for way in tqdm(WAYS, desc="compiling", unit="way"):
    exact[way] = in_double(psi, molecule, way, params, x)
    jax.clear_caches()
    start = time.process_time()
    compiled[way] = jax.jit(energies(psi, molecule, way)).lower(
        params, x).compile()
    jax.block_until_ready(compiled[way](params, x))
    first[way] = time.process_time() - start
  runs: dict[str, list[float]] = {way: [] for way in WAYS}
  for _ in tqdm(range(repeats), desc="timing", unit="run"):
    for way in WAYS:
      jax.block_until_ready(compiled[way](params, x))
      start = time.process_time()
      jax.block_until_ready(compiled[way](params, x))
      runs[way].append(time.process_time() - start)
  return [Row(
      way, compiled[way].cost_analysis()["flops"], first[way], runs[way],
      compiled[way].memory_analysis().temp_size_in_bytes,
      float(np.max(np.abs(exact[way] / exact[NESTED] - 1)))) for way in WAYS]


def table(rows: list[Row]) -> str:
  head = (f"{'way':12}|{'Mflops':>8} |{'s to the first':>15} |{'ms':>8}"
          f"{'least':>8}{'most':>8} |{'MiB':>7} |{'off by':>8}")
  return "\n".join([head, "-" * len(head), *(
      f"{r.way:12}|{r.flops / 1e6:>8.1f} |{r.first_s:>15.2f} |"
      f"{1e3 * statistics.median(r.runs_s):>8.2f}{1e3 * min(r.runs_s):>8.2f}"
      f"{1e3 * max(r.runs_s):>8.2f} |{r.temporary / 2**20:>7.1f} |"
      f"{r.difference:>8.0e}" for r in rows)])


# The training.

def metropolis(psi: Callable) -> Callable:
  """A round of moves, and the width of the next, for half to be accepted."""
  log = jax.vmap(psi, in_axes=(None, 0))

  @jax.jit
  def walk(params, key, x, width):
    def move(_, state):
      key, x, at, accepted = state
      key, noise, chance = jax.random.split(key, 3)
      y = x + width * jax.random.normal(noise, x.shape)
      there = log(params, y)
      better = 2 * (there - at) > jnp.log(jax.random.uniform(chance, at.shape))
      return (key, jnp.where(better[:, None], y, x),
              jnp.where(better, there, at), accepted + better.mean() / MOVES)

    _, x, _, accepted = jax.lax.fori_loop(
        0, MOVES, move, (key, x, log(params, x), 0.0))
    return x, width * jnp.where(accepted > 0.5, 1.05, 1 / 1.05), accepted
  return walk


def clipped(found: jax.Array) -> jax.Array:
  """Local energies, of which those far out are drawn in to the others."""
  middle = jnp.median(found)
  far = CLIP * jnp.mean(jnp.abs(found - middle))
  return jnp.clip(found, middle - far, middle + far)


class Trained(NamedTuple):
  """The mean local energy of the batch at each step; at the end the energy,
  its standard error and the part of the moves that was accepted."""
  steps: list[float]
  energy: float
  error: float
  accepted: float


def train(psi: Callable, molecule: Molecule, params: Any, x: jax.Array,
          steps: int, key: jax.Array) -> Trained:
  # Local energies, moves and parameters have a program each.
  walk, local = metropolis(psi), jax.jit(energies(psi, molecule, "jax_cse"))

  def surrogate(params, x, found):
    """Its gradient is that of the energy: 2 <(E - <E>) grad log|psi|>."""
    cut = clipped(found)
    return jnp.mean(2 * (cut - cut.mean()) * jax.vmap(psi, (None, 0))(
        params, x))

  start, step = _training.adam(surrogate, RATE, steps)
  step, state = jax.jit(step), start(params)
  width: Any = 0.3
  means, at_the_end, accepted = [], [], []
  rounds = tqdm(range(WARM_UP + steps + MEASURED), desc="training", unit="step")
  for i in rounds:
    x, width, part = walk(params, jax.random.fold_in(key, i), x, width)
    if i < WARM_UP:
      continue
    found = local(params, x)
    if i >= WARM_UP + steps:
      at_the_end.append(np.float64(found))
      accepted.append(float(part))
      continue
    means.append(float(found.mean()))
    rounds.set_postfix(E=f"{means[-1]:.4f}", refresh=False)
    params, state, _ = step(params, state, x, found)
  # Electrons of one walk follow from one another; walks are independent.
  walks = np.mean(at_the_end, axis=0)
  return Trained(means, float(walks.mean()),
                 float(walks.std(ddof=1) / len(walks)**0.5),
                 statistics.mean(accepted))


def result(name: str, molecule: Molecule, trained: Trained) -> str:
  apart = 1e3 * (trained.energy - molecule.energy)
  return (f"{name}: E = {trained.energy:.5f} +- {trained.error:.5f} Hartree, "
          f"known: {molecule.energy:.6g}\n{apart:.2f} +- "
          f"{1e3 * trained.error:.2f} mHartree above it; "
          f"{trained.accepted:.0%} of the moves accepted")


# The figure.

def smoothed(values: list[float], rate: float = 0.05) -> list[float]:
  """The median of those around each, which no single one moves far."""
  reach = max(1, round(rate * len(values) / 2))
  return [statistics.median(values[max(0, i - reach):i + reach + 1])
          for i in range(len(values))]


def draw_energy(ax, molecule: Molecule, trained: Trained) -> None:
  steps = range(1, len(trained.steps) + 1)
  ax.plot(steps, trained.steps, color="C0", alpha=0.3, linewidth=0.8,
          label="mean of the batch")
  ax.plot(steps, smoothed(trained.steps), color="C0", label="smoothed")
  ax.axhline(molecule.energy, color="0.2", linestyle="--", linewidth=1,
             label=f"known: {molecule.energy:.6g}")
  ax.errorbar([len(steps)], [trained.energy], [trained.error], fmt="o",
              color="C3", markersize=4, capsize=3,
              label=f"at the end: {trained.energy:.4f} +- {trained.error:.4f}")
  # The first steps are far off, and hide all others.
  high = np.quantile(trained.steps[len(steps) // 10:], 0.99)
  gap = max(high - molecule.energy, 0.01)
  ax.set(xlabel="step of Adam", ylabel="Hartree", title="Energy",
         ylim=(molecule.energy - 0.3 * gap, molecule.energy + 1.5 * gap))
  ax.legend()


def draw_bars(ax, title: str, form: str, values: dict[str, list[float]]
              ) -> None:
  """The median of each way, with the quarters next to it."""
  names = [way.replace(" ", "\n") for way in values]
  middle = [statistics.median(v) for v in values.values()]
  drawn = ax.bar(names, middle, color=["0.5", "C1", "C0"][-len(names):])
  ax.bar_label(drawn, fmt=form, fontsize=8, label_type="center", color="white")
  quarters = [np.quantile(v, (0.25, 0.75)) for v in values.values()]
  if any(low < high for low, high in quarters):
    ax.errorbar(names, middle, abs(np.transpose(quarters) - middle),
                fmt="none", ecolor="0.2", capsize=4)
  ax.tick_params(axis="x", labelsize=8)
  ax.set_title(title, fontsize=10)


def figure(name: str, molecule: Molecule, rows: list[Row], trained: Trained):
  """Energies by step beside the known one, and the costs as bars."""
  from matplotlib.figure import Figure
  fig = Figure(figsize=(13, 5), layout="constrained")
  grid = fig.add_gridspec(1, 4, width_ratios=(4, 1, 1, 1))
  draw_energy(fig.add_subplot(grid[0]), molecule, trained)
  for place, title, form, values in (
      (grid[1], "Mflops", "{:.0f}", {r.way: [r.flops / 1e6] for r in rows}),
      (grid[2], "CPU seconds to\nthe first result", "{:.2f}",
       {r.way: [r.first_s] for r in rows}),
      (grid[3], "CPU milliseconds\nfor a batch", "{:.1f}",
       {r.way: [1e3 * s for s in r.runs_s] for r in rows})):
    draw_bars(fig.add_subplot(place), title, form, values)
  for ax in fig.axes:
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(True, axis="y", alpha=0.3)
    ax.set_axisbelow(True)
  fig.suptitle(f"The wavefunction of {name} by variational Monte Carlo, and "
               "what the local energies of a batch cost in each way")
  return fig


NUMBERS = {                 # the default, the least, and what it is
    "batch": (256, 2, "walks, each with all electrons"),
    "steps": (1500, 1, "steps of Adam"),
    "repeats": (50, 1, "runs of each way that are timed"),
    "seed": (0, 0, "seed of parameters and walks")}


def main(argv: list[str] | None = None) -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  _command_line.add_options(parser, NUMBERS, "vmc.png")
  parser.add_argument("--molecule", choices=list(MOLECULES), default="LiH",
                      help="whose electrons (default: LiH)")
  parser.add_argument("--network", choices=list(_wavefunction.NETWORKS),
                      default="ferminet", help="default: ferminet")
  options = _command_line.parse(parser, NUMBERS, argv)
  # Threads of XLA, which reads it when it is first used.
  os.environ.setdefault("PJRT_NPROC", "1")
  # A compilation that is found on disk takes no time.
  jax.config.update("jax_enable_compilation_cache", False)

  molecule = MOLECULES[options.molecule]
  first, places, walks = jax.random.split(jax.random.key(options.seed), 3)
  params = _wavefunction.init(first, molecule, options.network)
  x = first_places(places, molecule, options.batch)
  psi = lambda params, x: _wavefunction.log_psi(
      params, molecule, options.network, x)

  rows = compare(psi, molecule, params, x, options.repeats)
  print(table(rows))
  print(f"Of the local energies of {options.batch} walks. Mflops: by XLA's "
        "count; times are of CPU;\ns to the first: to trace, compile and run, "
        f"cold caches; ms: median, least and most\nof {options.repeats}; MiB: "
        f"temporary; off by: relative to {NESTED}, in double precision",
        end="\n\n")
  trained = train(psi, molecule, params, x, options.steps, walks)
  print(result(options.molecule, molecule, trained), end="\n\n")
  _command_line.save(lambda: figure(options.molecule, molecule, rows, trained),
                     options.out)


if __name__ == "__main__":
  main()
