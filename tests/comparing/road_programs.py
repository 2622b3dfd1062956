"""How random programs go through the roads.

A program that was drawn is a function, as typed_programs.py, effect_programs.py
and sharded_programs.py say. It takes one road (roads.py), with a transformation
of JAX around: around the function in a context, or around what `cse` or
`derivatives` make of it.

Control flow is Python's where a road is eager, and jaxprs are evaluated one
primitive at a time, so mode "exact" has to keep bits: but for signs of zeros in
derivatives, and for the order of sums in reverse mode, which differential.py
explains.
"""

import jax
import jax.numpy as jnp
import numpy as np

import agreement
import effect_programs
import roads
import sharded_programs
import typed_programs


def _total(tree):
  return sum((jnp.sum(jnp.real(x)).astype(np.float32)
              for x in jax.tree.leaves(tree)
              if jax.dtypes.issubdtype(x.dtype, np.inexact)), jnp.float32(0))


AROUND = {
    "none": lambda f: f,
    "jvp": lambda f: lambda *xs: jax.jvp(f, xs, xs),
    "vmap": lambda f: lambda *xs: jax.vmap(f)(
        *(jnp.stack([x, x + x]) for x in xs)),
    "grad": lambda f: lambda *xs: jax.grad(lambda *ys: _total(f(*ys)))(*xs),
    "jit": lambda f: jax.jit(f),
}
# Those that take a function of integers, too.
_OF_ANY = ("none", "vmap", "jit")

# Jaxprs are compared, not what is compiled of them, since that is quicker. What
# `jit` compiles has a share of the kinds in random_programs.py.
ROADS = tuple(road for road in roads.ROADS if not road.startswith("jit"))


def _strictness(around, has_forward=False, has_reverse=False) -> str:
  if around == "grad" or has_reverse:
    return agreement.ROUNDING
  return (agreement.NUMBERS if around == "jvp" or has_forward
          else agreement.BITS)


def check_typed(wide, program, drawn, around, road) -> str:
  """How a program on several types compares; see `roads.check`.

  Args:
    wide: whether there are types of 64 bits.
    program: of `typed_programs.programs`.
    drawn: of `typed_programs.operands`.
    around: a name in `AROUND`.
    road: a name in `ROADS`.
  """
  with jax.enable_x64(wide):
    rows = [jnp.asarray(typed_programs.row(what, typed_programs.DTYPES[dtype]))
            for dtype, what in drawn]
    meaning = typed_programs.meaning(program)
    derived = around not in _OF_ANY or "derivatives" in road
    moving = [i for i, x in enumerate(rows) if not derived or
              jax.dtypes.issubdtype(x.dtype, np.inexact)]
    if around == "grad":
      moving = [i for i in moving if rows[i].dtype.kind == "f"]
    if not moving:
      return "raises"   # as JAX does, of which there are enough

    def fun(*xs):
      operands = list(rows)
      for i, x in zip(moving, xs):
        operands[i] = x
      return meaning(operands)

    return roads.check(road, roads.Plain(
        fun, [rows[i] for i in moving], around=AROUND[around],
        strictness=_strictness(around), calls_are_whole=False))


def check_effects(program, row, around, road) -> str:
  """How a program of `effect_programs` compares; see `roads.check`."""
  has = lambda kinds: effect_programs.has(kinds, program)
  return roads.check(road, roads.Plain(
      effect_programs.meaning(program),
      [jnp.asarray(effect_programs.ROWS[row], np.float32)],
      around=AROUND[around],
      strictness=_strictness(around, has(effect_programs.FORWARD),
                             has(effect_programs.REVERSE)),
      calls_are_whole=False, has_placement=False,
      record=effect_programs.RECORD))


def check_sharded(program, row, around, road) -> str:
  """How a program of `sharded_programs` compares, which is compiled as a
  whole where it is on several devices; see `roads.check`."""
  return roads.check(road, roads.Plain(
      sharded_programs.meaning(program),
      [jnp.asarray(sharded_programs.ROWS[row], np.float32)],
      around=AROUND[around], strictness=agreement.ROUNDING,
      has_placement=False))
