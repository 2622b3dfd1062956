"""Rules for calls and branches: their results are numbered by their bodies.

The body of a call is numbered on the numbers of the operands, so a result of a
call has the number that it would have if the call were inlined, and two calls
that compute the same share it, whatever function objects they were made from:

    jit      the results of the body
    cond     the results of each branch, and the index of the branch
    solve    the maps as functions of a bound variable, and the right-hand side
    shard_map  what the body gives for the shards, put together

A `custom_jvp` call is numbered by its operands, its function and its rule, not
by its body alone, since its derivative is not that of the body. Results of
equations with effects, with a rule for cotangents (`custom_vjp`) or with an
exclusion have new numbers every time; pure equations beside them do not.
"""

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import custom_rules
from jax_cse.numbering.closing import Closing


def _number_jit(scope, params, numbers, avals, context):
  leaves = scope.binders(params["jaxpr"], numbers, avals)
  donates = True in params["donated_invars"]
  if compat.is_plainly_placed(params) and not donates:
    body = scope.body(params["jaxpr"], leaves)
    return body.outs, [body]
  for i, (where, donated) in enumerate(zip(compat.placements_in(params),
                                           params["donated_invars"])):
    if donated:  # it is used up by this call alone
      leaves[i] = scope.leaf()
    elif where is not None:
      leaves[i] = scope.of(("placed", where), leaves[i])
  options = params["compiler_options_kvs"]
  body = scope.body(params["jaxpr"], leaves)
  outs = [n if where is None and not options else
          scope.of(("placed", where, options), n)
          for n, where in zip(body.outs, compat.placements_out(params))]
  return scope.private(outs) if donates else outs, [body]


def _body(scope, closed_jaxpr, numbers, avals):
  return scope.body(closed_jaxpr, scope.binders(closed_jaxpr, numbers, avals))


def _number_call(scope, params, numbers, avals, context):
  inside, = jaxprs.in_order(params)
  body = _body(scope, inside, numbers, avals)
  return body.outs, [body]


def number_custom_jvp(scope, rule, params, numbers, avals, context):
  """As `RULES`, given the identity of the user's rule, which is not asked
  whether it acts."""
  body = _body(scope, params["call_jaxpr"], numbers, avals)
  call = scope.of(("custom_jvp", rule, params["symbolic_zeros"], context),
                  *numbers, *body.outs)
  return [scope.of(("result", i), call) for i in range(len(body.outs))], [body]


def _number_custom_jvp(scope, params, numbers, avals, context):
  rule = custom_rules.rule_of(params["jvp_jaxpr_fun"])
  outs, bodies = number_custom_jvp(scope, rule, params, numbers, avals, context)
  if custom_rules.acts(scope.numbering.acting_rules, rule, params, avals):
    outs = scope.private(outs)
  return outs, bodies


def _number_custom_vjp(scope, params, numbers, avals, context):
  body = _body(scope, params["call_jaxpr"], numbers, avals)
  return scope.private(body.outs), [body]


def _number_cond(scope, params, numbers, avals, context):
  which, *numbers = numbers
  bodies = [_body(scope, branch, numbers, avals[1:])
            for branch in params["branches"]]
  results = zip(*[body.outs for body in bodies])
  platforms = params.get("branches_platforms")
  return [outs[0] if len(set(outs)) == 1 else
          scope.of(("cond", platforms, context), which, *outs)
          for outs in results], bodies


def _number_solve(scope, params, numbers, avals, context):
  bodies, maps, start = [], [], 0
  for length, jaxpr in zip(params["const_lengths"], params["jaxprs"]):
    stop = start + length
    if jaxpr is not None:
      bound = scope.leaves(len(jaxpr.jaxpr.invars) - length)
      body = scope.body(jaxpr, [
          *scope.binders(jaxpr, numbers[start:stop], avals[start:stop]),
          *bound])
      bodies.append(body)
      cores, holes = Closing(scope.expressions, bound, {}, body.outs).close(
          body.outs, {n: i for i, n in enumerate(bound)})
      types = tuple([v.aval for v in jaxpr.jaxpr.invars[length:]])
      maps.append(scope.of(("map", types, cores), *holes))
    start = stop
  present = tuple(jaxpr is not None for jaxpr in params["jaxprs"])
  solve = scope.of(("solve", present, context), *maps, *numbers[start:])
  count = len(params["jaxprs"].solve.out_avals)
  return [scope.of(("result", i), solve) for i in range(count)], bodies


def _number_shard_map(scope, params, numbers, avals, context):
  way = params["mesh"], params[compat.MANUAL_AXES], params["check_vma"]
  body = scope.body(params["jaxpr"], [
      scope.of(("shard", way, spec), n)
      for n, spec in zip(numbers, params["in_specs"])])
  return [scope.of(("unshard", way, spec), n)
          for n, spec in zip(body.outs, params["out_specs"])], [body]


RULES = {
    compat.jit_p: _number_jit,
    compat.call_p: _number_call,
    compat.closed_call_p: _number_call,
    compat.remat_p: _number_call,
    compat.custom_jvp_call_p: _number_custom_jvp,
    compat.custom_vjp_call_p: _number_custom_vjp,
    compat.cond_p: _number_cond,
    compat.linear_solve_p: _number_solve,
    compat.shard_map_p: _number_shard_map,
}
