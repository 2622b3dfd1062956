"""The costs of equations: a guess, the same on every device.

    cost     an equation, and the elements or multiplications that it takes
    flops    floating-point operations; moving elements takes none

Products of matrices, convolutions, transforms and solvers cost more than their
elements; `_WORK` has a line for each.
"""

import math

from jax_cse import compat
from jax_cse.primitives.linear import INDEX_MAPS, JOINS
from jax_cse.ring.cores import EQUATION


def cost(primitive, params, avals, out) -> int:
  """An equation, and the elements or the multiplications that it takes."""
  return EQUATION + _WORK.get(primitive, _elements)(params, avals, out)


def cost_of_equation(eqn) -> int:
  """`cost` of an equation of a jaxpr; of one that has jaxprs inside, without
  them."""
  outs = [v.aval for v in eqn.outvars]
  if eqn.primitive in _WORK:
    return cost(eqn.primitive, eqn.params, [x.aval for x in eqn.invars],
                outs[0])
  return EQUATION + sum(getattr(aval, "size", 0) for aval in outs)


def flops(eqn) -> int:
  """Floating-point operations of an equation, without those of jaxprs inside.

  A product of matrices takes two for each multiplication; moving elements takes
  none.
  """
  outs = [v.aval for v in eqn.outvars]
  if eqn.primitive in INDEX_MAPS or eqn.primitive in JOINS or (
      next(compat.jaxprs_in_params(eqn.params), None) is not None):
    return 0
  if eqn.primitive not in _WORK:
    operands = [x.aval.size for x in eqn.invars if hasattr(x.aval, "size")]
    return max([getattr(aval, "size", 0) for aval in outs] + operands,
               default=0)
  work = _WORK[eqn.primitive](eqn.params, [x.aval for x in eqn.invars], outs[0])
  return 2 * work


def _elements(params, avals, out):
  return max(x.size for x in (*avals, out))


def _of_dot(params, avals, out):
  (contracted, _), _ = params["dimension_numbers"]
  return out.size * math.prod(avals[0].shape[i] for i in contracted)


def _of_conv(params, avals, out):
  kernel, spec = avals[1], params["dimension_numbers"].rhs_spec
  return out.size * kernel.size // max(kernel.shape[spec[0]], 1)


def _of_fft(params, avals, out):
  return out.size * math.ceil(math.log2(math.prod(params["fft_lengths"]) + 1))


def _of_solve(params, avals, out):
  return sum(x.size for x in avals) + out.size * max(out.shape, default=1)


_WORK = {
    compat.dot_general_p: _of_dot,
    compat.conv_general_dilated_p: _of_conv,
    compat.fft_p: _of_fft,
    compat.triangular_solve_p: _of_solve,
    compat.linear_solve_p: _of_solve,
}
