"""Second derivatives of which only the sum is read, and a Laplacian instead.

    changes(program)      each such place, and the program by `laplacian`

A Hessian, or what `jvp` of a gradient gives along each coordinate, is linear in
the Jacobian of the gradient. While the function is traced, the gradient gets
another Jacobian, by `custom_jvp`, two times:

    1. E, an operand. The program is evaluated for a random E of trace 0 and for
       E = 0, as far as it depends on E alone. If nothing differs, only the
       trace is read.
    2. L, the Laplacian, in one corner and zeros elsewhere. Its trace is that
       of the Hessian, so the program gives the same result.

Nobody has to know how the sum was written: `jnp.trace` of `jax.hessian`, an
`einsum`, a loop over unit vectors.

Limits: of a function that gives one number, of one array.
"""

from collections.abc import Callable, Iterator
import functools
from typing import Any

import jax
from jax.custom_derivatives import SymbolicZero
import jax.numpy as jnp
import numpy as np

from jax_cse.advice import known_parts
from jax_cse.findings import derivative_calls
from jax_cse.findings.derivative_calls import Call
from jax_cse.findings.traceable import Change, Traceable
from jax_cse.transforms.laplacian import laplacian

# Of the operand that shows what is read, n * n numbers are made.
_MOST_COORDINATES = 512
# Another Jacobian of a gradient: takes the function, x, what else there is, and
# a tangent of x, and gives that of the gradient.
_Jacobian = Callable[..., Any]


def changes(program: Traceable) -> Iterator[Change]:
  """A Laplacian in the place of each sum of second derivatives."""
  for outer, inner in sums(program):
    yield Change(
        outer.line or inner.line,
        f"second derivatives by {inner.size} coordinates, of which only the "
        "sum is read",
        "jax_cse.laplacian(f)(x), or value_grad_laplacian for the gradient too",
        functools.partial(_with_laplacian, program, inner))


def sums(program: Traceable) -> Iterator[tuple[Call, Call]]:
  """The outer and the inner derivative where only a sum is read; a pair for
  each place."""
  seen = set()
  for inner in program.calls:
    outer = next((call for call in inner.all_around()
                  if call.shapes == inner.shapes), None)
    if (outer is None or inner.inside or len(inner.shapes) != 1
        or inner.place in seen or not 1 < inner.size <= _MOST_COORDINATES):
      continue
    seen.add(inner.place)
    if _reads_the_sum_alone(program, inner):
      yield outer, inner


def _with_laplacian(program, inner):
  def jacobian(fun, x, extra, tangent):
    value = laplacian(fun)(x) * tangent.ravel()[0]
    return jnp.pad(value[None], (0, x.size - 1)).reshape(x.shape)
  return derivative_calls.replaced(
      program.fun, program.args, program.kwargs,
      _answer(inner, jacobian, lambda: ()))


def _reads_the_sum_alone(program, inner) -> bool:
  def jacobian(fun, x, extra, tangent):
    matrix, = extra
    return (matrix.astype(x.dtype) @ tangent.ravel()).reshape(x.shape)

  matrices: list[Any] = []
  def fun(matrix, *args, **kwargs):
    matrices[:] = [matrix]
    return program.fun(*args, **kwargs)

  first, second = _of_one_trace(inner.size)
  closed_jaxpr = derivative_calls.replaced(
      fun, (first, *program.args), program.kwargs,
      _answer(inner, jacobian, lambda: tuple(matrices)))
  return known_parts.reads_no_more(closed_jaxpr, first, second)


def _of_one_trace(n: int) -> tuple[np.ndarray, np.ndarray]:
  """Two symmetric matrices, of whole numbers, so that their sums are exact."""
  random = np.random.RandomState(0).randint(-500, 501, (n, n)).astype("float32")
  first = random + random.T
  first[0, 0] -= np.trace(first)
  return first, np.zeros_like(first)


def _answer(inner: Call, jacobian: _Jacobian, extra: Callable[[], tuple]):
  """Puts another Jacobian in the place of that of a gradient."""
  def answer(call, plain, fun, args, kwargs):
    if call.place != inner.place or kwargs.get("has_aux"):
      return None
    primals = args if call.how == "reverse" else args[0]
    (x,), structure = jax.tree.flatten(tuple(primals))
    of_x = lambda x: fun(*jax.tree.unflatten(structure, [x]))
    with derivative_calls.plainly():
      slope = _slope(of_x, x, jacobian, extra())
      value = of_x(x)
    if call.how == "reverse":
      return value, lambda ct: jax.tree.unflatten(structure, [ct * slope])
    tangent, = jax.tree.leaves(args[1])
    return value, jnp.vdot(slope, tangent)
  return answer


def _slope(fun, x, jacobian, extra):
  """The gradient of a function at x, with another Jacobian."""
  # What the function closes over may be differentiated by as well.
  converted, closed_over = jax.closure_convert(fun, x)
  number = len(extra)

  @jax.custom_jvp
  def slope(x, *rest):
    return jax.grad(converted)(x, *rest[number:])

  def rule(primals, tangents):
    x, *rest = primals
    tangent, *others = tangents
    total = jnp.zeros_like(x)
    if type(tangent) is not SymbolicZero:
      total += jacobian(lambda x: converted(x, *rest[number:]), x,
                        rest[:number], tangent)
    moving = [i for i, t in enumerate(others) if type(t) is not SymbolicZero]
    if moving:
      def of_moving(*values):
        now = list(rest)
        for i, value in zip(moving, values):
          now[i] = value
        return jax.grad(converted)(x, *now[number:])
      total += jax.jvp(of_moving, tuple(rest[i] for i in moving),
                       tuple(others[i] for i in moving))[1]
    return slope(x, *rest), total

  slope.defjvp(rule, symbolic_zeros=True)
  return slope(x, *extra, *closed_over)
