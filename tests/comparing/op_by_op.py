"""Evaluates a jaxpr one primitive at a time, control flow in Python.

XLA fuses a whole program and rounds it as it likes, so two programs with the
same primitives on the same values may differ in the last bit once compiled.
Evaluated here they may not: what a jaxpr with CSE and one without compute can
be compared bit for bit, and nothing is compiled but single primitives, and what
is for each of several devices.
"""

import jax
import jax.numpy as jnp

from jax_cse import compat


def evaluate(closed_jaxpr, *args):
  """The outputs of a ClosedJaxpr at the flat `args`, a list."""
  return _evaluate(closed_jaxpr.jaxpr, closed_jaxpr.consts, args)


def _evaluate(jaxpr, consts, args):
  env = dict(zip(jaxpr.constvars, consts)) | dict(zip(jaxpr.invars, args))
  read = lambda x: x.val if isinstance(x, compat.Literal) else env[x]
  for eqn in jaxpr.eqns:
    operands = [read(x) for x in eqn.invars]
    if (rule := _rules.get(eqn.primitive)) is not None:
      results = rule(operands, **eqn.params)
    else:
      params = eqn.primitive.get_bind_params(eqn.params)
      with eqn.ctx.manager:
        results = eqn.primitive.bind(*operands, **params)
      results = results if eqn.primitive.multiple_results else [results]
    env.update(zip(eqn.outvars, results))
  return [read(x) for x in jaxpr.outvars]


def _scan(operands, *, jaxpr, length, reverse, **params):
  num_consts, num_carry = compat.constants_and_carries(params)
  consts = operands[:num_consts]
  carry = operands[num_consts:num_consts + num_carry]
  xs = operands[num_consts + num_carry:]
  rows = []
  for i in reversed(range(length)) if reverse else range(length):
    results = evaluate(jaxpr, *consts, *carry, *(x[i] for x in xs))
    carry = results[:num_carry]
    rows.append(results[num_carry:])
  if not length:
    return carry + [jnp.zeros((0, *aval.shape), aval.dtype)
                    for aval in jaxpr.out_avals[num_carry:]]
  return carry + [jnp.stack(ys[::-1] if reverse else ys) for ys in zip(*rows)]


def _while(operands, *, cond_jaxpr, body_jaxpr, cond_nconsts, body_nconsts):
  of_cond = operands[:cond_nconsts]
  of_body = operands[cond_nconsts:cond_nconsts + body_nconsts]
  carry = operands[cond_nconsts + body_nconsts:]
  # Under vmap the condition has a batch, and the loop runs while any holds.
  while bool(jnp.any(evaluate(cond_jaxpr, *of_cond, *carry)[0])):
    carry = evaluate(body_jaxpr, *of_body, *carry)
  return carry


def _cond(operands, *, branches, **_):
  index = min(max(int(operands[0]), 0), len(branches) - 1)
  return evaluate(branches[index], *operands[1:])


def _shard_map(operands, **params):
  return jax.jit(lambda *xs: compat.shard_map_p.bind(*xs, **params))(*operands)


_rules = {
    compat.scan_p: _scan,
    compat.while_p: _while,
    compat.cond_p: _cond,
    compat.jit_p: lambda operands, *, jaxpr, **_: evaluate(jaxpr, *operands),
    compat.closed_call_p:
        lambda operands, *, call_jaxpr, **_: evaluate(call_jaxpr, *operands),
    compat.custom_jvp_call_p:
        lambda operands, *, call_jaxpr, **_: evaluate(call_jaxpr, *operands),
    compat.custom_vjp_call_p:
        lambda operands, *, call_jaxpr, **_: evaluate(call_jaxpr, *operands),
    compat.remat_p:
        lambda operands, *, jaxpr, **_: _evaluate(jaxpr, (), operands),
    compat.shard_map_p: _shard_map,
}
