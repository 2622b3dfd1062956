"""Whether a linear map is elementwise, read from its jaxpr.

It is if each element of a result depends on one element of the operand alone,
the one that broadcasting puts at its place:

    t -> t * c                     is
    t -> t[None] * jnp.ones((3, 1))    is, as NumPy broadcasts t
    t -> t[:, None] * c            is not: axes are counted from the last
    t -> cumsum(t)                 is not

Equations that do not depend on the operand are passed over, so any computation
may have made the map, reductions included. JAX's rules for batching tell which
primitives are elementwise. Calls, branches and loops are entered. A loop may
take the operand apart along its first axis, as `lax.map` does, if no part of it
goes on to the next step. If a value has more axes than the operand, its first
axis is none of the operand's.

Limits: the answer is no if only the whole is elementwise, as `rev` of `rev`,
and if elements are put together and kept apart, as by `stack` and `vmap` over
an axis that is not the first.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from jax_cse import compat
from jax_cse.compat import jaxprs


class NotElementwise(Exception):
  """Carries the equation that mixes elements."""

  def __init__(self, eqn):
    super().__init__(eqn.primitive.name)
    self.eqn = eqn


class Dependence(NamedTuple):
  """Which results depend on the operand, and whether linearly over the complex
  numbers: real and imaginary parts and conjugates are so over the real only."""
  results: list[bool]
  is_complex_linear: bool


def check(closed_jaxpr) -> Dependence:
  """How the results of an elementwise linear map depend on its one operand.

  Raises:
    NotElementwise: it is not elementwise.
  """
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  operand, = jaxpr.invars
  look = _Look(operand.aval.ndim, [])
  return Dependence(_dependent(closed_jaxpr, [True], look), not look.parts)


class _Look(NamedTuple):
  """The state of a look at a map.

  Attributes:
    rank: how many axes of the operand there are; one less inside of a loop that
      takes it apart.
    parts: equations that are not linear over the complex numbers.
  """
  rank: int
  parts: list


def _dependent(jaxpr, operands, look) -> list[bool]:
  """Which results depend on the operands that are marked."""
  unmarked = lambda _: False
  return jaxprs.interpret(
      jaxpr, operands, unmarked, unmarked,
      lambda eqn, ins: _rule_of(eqn)(eqn, ins, look) if any(ins)
      else [False] * len(eqn.outvars))


Rule = Callable[..., Sequence[bool]]


def _rule_of(eqn) -> Rule:
  if (rule := _RULES.get(eqn.primitive)) is not None:
    return rule
  return _elementwise if compat.is_elementwise(eqn.primitive) else _refuse


def _refuse(eqn, ins, look):
  raise NotElementwise(eqn)


def _elementwise(eqn, ins, look):
  return [True] * len(eqn.outvars)


def _each(eqn, ins, look):
  return ins


def _part(eqn, ins, look):
  look.parts.append(eqn)
  return [True]


def _broadcast(eqn, ins, look):
  """New axes come first."""
  new = len(eqn.params["shape"])
  dimensions = eqn.params["broadcast_dimensions"]
  if tuple(dimensions) != tuple(range(new - len(dimensions), new)):
    raise NotElementwise(eqn)
  return [True]


def _reshape(eqn, ins, look):
  """New axes of length 1 come first."""
  old, new = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
  added = len(new) - len(old)
  if added < 0 or new != (1,) * added + old:
    raise NotElementwise(eqn)
  return [True]


def _call(eqn, ins, look):
  inside, = jaxprs.in_order(eqn.params)
  return _dependent(inside, ins, look)


def _cond(eqn, ins, look):
  return _either(*(_dependent(branch, ins[1:], look)
                   for branch in eqn.params["branches"]))


def _while(eqn, ins, look):
  num_test, num_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
  consts, carry = ins[num_test:num_test + num_body], ins[num_test + num_body:]
  return _carried(
      carry, lambda c: _dependent(eqn.params["body_jaxpr"], consts + c, look))


def _scan(eqn, ins, look):
  body, (num_consts, num_carry) = (
      eqn.params["jaxpr"], compat.constants_and_carries(eqn.params))
  num_before = num_consts + num_carry
  consts, xs = ins[:num_consts], ins[num_before:]
  is_apart = [v.aval.ndim == look.rank for v in eqn.invars[num_before:]]
  apart = [a and b for a, b in zip(xs, is_apart)]
  whole = [a and not b for a, b in zip(xs, is_apart)]
  from_apart = [False] * len(eqn.outvars)
  if any(apart):
    from_apart = _dependent(body, [False] * num_before + apart,
                            look._replace(rank=look.rank - 1))
    # Its axis comes back as the first one of a stacked result.
    jaxpr, _ = jaxprs.open_jaxpr(body)
    ranks = [v.aval.ndim for v, is_marked in zip(jaxpr.outvars, from_apart)
             if is_marked]
    if any(from_apart[:num_carry]) or any(r != look.rank - 1 for r in ranks):
      raise NotElementwise(eqn)
  run = lambda c: _dependent(body, consts + c + whole, look)
  carry = _carried(ins[num_consts:num_before], lambda c: run(c)[:num_carry])
  return carry + _either(run(carry)[num_carry:], from_apart[num_carry:])


def _carried(carry, step):
  """The carries that depend on the operands in any step."""
  while (after := _either(carry, step(carry))) != carry:
    carry = after
  return carry


def _either(*marks):
  return list(map(any, zip(*marks)))


_RULES: dict[Any, Rule] = {
    compat.jit_p: _call,
    compat.call_p: _call,
    compat.closed_call_p: _call,
    compat.remat_p: _call,
    compat.custom_jvp_call_p: _call,
    compat.optimization_barrier_p: _each,
    compat.broadcast_in_dim_p: _broadcast,
    compat.reshape_p: _reshape,
    compat.real_p: _part,
    compat.imag_p: _part,
    compat.conj_p: _part,
    compat.cond_p: _cond,
    compat.while_p: _while,
    compat.scan_p: _scan,
}
