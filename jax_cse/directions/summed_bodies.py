"""What branches and loops need to give sums of their results.

A rule takes the class of plans (see `early_sums`), an equation, and what is
wanted of its results. Bodies are planned with that, and say what they want of
their operands. What is wanted of a carry is wanted of the body's result again,
so a loop is planned until nothing more is. A rule gives what is wanted of which
operands, and a step that computes what is wanted; None where no sum enters.
"""

from typing import Any

from jax import lax
from jax.extend import core

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.directions.sum_rules import (
    Env, from_value, get, VALUE, value, Want)

Wants = list[Want]
# Carries that become one another in a row take a round each.
_MAX_ROUNDS = 16


class _Body:
  """A body of which something is wanted."""

  def __init__(self, make_plan, body):
    jaxpr, self._consts = jaxprs.open_jaxpr(body)
    self.plan = make_plan(jaxprs.inlined(jaxpr), True)
    self.invars = self.plan.jaxpr.invars
    self.outvars = self.plan.jaxpr.outvars

  def make(self, wanted: list[Wants]) -> list[Wants]:
    """What is wanted of the inputs, if so much is of the results."""
    for v, wants in zip(self.outvars, wanted):
      for want in wants:
        self.plan.want(v, want)
    self.plan.make(self.invars)
    return [_normal(self.plan.wants(v)) for v in self.invars]

  def results(self, given: list[dict[Want, Any]], wanted: list[Wants]
              ) -> list[Any]:
    """What is wanted, one after the other, of what is given of the inputs."""
    env: Env = {(v, VALUE): x
                for v, x in zip(self.plan.jaxpr.constvars, self._consts)}
    for v, known in zip(self.invars, given):
      for want in self.plan.wants(v):
        env[v, want] = _of(env, known, want)
    self.plan.computed(env)
    return [get(env, v, want) for v, wants in zip(self.outvars, wanted)
            for want in wants]

  def avals(self, wants_of_inputs: list[Wants]) -> list[Any]:
    return [_type(v.aval, want) for v, wants in zip(self.invars,
                                                    wants_of_inputs)
            for want in wants]


def _normal(wants: Wants) -> Wants:
  """The value alone, if that is wanted: sums follow from it."""
  return [VALUE] if VALUE in wants else list(dict.fromkeys(wants))


def _type(aval, want):
  return aval if want == VALUE else aval.update(
      shape=want.axis.shape_left(aval.shape))


def _weighs(wanted) -> bool:
  """Whether a sum has weights, which a body does not know."""
  return any(want.weight is not None for _, want in wanted)


def _grouped(outvars, wanted) -> list[Wants]:
  by_variable: dict[Any, Wants] = {}
  for v, want in wanted:
    by_variable.setdefault(v, []).append(want)
  return [_normal(by_variable.get(v, [])) for v in outvars]


def _split(values, wants: list[Wants]) -> list[dict[Want, Any]]:
  """Values one after the other, by what was wanted."""
  rest = iter(values)
  return [{want: next(rest) for want in each} for each in wants]


def _enter(env, eqn, wanted, found: list[dict[Want, Any]]):
  """Enters results, and what follows from them."""
  known = dict(zip(eqn.outvars, found))
  for v, want in wanted:
    env[v, want] = _of(env, known[v], want)


def _of(env, known: dict[Want, Any], want: Want):
  """What is wanted, of what is known of one variable."""
  return known[want] if want in known else from_value(env, known[VALUE], want)


def _pairs(atoms, wants: list[Wants]):
  return [(x, want) for x, each in zip(atoms, wants) for want in each]


def _sums(wants: list[Wants]) -> bool:
  return any(want != VALUE for each in wants for want in each)


def _of_branches(make_plan, eqn, wanted):
  if _weighs(wanted):
    return None
  index, *operands = eqn.invars
  outs = _grouped(eqn.outvars, wanted)
  bodies = [_Body(make_plan, body) for body in jaxprs.in_order(eqn.params)]
  if len(bodies) != len(eqn.params["branches"]):
    return None
  each = [body.make(outs) for body in bodies]
  wants = [_normal([w for ws in together for w in ws])
           for together in zip(*each)]
  if not _sums(wants):
    return None

  def step(env):
    new = [compat.trace_to_jaxpr(
        lambda *xs, body=body: body.results(_split(xs, wants), outs),
        bodies[0].avals(wants), body.plan.jaxpr.debug_info) for body in bodies]
    params = jaxprs.with_jaxprs(eqn.params, iter(new))
    values = [value(env, index), *(get(env, x, w)
                                   for x, w in _pairs(operands, wants))]
    found = compat.bind_again(eqn, values, params)
    _enter(env, eqn, wanted, _split(found, outs))
  return [(index, VALUE), *_pairs(operands, wants)], step


