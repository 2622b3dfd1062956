"""Does this JAX fit? The private names, the replaced methods, small programs.

For a JAX on which nobody ran the tests. Programs are traced and not run, except
for a few; counts of their equations tell whether what is equal is merged, and
what is not is kept.
"""

from collections.abc import Callable, Iterator
import inspect
from typing import Any, NamedTuple

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from jax_cse.foundation import counting
from jax_cse.foundation.verdicts import Verdict
from jax_cse.probe import private_names


class Row(NamedTuple):
  """One thing that was looked at.

  Attributes:
    kind: "name", "method" or "program".
    what: which one.
    patches: whether `enabled()` alone needs it.
    difference: how it differs from what it should be; None if it does not.
  """
  kind: str
  what: str
  patches: bool
  difference: str | None = None


# The parameters of the methods that are replaced.
_PARAMETERS = {
    "bind_with_trace": "self trace args avals params",
    "emit_eqn": "self in_tracers out_avals primitive params effects "
                "source_info ctx",
    "process_shard_map": "trace prim f args mesh in_specs check_vma {axes} "
                         "debug_info",
    "to_primal_tangent_pair": "self val",
    "to_batch_info": "self val",
    "linearize": "traceable {primals}",
    "backward_pass3": "jaxpr transform_stack consts primals_in cotangents_in",
}


def rows() -> Iterator[Row]:
  """All that is looked at, the cheapest first."""
  names = [Row("name", name, False, missing and f"there is no {missing}")
           for name in private_names.names()
           for missing in [private_names.missing(name)]]
  yield from names
  if any(row.difference is not None for row in names):
    return   # nothing can be imported
  for probe, patches in ((_methods, True), (_explicit, False),
                         (_patched, True)):
    try:
      yield from probe()
    except Exception as error:   # JAX's, of whatever type
      yield Row("program", probe.__name__.strip("_"), patches, _told(error))


def verdict() -> Verdict:
  return of_rows(list(rows()))


def of_rows(looked_at: list[Row]) -> Verdict:
  kinds = [row.kind for row in looked_at]
  checked = ", ".join(f"{kinds.count(kind)} {kind}s"
                      for kind in dict.fromkeys(kinds))
  differ = [(row.patches, f"{row.kind} {row.what}: {row.difference}")
            for row in looked_at if row.difference is not None]
  return Verdict(checked, [text for patches, text in differ if not patches],
                 [text for patches, text in differ if patches],
                 [f"{row.kind:<8} {row.what:<48} {row.difference or 'fits'}"
                  for row in looked_at
                  if row.kind != "name" or row.difference is not None])


def _told(error: BaseException) -> str:
  first = (str(error).strip().splitlines() or [""])[0]
  return f"{type(error).__name__}: {first}"


def _methods() -> Iterator[Row]:
  from jax_cse import compat
  from jax_cse.compat import seams
  explicit = seams.LINEARIZE, seams.TRANSPOSE
  for owner, name in (seams.BIND, seams.STAGE, seams.SHARD, *seams.NODES,
                      *seams.EXITS, *explicit):
    patches = (owner, name) not in explicit
    what = f"{owner.__name__}.{name}"
    wanted = _PARAMETERS[name].format(
        axes=compat.MANUAL_AXES, primals=compat.PRIMALS).split()
    method = getattr(owner, name, None)
    if method is None:
      yield Row("method", what, patches, "it is not there")
      continue
    found = list(inspect.signature(method).parameters)
    if name == "linearize":   # what else it takes is passed on
      found = found[:len(wanted)]
    yield Row("method", what, patches, None if found == wanted else
              f"its parameters are {', '.join(found)}; they were "
              f"{', '.join(wanted)}")


# Programs of one number, by name: a primitive, and how often it is left.

def _twice(f: Callable) -> Callable:
  return lambda x: (f(x), f(x))


def _nested(f: Callable, order: int) -> Callable:
  for _ in range(order):
    f = lambda x, g=f: jax.jvp(g, (x,), (1.,))[1]
  return f


def _loop(x):
  return lax.scan(lambda c, _: (lax.sin(c) * x, None), x, None, length=3)[0]


def _while(x):
  return lax.while_loop(lambda c: c < 2, lambda c: c + lax.exp(c), x)


def _cond(x):
  return lax.cond(x > 0, lax.sin, lax.cos, x)


@jax.custom_jvp
def _ruled(x):
  return lax.sin(x)


_ruled.defjvp(lambda primals, tangents: (
    _ruled(*primals), tangents[0] * lax.cos(primals[0])))


@jax.custom_vjp
def _reversed(x):
  return lax.sin(x)


_reversed.defvjp(lambda x: (lax.sin(x), x), lambda x, t: (t * lax.cos(x),))

_compiled = jax.jit(lambda x: lax.sin(x) + 1)

