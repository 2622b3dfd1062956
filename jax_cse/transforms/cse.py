"""`cse`, `polysimp` and `cse_jaxpr`: elimination that is asked for.

    jax_cse.cse(f)(x)                      # f(x), simplified as a whole
    jax_cse.cse_jaxpr(jax.make_jaxpr(f)(x))

The memoized bind sees one equation at a time and can only leave it out. These
see all of them before anything is computed, so they can rebuild: collect,
factor and expand sums and products, and drop dead equations.
"""

from collections.abc import Callable
import functools
from typing import Any, ParamSpec, Protocol, TypeVar

import jax
from jax.extend import core

from jax_cse.foundation import inputs
from jax_cse.foundation import modes
from jax_cse.rebuild import reverse_mode
from jax_cse.rebuild import simplification
from jax_cse.checking import verification

_P = ParamSpec("_P")
_Result = TypeVar("_Result")


def cse(fun: Callable[_P, _Result], mode: str = "ring", *, check: bool = False
        ) -> Callable[_P, _Result]:
  """A function with the results of `fun`, computed at less cost.

  A transformation in final style: `fun` is called with tracers, and operations
  on them are put off until it returns, or until Python wants to know a value.
  Then the cheapest way to the results is evaluated, or traced by whatever
  transformation is around: it composes with `jit`, `vmap`, `jvp`, `grad` and
  itself, in any order, and works eagerly. Effects happen when they are met.
  Nested `grad` in `fun` is simplified as inside of `enabled("ring")`.

  Args:
    fun: a function of pytrees of arrays, which JAX can trace.
    mode: "exact", "reassociate" or "ring": which equations are the same, and
      whether they may be rebuilt. In "exact" every equation that is left gives
      the bits that it gives without.
    check: whether to evaluate the plain program too, and to raise if the
      results are further apart than rounding moves them. It is for tests: it
      takes many times as long. In place of tracers random operands are drawn.
      `fun` is traced twice, by `jit`'s rules, and may have no effects except
      debug callbacks.

  Returns:
    A function with the signature of `fun`, and results of the same types.

  Raises:
    ValueError: `mode` is not one of the modes, or `fun` cannot be checked.
    CheckFailed: the results differ; names the equation and its line.
    TypeError: `fun` is not callable; at the call, an argument is of no JAX
      type.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: the thread's branches `cse` and `polysimp`,
  github.com/jax-ml/jax/issues/520.
  """
  inputs.require_callable(fun, "cse")
  modes.validate(mode)

  @functools.wraps(fun)
  def simplified(*args: _P.args, **kwargs: _P.kwargs) -> _Result:
    leaves, structure = jax.tree.flatten((args, kwargs))
    store: list[Any] = []

    def flat(*operands: Any) -> list[Any]:
      args, kwargs = jax.tree.unflatten(structure, operands)
      outs, out_structure = jax.tree.flatten(fun(*args, **kwargs))
      store.append(out_structure)
      return outs

    def rebuilt(flat: Callable[..., Any]) -> Callable[..., Any]:
      reordered = reverse_mode.reordered(mode)(flat)
      return lambda *xs: simplification.transform(
          lambda _, *tracers: reordered(*tracers), xs, mode)

    if check:
      outs = verification.checked(flat, leaves, verification.Road(
          f'cse(mode="{mode}")', lambda flat: flat, rebuilt))
    else:
      outs = rebuilt(flat)(*leaves)
    result: _Result = jax.tree.unflatten(store[0], outs)
    return result

  return simplified


def polysimp(fun: Callable[_P, _Result], *, check: bool = False
             ) -> Callable[_P, _Result]:
  """`cse(fun, mode="ring")`, by the name that the thread gave it."""
  inputs.require_callable(fun, "polysimp")
  return cse(fun, mode="ring", check=check)


class _Closed(Protocol):
  """A `ClosedJaxpr`, which type checkers do not know by that name in every
  version of JAX."""

  @property
  def eqns(self) -> list[core.JaxprEqn]: ...

  @property
  def consts(self) -> Any: ...


_ClosedJaxpr = TypeVar("_ClosedJaxpr", bound=_Closed)


def cse_jaxpr(closed_jaxpr: _ClosedJaxpr, mode: str = "ring", *,
              check: bool = False) -> _ClosedJaxpr:
  """Eliminates common subexpressions and dead code from a jaxpr.

  Calls (`jit`, `cond`, `custom_jvp_call`, ...) and loops (`scan`, `while`) are
  entered: congruent operands and carries become one, inside and outside. In
  mode "exact" the equations that are left keep their order, params, effects and
  source; in the others a `jit` that says nothing about placement is inlined and
  sums and products are rebuilt.

  Args:
    closed_jaxpr: any jaxpr, as from `jax.make_jaxpr`.
    mode: "exact", "reassociate" or "ring": which equations are the same.
    check: whether to evaluate both jaxprs, on random operands, and to raise if
      the results are further apart than rounding moves them.

  Returns:
    A jaxpr of the same function, with the same operands and results in number,
    shape, dtype and order, and at no greater cost: there are no more equations,
    unless they compute much less. A second call changes nothing.

  Raises:
    TypeError: `closed_jaxpr` is not a `ClosedJaxpr`.
    ValueError: `mode` is not one of the modes, or the jaxpr has effects that a
      check cannot repeat.
    CheckFailed: the results differ; names the equation and its line.
    UnsupportedJaxVersion: JAX is too old, or a probe found that it differs.

  Source: Alpern, Wegman and Zadeck 1988 for loops; the interface is that of
  JAX's own `dce_jaxpr`.
  """
  if not isinstance(closed_jaxpr, core.ClosedJaxpr):
    raise TypeError("closed_jaxpr must be a ClosedJaxpr, as jax.make_jaxpr "
                    f"returns; got {type(closed_jaxpr).__name__}")
  modes.validate(mode)
  simpler: _ClosedJaxpr = simplification.simplify(closed_jaxpr, mode)
  if check:
    verification.check_jaxpr(closed_jaxpr, simpler, mode)
  return simpler
