"""Whether a linear map is elementwise, read from its jaxpr.

It is if each element of a result depends on one element of the operand, the one
that broadcasting puts at its place:

    t -> t * c                     is
    t -> t[None] * jnp.ones((3, 1))    is, as NumPy broadcasts t
    t -> t[:, None] * c            is not: axes are counted from the last
    t -> cumsum(t)                 is not

Only what depends on the operand is looked at, so the map may have been found by
any computation, reductions and all. Which primitives are elementwise JAX says
itself, where it tells how they are batched. Calls, branches and loops are
entered. A loop may take the operand apart along its first axis, as `lax.map`
does, if nothing of it goes on to the next step.

Limits: the answer is no for what is elementwise only in the end, as `rev` of
`rev`.
"""

from collections.abc import Callable, Sequence

from jax_cse import compat
from jax_cse import jaxprs


class NotElementwise(Exception):
  """Carries the equation that mixes elements."""

  def __init__(self, eqn):
    super().__init__(eqn.primitive.name)
    self.eqn = eqn


def check(closed_jaxpr) -> bool:
  """Whether an elementwise map of complex numbers is linear over these.

  It is linear over real numbers only if it takes real or imaginary parts or
  conjugates.

  Raises:
    NotElementwise: it is not elementwise.
  """
  parts: list = []
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  _dependent(jaxpr, [True] * len(jaxpr.invars), parts)
  return not parts


def _dependent(jaxpr, operands, parts) -> list[bool]:
  """Which results depend on the operands that are marked."""
  jaxpr, _ = jaxprs.open_jaxpr(jaxpr)
  marked = {v for v, is_marked in zip(jaxpr.invars, operands) if is_marked}
  marks = lambda atoms: [
      type(x) is not compat.Literal and x in marked for x in atoms]
  for eqn in jaxpr.eqns:
    if any(ins := marks(eqn.invars)):
      outs = _rule_of(eqn)(eqn, ins, parts)
      marked.update(v for v, is_marked in zip(eqn.outvars, outs) if is_marked)
  return marks(jaxpr.outvars)


Rule = Callable[..., Sequence[bool]]


def _rule_of(eqn) -> Rule:
  if (rule := _RULES.get(eqn.primitive)) is not None:
    return rule
  if compat.is_elementwise(eqn.primitive):
    return _elementwise
  inside = jaxprs.in_order(eqn.params)
  if len(inside) == 1 and (
      len(jaxprs.open_jaxpr(inside[0])[0].invars) == len(eqn.invars)):
    return _call
  return _refuse


def _refuse(eqn, ins, parts):
  raise NotElementwise(eqn)


def _elementwise(eqn, ins, parts):
  return [True] * len(eqn.outvars)


def _part(eqn, ins, parts):
  parts.append(eqn)
  return [True]


def _broadcast(eqn, ins, parts):
  """New axes come first."""
  new = len(eqn.params["shape"])
  dimensions = eqn.params["broadcast_dimensions"]
  if tuple(dimensions) != tuple(range(new - len(dimensions), new)):
    raise NotElementwise(eqn)
  return [True]


def _reshape(eqn, ins, parts):
  """New axes of length 1 come first."""
  old, new = eqn.invars[0].aval.shape, eqn.outvars[0].aval.shape
  added = len(new) - len(old)
  if added < 0 or new != (1,) * added + old:
    raise NotElementwise(eqn)
  return [True]


def _call(eqn, ins, parts):
  inside, = jaxprs.in_order(eqn.params)
  return _dependent(inside, ins, parts)


def _cond(eqn, ins, parts):
  return _either(*(_dependent(branch, ins[1:], parts)
                   for branch in eqn.params["branches"]))


def _while(eqn, ins, parts):
  num_test, num_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
  consts, carry = ins[num_test:num_test + num_body], ins[num_test + num_body:]
  return _carried(
      carry, lambda c: _dependent(eqn.params["body_jaxpr"], consts + c, parts))


def _scan(eqn, ins, parts):
  body = eqn.params["jaxpr"]
  num_consts, num_carry = compat.constants_and_carries(eqn.params)
  num_before = num_consts + num_carry
  consts, xs = ins[:num_consts], ins[num_before:]
  run = lambda before, xs: _dependent(body, before + xs, parts)
  from_xs = run([False] * num_before, xs)
  # A step sees the first axis only, so a result with another number of axes
  # would have it where an operand has another.
  jaxpr, _ = jaxprs.open_jaxpr(body)
  ranks = {v.aval.ndim for v, is_marked in zip(
      jaxpr.invars[num_before:] + jaxpr.outvars[num_carry:],
      xs + from_xs[num_carry:]) if is_marked}
  if any(from_xs[:num_carry]) or len(ranks) > 1:
    raise NotElementwise(eqn)
  none = [False] * len(xs)
  carry = _carried(ins[num_consts:num_before],
                   lambda c: run(consts + c, none)[:num_carry])
  stacked = run(consts + carry, none)[num_carry:]
  return carry + _either(stacked, from_xs[num_carry:])


def _carried(carry, step):
  """The carries that depend on the operands in any step."""
  while (after := _either(carry, step(carry))) != carry:
    carry = after
  return carry


def _either(*marks):
  return list(map(any, zip(*marks)))


_RULES: dict = {
    compat.broadcast_in_dim_p: _broadcast,
    compat.reshape_p: _reshape,
    compat.real_p: _part,
    compat.imag_p: _part,
    compat.conj_p: _part,
    compat.cond_p: _cond,
    compat.while_p: _while,
    compat.scan_p: _scan,
}
