"""A whole program with CSE against the same without, in one of five ways.

    eager      under disable_jit, so that control flow is Python's and nothing
               but primitives is compiled; twice in one context. Same bits.
    traced     the jaxpr of plain JAX, of the memoized bind, and of cse_jaxpr,
               evaluated one primitive at a time. Same bits, unless cotangents
               are summed, whose order CSE may change: there up to rounding.
               No more work, either.
    compiled   under jit; up to rounding.
    rebuilt    by `cse` and `cse_jaxpr` in the modes that rebuild sums and
               products, and under `enabled` in those; up to rounding, where
               operands and results are finite. No more work.
    dispatched called as it stands, so that loops and jnp functions are compiled
               one by one; twice in one context; up to rounding.

What CSE refuses plain JAX must refuse with the same type of error. A program
whose result jumps when its input moves by a rounding error cannot be compared
up to rounding, and is counted as ill-conditioned instead. Jaxprs are evaluated
without what nobody reads: some primitives that plain JAX stages refuse to run.

Limits: CSE takes away what a loop or call does not use, and with it zeros that
plain JAX computes with. So, not eagerly, a derivative that is -0 without CSE
may be 0 with it, one that is NaN, zero times an infinite derivative, may be a
number, and a program that plain JAX refuses, for it cannot differentiate
something that nobody reads, may be accepted.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import checking
import jax_cse
from jax_cse import compat
from jax_cse.compat import core
from jax_cse.foundation import counting
import op_by_op
import whole_programs

TRANSFORMS = {
    "none": lambda f: f,
    "jvp": lambda f: lambda x: jax.jvp(f, (x,), (x,)),
    "jvp jvp": lambda f: lambda x: jax.jvp(
        lambda y: jax.jvp(f, (y,), (x,))[1], (x,), (x,)),
    "vmap": lambda f: lambda x: jax.vmap(f)(jnp.stack([x, x + 1])),
    "vmap jvp": lambda f: lambda x: jax.vmap(
        lambda v: jax.jvp(f, (x,), (v,)))(jnp.stack([x, x + 1])),
    "grad": lambda f: jax.grad(lambda x: f(x).sum()),
    "vjp": lambda f: lambda x: jax.vjp(f, x)[1](x),
    "jvp grad": lambda f: lambda x: jax.jvp(
        jax.grad(lambda y: f(y).sum()), (x,), (x,)),
}
_SUMS_COTANGENTS = {"grad", "vjp", "jvp grad"}
_WITHOUT_DERIVATIVE = {"none", "vmap"}
# Rounding in float64, after at most some hundred operations.
_TOLERANCE = 1e-9


def check(program, row: int, transform: str, way: str) -> str:
  """Raises AssertionError if CSE can be seen; says how it was compared.

  Args:
    program: of whole_programs.programs.
    row: the argument, an index into whole_programs.ROWS.
    transform: a name in TRANSFORMS.
    way: a name in WAYS.

  Returns:
    "bits", "rounding", "ill-conditioned" or "raises".
  """
  sums_cotangents = (transform in _SUMS_COTANGENTS
                     or whole_programs.has(whole_programs.REVERSE, program))
  to_the_bit = way == "eager" or (way == "traced" and not sums_cotangents)
  def make(with_contexts):
    return TRANSFORMS[transform](
        whole_programs.meaning(program, with_contexts))
  with jax.enable_x64(not to_the_bit):
    dtype = np.float32 if to_the_bit else np.float64
    x = jnp.asarray(whole_programs.ROWS[row].astype(dtype))
    compare = _compare_up_to_rounding
    if to_the_bit:
      compare = _compare_bits
      if way == "traced" and (
          transform not in _WITHOUT_DERIVATIVE
          or whole_programs.has(whole_programs.DERIVATIVES, program)):
        compare = _compare_bits_but_of_zeros
    return WAYS[way](make, x, functools.partial(
        compare, f"{way} {transform} of {program} at row {row}"))


def _eager(make, x, compare):
  with jax.disable_jit():
    return _dispatched(make, x, compare)


def _dispatched(make, x, compare):
  with jax_cse.enabled():
    fun = make(True)
    results = [checking.attempt(fun, x), checking.attempt(fun, x)]
  return compare(results, make(False), x)


def _compiled(make, x, compare):
  with jax_cse.enabled():
    result = checking.attempt(jax.jit(make(True)), x)
  return compare([result], jax.jit(make(False)), x)


def _traced(make, x, compare):
  plain = checking.attempt(checking.trace, make(False), x)
  with jax_cse.enabled():
    merged = checking.attempt(checking.trace, make(True), x)
  if isinstance(plain, Exception) or isinstance(merged, Exception):
    return compare([merged if isinstance(merged, Exception) else 0],
                   lambda _: _raise(plain), x)
  core.check_jaxpr(merged.jaxpr)
  assert _work(merged) <= _work(plain), (
      f"{compare.args[0]}: grew\n{plain}\n{merged}")
  plain, merged, explicit = map(
      _live, (plain, merged, jax_cse.cse_jaxpr(plain, "exact")))
  results = [checking.attempt(op_by_op.evaluate, jaxpr, x)
             for jaxpr in (merged, explicit)]
  return compare(results, lambda y: op_by_op.evaluate(plain, y), x)


def _rebuilt(make, x, compare):
  fun = make(False)
  plain = checking.attempt(checking.trace, fun, x)
  expected = checking.attempt(fun, x)
  if isinstance(expected, Exception) or isinstance(plain, Exception):
    return "raises"
  if not all(np.isfinite(y).all() for y in jax.tree.leaves((x, expected))):
    return "not finite"
  results = []
  for mode in ("reassociate", "ring"):
    results.append(checking.attempt(jax_cse.cse(fun, mode), x))
    simpler = jax_cse.cse_jaxpr(plain, mode)
    core.check_jaxpr(simpler.jaxpr)
    assert _work(simpler) <= _work(plain), (
        f"{compare.args[0]}: grew\n{plain}\n{simpler}")
    again = jax_cse.cse_jaxpr(simpler, mode)
    assert str(again) == str(simpler), (
        f"{compare.args[0]}: not idempotent\n{simpler}\n{again}")
    outs = checking.attempt(core.jaxpr_as_fun(simpler), x)
    results.append(outs if isinstance(outs, Exception) else jax.tree.unflatten(
        jax.tree.structure(expected), outs))
    with jax_cse.enabled(mode):
      results.append(checking.attempt(jax.jit(make(False)), x))
  return compare(results, make(False), x)


def _work(closed_jaxpr) -> int:
  """Equations, inner ones included, without those that only hold others."""
  return sum(1 for eqn in counting.equations(closed_jaxpr.jaxpr)
             if not any(True for _ in core.jaxprs_in_params(eqn.params)))


def _live(closed_jaxpr):
  jaxpr, _ = compat.dce_jaxpr(closed_jaxpr.jaxpr,
                              [True] * len(closed_jaxpr.jaxpr.outvars),
                              instantiate=True)
  return compat.closed(jaxpr, closed_jaxpr.consts)


WAYS = {"eager": _eager, "traced": _traced, "compiled": _compiled,
        "dispatched": _dispatched, "rebuilt": _rebuilt}


def _raise(outcome):
  if isinstance(outcome, Exception):
    raise outcome
  return outcome


def _compare_bits(what, results, plain, x) -> str:
  return _compare(what, results, checking.attempt(plain, x),
                  lambda a, b: checking.assert_same_bits(a, b, what) or "bits")


def _compare_bits_but_of_zeros(what, results, plain, x) -> str:
  add_zero = lambda tree: jax.tree.map(lambda y: y + 0, tree)
  return _compare_bits(
      what, [r if isinstance(r, Exception) else add_zero(r) for r in results],
      lambda y: add_zero(plain(y)), x)


def _compare_up_to_rounding(what, results, plain, x) -> str:
  def compare(actual, expected):
    if _close(actual, expected):
      return "rounding"
    for step in (1e-14, -1e-14):
      if not _close(plain(x * (1 + step)), expected, _TOLERANCE / 10):
        return "ill-conditioned"
    raise AssertionError(f"{what}:\n  with CSE:    {actual}\n"
                         f"  without CSE: {expected}")
  return _compare(what, results, checking.attempt(plain, x), compare)


def _compare(what, results, expected, compare) -> str:
  outcomes = set()
  strict = what.startswith("eager")
  for actual in results:
    if isinstance(actual, Exception) or isinstance(expected, Exception):
      assert type(actual) is type(expected) or (
          not strict and not isinstance(actual, Exception)), (
              f"{what}: {actual!r}, not {expected!r}")
      outcomes.add("raises")
    else:
      outcomes.add(compare(actual, expected))
  return min(outcomes)  # ill-conditioned before rounding


def _close(actual, expected, tolerance=_TOLERANCE) -> bool:
  """Whether arrays agree up to `tolerance` of their largest finite number.

  Where `expected` is NaN anything is taken; see Limits above.
  """
  for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected)):
    a, b = np.asarray(a), np.asarray(b)
    finite = np.abs(b[np.isfinite(b)])
    scale = finite.max(initial=1)
    if not np.allclose(np.where(np.isnan(b), b, a), b, rtol=0,
                       atol=tolerance * scale, equal_nan=True):
      return False
  return True
