"""Numbering the equations of a jaxpr without running them, calls and loops
included.

The body of a call is numbered on the numbers of the operands, so a result of a
call has the number that it would have if the call were inlined, and two calls
that compute the same share it, whatever function objects they were made from. A
loop is entered with the classes of its carries (`congruence`); a result of it
is what starts, steps and the number of steps make of it:

    scan     element of a scanned input, carry as a sequence, final, stacked
    while    the same, and until when
    cond     what each branch gives, and which is taken
    solve    the maps as functions of a bound variable, and the right-hand side

A `custom_jvp` call is known by its operands, its function and its rule, not by
what is inside alone, since its derivative is not that of what is inside. What
has effects, is a barrier or has a rule for cotangents (`custom_vjp`) has new
numbers every time; what is pure beside it is numbered as ever.

Limits: an equation that runs in a context of its own (`compute_on`, metadata)
equals only those of the same context.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
import weakref

from jax_cse import compat
from jax_cse import congruence
from jax_cse import custom_rules
from jax_cse import identities
from jax_cse import jaxprs
from jax_cse import keys
from jax_cse import reasons
from jax_cse.expressions import Expressions


class Scope:
  """Where numbers are compared: one trace, or one jaxpr.

  Attributes:
    expressions: what is known.
    context: the number of the context of an equation, given its `ctx`.
    depth: how many loops are around what is numbered. What is bound in one,
      an element or a value of a carry, is named by it, lest it be taken for
      what is bound in another around it.
    repeats: whether a body computed the same twice since this was last reset.
    narrowed: calls that were specialised; see `narrowing`.
  """
  __slots__ = ("numbering", "expressions", "context", "depth", "repeats",
               "narrowed")

  def __init__(self, numbering, context: Callable[[Any], Any] | None = None):
    self.numbering = numbering
    self.expressions = Expressions(numbering.fresh, keys.agree)
    self.context = context or (lambda ctx: ctx)
    self.depth = 0
    self.repeats = False
    self.narrowed: dict[tuple, Any] = {}

  def leaf(self) -> int:
    return self.expressions.leaf()

  def of(self, operation, *parts: int) -> int:
    return self.expressions.of(operation, parts)

  def look_up(self, plan, context, numbers, params
              ) -> tuple[tuple | None, tuple[int, ...] | None]:
    """The key of an equation, None if it has none, and the numbers of its
    results, None if it is not known."""
    get = self.expressions.known.get
    key, found = keys.find(get, plan, context, numbers, params)
    if found is not None and not keys.agree(params, found[0]):
      key, found = keys.find_exactly(get, plan, context, numbers, params)
    if found is None and key is not None and (
        rule := identities.RULES.get(plan.number)):
      number = rule(self, context, numbers, params)
      if number is not None:
        found = self.expressions.known[key] = params, (number,)
    return key, None if found is None else found[1]

  def number(self, plan, context, numbers, params) -> int:
    """The number of the result of an equation as it is."""
    key, found = keys.find(self.expressions.known.get, plan, context, numbers,
                           params)
    if found is None:
      found = self.expressions.enter(key, len(numbers), 1, params)
    elif not keys.agree(params, found[0]):
      return self.leaf()
    return found[1][0]

  def operation(self, number):
    """Plan number and context, operands and params of what has a number."""
    return self.expressions.operation(number)

  def operands(self, plan, number) -> tuple[int, ...]:
    """The operands of what has a number, if it is the result of `plan`."""
    operation = self.expressions.operation(number)
    if operation is None or operation[0][0] != plan.number:
      return ()
    return operation[1]


class Body(NamedTuple):
  """A jaxpr in the params of an equation, and the numbers of its operands.

  Bodies stand in the order of the names of the params.
  """
  closed_jaxpr: Any
  leaves: list[int]


class Equation(NamedTuple):
  """What no call of a jaxpr changes about one of its equations."""
  eqn: Any
  plan: keys.Plan
  excluded: str | None
  avals: list[Any]
  is_opaque: bool


_equations: weakref.WeakKeyDictionary[Any, list[Equation]] = (
    weakref.WeakKeyDictionary())


def equations(jaxpr) -> list[Equation]:
  """The equations of a jaxpr with what is known about them beforehand."""
  found = _equations.get(jaxpr)
  if found is None:
    found = _equations[jaxpr] = [_look_at(eqn) for eqn in jaxpr.eqns]
  return found


def _look_at(eqn):
  plan = keys.plan_of(eqn.primitive)
  excluded = plan.against
  if excluded is None and (plan.carries_jaxprs or plan.is_structured):
    excluded = reasons.against_call(plan, eqn.params)
  opaque = (any(type(v.aval) is not compat.ShapedArray for v in eqn.outvars)
            or (excluded is not None if not plan.is_structured
                else jaxprs.uses_references(eqn.params)))
  return Equation(eqn, plan, excluded, [atom.aval for atom in eqn.invars],
                  opaque)


def number_equation(scope: Scope, equation: Equation, numbers: list[int]
                    ) -> tuple[Sequence[int], list[Body]]:
  """The numbers of the results, and of the operands of the jaxprs inside."""
  eqn, plan = equation.eqn, equation.plan
  if equation.is_opaque:
    return [scope.leaf() for _ in eqn.outvars], []
  if plan.is_structured:
    return number_call(scope, eqn.primitive, eqn.params, numbers,
                       equation.avals, scope.context(eqn.ctx))
  keys.put_in_order(plan, numbers, equation.avals, eager=False)
  key, outs = scope.look_up(plan, scope.context(eqn.ctx), numbers, eqn.params)
  if key is None:
    return [scope.leaf() for _ in eqn.outvars], []
  if outs is None:
    _, outs = scope.expressions.enter(key, len(numbers), len(eqn.outvars),
                                      eqn.params)
  return outs, []


def number_call(scope: Scope, primitive, params, numbers, avals, context
                ) -> tuple[Sequence[int], list[Body]]:
  """`number_equation` for a primitive that has jaxprs inside."""
  return _rules[primitive](scope, params, numbers, avals, context)


class Walk:
  """Numbers of the variables of one jaxpr, as far as it was walked."""

  def __init__(self, scope, jaxpr, consts, leaves):
    self._scope = scope
    number = scope.numbering.number
    self.numbers = dict(zip(jaxpr.invars, leaves))
    for var, x in zip(jaxpr.constvars, consts):
      n = number(x)
      self.numbers[var] = scope.leaf() if n is None else n

  def read(self, atom) -> int:
    if type(atom) is compat.Literal:
      value = self._scope.numbering.of_literal(atom)
      return self._scope.leaf() if value is None else value.number
    return self.numbers[atom]


def number_body(scope: Scope, body: Body) -> list[int]:
  """The numbers of the results of a jaxpr."""
  jaxpr, consts = jaxprs.open_jaxpr(body.closed_jaxpr)
  walk = Walk(scope, jaxpr, consts, body.leaves)
  numbers, read = walk.numbers, walk.read
  seen = set()
  for equation in equations(jaxpr):
    eqn = equation.eqn
    outs, _ = number_equation(scope, equation, [read(a) for a in eqn.invars])
    for var, n in zip(eqn.outvars, outs):
      numbers[var] = n
    if outs and outs[0] in seen and seen.issuperset(outs):
      scope.repeats = True
    seen.update(outs)
  return [read(atom) for atom in jaxpr.outvars]


def _as_binders(scope, closed_jaxpr, numbers, avals) -> list[int]:
  """The numbers of operands as a jaxpr takes them, which may be as another
  type (weak or not)."""
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  return [n if v.aval is have or v.aval == have
          else scope.of(("as", v.aval), n)
          for v, n, have in zip(jaxpr.invars, numbers, avals)]


# Calls.


def _number_jit(scope, params, numbers, avals, context):
  body = Body(params["jaxpr"],
              _as_binders(scope, params["jaxpr"], numbers, avals))
  donates = True in params["donated_invars"]
  if compat.is_plainly_placed(params):
    outs = number_body(scope, body)
    if not donates:
      return outs, [body]
  else:
    for i, where in enumerate(compat.placements_in(params)):
      if where is not None:
        body.leaves[i] = scope.of(("placed", where), body.leaves[i])
    options = params["compiler_options_kvs"]
    outs = [n if where is None and not options else
            scope.of(("placed", where, options), n)
            for n, where in zip(number_body(scope, body),
                                compat.placements_out(params))]
  if donates:
    # A donated operand is used up by this call alone.
    for i, donated in enumerate(params["donated_invars"]):
      if donated:
        body.leaves[i] = scope.leaf()
    outs = _private(scope, number_body(scope, body))
  return outs, [body]


def _private(scope, outs):
  """New numbers, equal where the old ones are."""
  new = {n: scope.leaf() for n in outs}
  return [new[n] for n in outs]


def _number_closed_call(scope, params, numbers, avals, context):
  body = Body(params["call_jaxpr"],
              _as_binders(scope, params["call_jaxpr"], numbers, avals))
  return number_body(scope, body), [body]


def _number_remat(scope, params, numbers, avals, context):
  body = Body(params["jaxpr"],
              _as_binders(scope, params["jaxpr"], numbers, avals))
  return _private(scope, number_body(scope, body)), [body]


def _number_custom_jvp(scope, params, numbers, avals, context):
  call_jaxpr = params["call_jaxpr"]
  body = Body(call_jaxpr, _as_binders(scope, call_jaxpr, numbers, avals))
  outs = number_body(scope, body)
  rule = custom_rules.rule_of(params["jvp_jaxpr_fun"])
  call = scope.of(("custom_jvp", rule, params["symbolic_zeros"], context),
                  *numbers, *outs)
  return [scope.of(("result", i), call) for i in range(len(outs))], [body]


def _number_custom_vjp(scope, params, numbers, avals, context):
  call_jaxpr = params["call_jaxpr"]
  body = Body(call_jaxpr, _as_binders(scope, call_jaxpr, numbers, avals))
  return _private(scope, number_body(scope, body)), [body]


def _number_cond(scope, params, numbers, avals, context):
  which, *numbers = numbers
  bodies = [Body(b, _as_binders(scope, b, numbers, avals[1:]))
            for b in params["branches"]]
  results = zip(*[number_body(scope, body) for body in bodies])
  platforms = params.get("branches_platforms")
  return [outs[0] if len(set(outs)) == 1 else
          scope.of(("cond", platforms, context), which, *outs)
          for outs in results], bodies


def _number_solve(scope, params, numbers, avals, context):
  bodies, maps, start = [], [], 0
  scope.depth += 1
  for length, jaxpr in zip(params["const_lengths"], params["jaxprs"]):
    stop = start + length
    if jaxpr is not None:
      bound = [scope.of(("bound", scope.depth, i, v.aval))
               for i, v in enumerate(jaxpr.jaxpr.invars[length:])]
      body = Body(jaxpr, [*_as_binders(scope, jaxpr, numbers[start:stop],
                                       avals[start:stop]), *bound])
      bodies.append(body)
      maps.append(scope.of("map", *number_body(scope, body)))
    start = stop
  scope.depth -= 1
  present = tuple(jaxpr is not None for jaxpr in params["jaxprs"])
  solve = scope.of(("solve", present, context), *maps, *numbers[start:])
  count = len(params["jaxprs"].solve.out_avals)
  return [scope.of(("result", i), solve) for i in range(count)], bodies


# Loops.


class _Carries:
  """The carries of a loop in their classes."""

  def __init__(self, scope, starts, consts, step):
    """`step` gives the numbers after a step; its first are those of carries."""
    # A constant is a carry that stays. A carry that starts as one and stays
    # falls into its class.
    fixed = [n for n in dict.fromkeys(consts) if n in set(starts)]
    count = len(starts)
    scope.depth += 1

    def after(classes):
      leaf_of = dict(zip(classes[count:], fixed))
      for c in classes:
        if c not in leaf_of:
          leaf_of[c] = scope.leaf()
      self.leaves = [leaf_of[c] for c in classes[:count]]
      self.results = step(self.leaves)
      return [*self.results[:count], *fixed]

    congruence.greatest_fixpoint([*starts, *fixed], after)
    scope.depth -= 1
    known = set(fixed)
    first = {leaf: i for i, leaf in reversed(list(enumerate(self.leaves)))
             if leaf not in known}
    leaves = sorted(first)
    named = congruence.sequences(
        scope.expressions, [starts[first[n]] for n in leaves], leaves,
        [self.results[first[n]] for n in leaves], scope.depth)
    self.sequences = dict(zip(leaves, named))
    self.now = {leaf: congruence.current(scope.expressions, sequence,
                                         scope.depth)
                for leaf, sequence in self.sequences.items()}


def _number_scan(scope, params, numbers, avals, context):
  body, length = params["jaxpr"], params["length"]
  way = (length, params["reverse"], params["unroll"])
  num_fixed = params["num_consts"] + params["num_carry"]
  fixed = _as_binders(scope, body, numbers[:num_fixed], avals)
  consts, starts = (fixed[:params["num_consts"]], fixed[params["num_consts"]:])
  elements = [scope.of(("element", way, scope.depth), n)
              for n in numbers[num_fixed:]]
  carries = _Carries(
      scope, starts, consts,
      lambda leaves: number_body(scope, Body(body, consts + leaves + elements)))
  outs = [start if not length or leaf not in carries.sequences else
          scope.of(("final", way), carries.sequences[leaf])
          for start, leaf in zip(starts, carries.leaves)]
  scanned = dict(zip(elements, numbers[num_fixed:]))
  for n in scope.expressions.substitute(carries.results[len(starts):],
                                        carries.now):
    outs.append(scanned[n] if n in scanned else
                scope.of(("stacked", way), n))
  return outs, [Body(body, consts + carries.leaves + elements)]


def _number_while(scope, params, numbers, avals, context):
  test, body = params["cond_jaxpr"], params["body_jaxpr"]
  num_test = params["cond_nconsts"]
  num_fixed = num_test + params["body_nconsts"]
  inner = _as_binders(scope, body, numbers[num_test:], avals[num_test:])
  test_consts = _as_binders(scope, test, numbers[:num_test], avals)
  consts = inner[:params["body_nconsts"]]
  starts = inner[params["body_nconsts"]:]
  carries = _Carries(
      scope, starts, consts,
      lambda leaves: number_body(scope, Body(body, consts + leaves)))
  tested = Body(test, test_consts + carries.leaves)
  until = scope.expressions.substitute(number_body(scope, tested), carries.now)
  outs = [numbers[num_fixed + i] if leaf not in carries.sequences else
          scope.of("until", carries.sequences[leaf], *until)
          for i, leaf in enumerate(carries.leaves)]
  return outs, [Body(body, consts + carries.leaves), tested]


_rules = {
    compat.jit_p: _number_jit,
    compat.call_p: _number_closed_call,
    compat.closed_call_p: _number_closed_call,
    compat.remat_p: _number_remat,
    compat.custom_jvp_call_p: _number_custom_jvp,
    compat.custom_vjp_call_p: _number_custom_vjp,
    compat.cond_p: _number_cond,
    compat.linear_solve_p: _number_solve,
    compat.scan_p: _number_scan,
    compat.while_p: _number_while,
}