def _moved(want: Want, by: int) -> Want:
  """What is wanted of a step, or of all steps: these have one axis more."""
  if want == VALUE:
    return want
  return want._replace(axis=want.axis.at(want.axis.place + by))


def _of_scan(make_plan, eqn, wanted):
  params = eqn.params
  num_consts, num_carry = compat.constants_and_carries(params)
  stacked = frozenset(eqn.outvars[num_carry:])
  if _weighs(wanted) or any(want != VALUE and want.axis.place == 0
                            and v in stacked for v, want in wanted):
    return None   # over the steps
  outs = _grouped(eqn.outvars, wanted)
  carries, ys = outs[:num_carry], outs[num_carry:]
  inner_ys = [[_moved(w, -1) for w in wants] for wants in ys]
  body, wants = _fixpoint(make_plan, params["jaxpr"], carries, inner_ys,
                          num_consts)
  carries = wants[num_consts:num_consts + num_carry]
  if not _sums(wants):
    return None
  outer = [*wants[:num_consts + num_carry],
           *([_moved(w, 1) for w in each]
             for each in wants[num_consts + num_carry:])]
  pairs = _pairs(eqn.invars, outer)
  num_in_consts = sum(map(len, wants[:num_consts]))
  num_in_carry = sum(map(len, carries))

  def step(env):
    values = [get(env, x, w) for x, w in pairs]
    consts, rest = values[:num_in_consts], values[num_in_consts:]

    def one_step(carry, xs):
      found = body.results(_split([*consts, *carry, *xs], wants),
                           [*carries, *inner_ys])
      return found[:num_in_carry], found[num_in_carry:]
    with compat.at(eqn.ctx, compat.source_of(eqn)):
      carry, parts = lax.scan(
          one_step, _typed(rest[:num_in_carry], body, num_consts, carries),
          rest[num_in_carry:], length=params["length"],
          reverse=params["reverse"], unroll=params["unroll"])
    _enter(env, eqn, wanted, [*_split(carry, carries), *_split(parts, ys)])
  return pairs, step


def _of_while(make_plan, eqn, wanted):
  params = eqn.params
  num_test, num_consts = params["cond_nconsts"], params["body_nconsts"]
  test = params["cond_jaxpr"]
  if _weighs(wanted):
    return None
  read = compat.dce_jaxpr(test.jaxpr, True)[1][num_test:]
  carries = [[VALUE] if is_read else wants for is_read, wants in zip(
      read, _grouped(eqn.outvars, wanted))]
  body, wants = _fixpoint(make_plan, params["body_jaxpr"], carries, [],
                          num_consts)
  carries = wants[num_consts:]
  if not _sums(wants):
    return None
  pairs = _pairs(eqn.invars[num_test:], wants)
  num_in_consts = sum(map(len, wants[:num_consts]))

  def step(env):
    values = [get(env, x, w) for x, w in pairs]
    consts = values[:num_in_consts]
    tested = [value(env, x) for x in eqn.invars[:num_test]]

    def is_on(carry):
      known = [each.get(VALUE) for each in _split(carry, carries)]
      unread = lambda v: lax.full(v.aval.shape, 0, v.aval.dtype)
      operands = [unread(v) if x is None else x for v, x in zip(
          test.jaxpr.invars[num_test:], known)]
      return core.jaxpr_as_fun(test)(*tested, *operands)[0]

    def one_step(carry):
      return body.results(_split([*consts, *carry], wants), carries)
    with compat.at(eqn.ctx, compat.source_of(eqn)):
      found = lax.while_loop(is_on, one_step, _typed(
          values[num_in_consts:], body, num_consts, carries))
    _enter(env, eqn, wanted, _split(found, carries))
  return [*((x, VALUE) for x in eqn.invars[:num_test]), *pairs], step


def _fixpoint(make_plan, jaxpr, carries: list[Wants], others: list[Wants],
              num_consts: int):
  """A planned body, and what is wanted of its inputs: of carries what is of the
  results that become them. Nothing is, where that takes too many rounds."""
  for _ in range(_MAX_ROUNDS):
    body = _Body(make_plan, jaxpr)
    wants = body.make([*carries, *others])
    wider = [_normal([*a, *b]) for a, b in zip(
        carries, wants[num_consts:num_consts + len(carries)])]
    if wider == carries:
      return body, [*wants[:num_consts], *carries,
                    *wants[num_consts + len(carries):]]
    carries = wider
  return body, []


def _typed(values, body, num_consts, carries):
  """Starts of carries, of the types that the body has."""
  avals = [_type(v.aval, w) for v, w in _pairs(
      body.invars[num_consts:num_consts + len(carries)], carries)]
  return [compat.convert(x, aval) for x, aval in zip(values, avals)]


RULES: dict[Any, Any] = {
    compat.cond_p: _of_branches,
    compat.scan_p: _of_scan,
    compat.while_p: _of_while,
}