_PROGRAMS: dict[str, tuple[Callable, str, int]] = {
    "an operation twice": (_twice(lax.sin), "sin", 1),
    "a sum, swapped": (lambda x: (x + lax.sin(x), lax.sin(x) + x), "add", 1),
    "a difference, swapped": (
        lambda x: (x - lax.sin(x), lax.sin(x) - x), "sub", 2),
    "a constant": (_twice(lambda x: x * 2.), "mul", 1),
    "constants 0. and -0.": (lambda x: (x + 0., x + -0.), "add", 2),
    "a function of jnp": (_twice(jnp.arctan2.__get__(1.)), "atan2", 1),
    "a jit": (_twice(_compiled), "sin", 1),
    "a jit and its body": (lambda x: (_compiled(x), lax.sin(x) + 1), "add", 1),
    "a branch": (_twice(_cond), "cond", 1),
    "a scan": (_twice(_loop), "scan", 1),
    "a while": (_twice(_while), "while", 1),
    "carries that are equal": (lambda x: lax.fori_loop(
        0, 3, lambda _, c: (lax.sin(c[0]), lax.sin(c[1])), (x, x)), "sin", 1),
    "carries that part": (lambda x: lax.fori_loop(
        0, 3, lambda _, c: (lax.sin(c[1]), lax.cos(c[0])), (x, x)), "sin", 1),
    "a linear solve": (_twice(lambda x: jnp.linalg.solve(
        jnp.eye(2) * x, jnp.ones(2))), "lu", 1),
    "a custom_jvp": (_twice(_ruled), "sin", 1),
    "a custom_vjp": (_twice(_reversed), "sin", 2),
    "a remat": (_twice(jax.checkpoint(lax.sin)), "sin", 2),
    "a barrier": (_twice(lax.optimization_barrier), "optimization_barrier", 2),
    "a callback": (_twice(lambda x: jax.pure_callback(
        np.sin, jax.ShapeDtypeStruct((), x.dtype), x)), "pure_callback", 2),
    "random bits": (_twice(lambda x: jax.random.bits(
        jax.random.key(0))), "random_bits", 2),
    "types": (lambda x: (lax.convert_element_type(x, jnp.int8),
                         lax.convert_element_type(x, jnp.int16)),
              "convert_element_type", 2),
}
# Under transformations, at which `enabled()` alone looks.
_TRANSFORMED: dict[str, tuple[Callable, str, int]] = {
    "vmap": (lambda x: jax.vmap(_twice(lax.sin))(x[None]), "sin", 1),
    "grad": (lambda x: jax.grad(lambda y: sum(_twice(lax.sin)(y)))(x), "cos",
             1),
    "nested jvp": (_nested(lambda x: lax.sin(lax.cos(x)), 4), "sin", 2),
    "nested jvp of a loop": (_nested(_loop, 3), "scan", 1),
    "nested jvp of a loop, its body": (_nested(_loop, 3), "sin", 1),
    "nested jvp of a jit": (_nested(_compiled, 4), "sin", 1),
    "nested jvp of a custom_jvp": (_nested(_ruled, 4), "sin", 1),
}


def _counted(name, fun, primitive, wanted, patches) -> Row:
  try:
    found = counting.count_primitives(fun)(0.5)[primitive]
  except Exception as error:   # JAX's, of whatever type
    return Row("program", name, patches, _told(error))
  return Row("program", name, patches, None if found == wanted else
             f"{found} {primitive} are left, not {wanted}")


def _compared(name, found: Any, wanted: Any, patches) -> Row:
  same = np.allclose(found, wanted, rtol=1e-5)
  return Row("program", name, patches,
             None if same else f"it gives {found}, not {wanted}")


def _explicit() -> Iterator[Row]:
  from jax.extend import core
  from jax_cse.transforms import cse
  from jax_cse.transforms.derivatives import derivatives

  for name, (fun, primitive, wanted) in _PROGRAMS.items():
    def rebuilt(x, fun=fun):
      jaxpr = cse.cse_jaxpr(jax.make_jaxpr(fun)(x), "exact")
      return core.jaxpr_as_fun(jaxpr)(x)
    yield _counted(f"cse_jaxpr, {name}", rebuilt, primitive, wanted, False)
  fun = lambda x: lax.sin(lax.cos(x) * x)
  yield _compared("derivatives, to the third", derivatives(fun, 3)(0.5)[3],
                  jax.jit(_nested(fun, 3))(0.5), False)
  yield _compared("cse of a loop", cse.cse(_loop)(0.5), _loop(0.5), False)


def _patched() -> Iterator[Row]:
  from jax_cse.memo.contexts import enabled
  fun = _nested(lambda x: lax.sin(lax.cos(x) * x), 3)
  wanted = jax.jit(fun)(0.5)
  with enabled():
    for name, (program, primitive, left) in (_PROGRAMS | _TRANSFORMED).items():
      yield _counted(f"enabled(), {name}", program, primitive, left, True)
    yield _compared("enabled(), values", jax.jit(fun)(0.5), wanted, True)
    yield _compared("enabled(), eagerly", fun(0.5), wanted, True)
