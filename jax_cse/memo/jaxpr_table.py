"""The table of a jaxpr under construction.

An equation that was staged before on the same values is not staged again; its
result is looked up. A number refers to its tracer weakly: the tracer lives as
long as the equation is used, and equations that JAX drops while it traces are
not brought back, so no jaxpr gets larger.

Calls that JAX inlines (`jit(inline=True)`, as `jnp` ufuncs are) are inlined
here, since their equations must be looked up one by one. Every other call, loop
or branch stays one equation: those of its results that are known are looked up,
and for the others it is narrowed to the operands that it really has.

Limits: an equation without a result in use is forgotten. If it is asked for
again it is staged again, as without CSE. Large calls are compared as they are
where no derivative is nested, see `Memo.leaves_whole`.
"""

from typing import Any
import weakref

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.memo import gate
from jax_cse.numbering import call_numbering
from jax_cse.numbering import custom_rules
from jax_cse.numbering import keys
from jax_cse.numbering import scalars
from jax_cse.numbering.bodies import equations
from jax_cse.numbering.jaxpr_numbering import Scope
from jax_cse.numbering.narrowing import Call
from jax_cse.primitives import exclusions
from jax_cse.ring.coefficients import over


class JaxprTable:
  """Results and numbers of one `DynamicJaxprTrace`.

  Attributes:
    nests: whether derivatives of derivatives end in the jaxpr.
  """

  reference: weakref.ref   # to the trace
  traced = True   # results end up in a jaxpr
  order = 0       # of nested forward mode
  __slots__ = ("memo", "base", "against", "variables", "revivable", "look_up",
               "_scope", "_results", "_first", "_literals", "_computed",
               "reference", "nests")

  def __init__(self, memo):
    self.memo = memo
    self.base = memo.order()   # of the derivatives that it is a part of
    self.nests = False
    # XLA merges what a lowering rule traces; looking it up made the lowering of
    # a sampler 18 times as long.
    self.against = exclusions.LOWERED if compat.is_lowering() else None
    # Variable to number; to None where its value can change.
    self.variables: dict[Any, int | None] = {}
    self.revivable: dict[Any, Any] = {}
    self._scope = Scope(memo.numbering, memo.context_of, memo.mode)
    self.look_up = self._scope.look_up
    # Number to weak references to the results of the equation that computed it,
    # and to which of them.
    self._results: dict[int, tuple[tuple, int]] = {}
    self._first: dict[int, int] = {}   # of the multiples of a core
    # Made here, by number, and all that may be computed, by id.
    self._literals: dict[int, Any] = {}
    self._computed: dict[int, Any] = {}

  def bind(self, plain, primitive, trace, args, avals, params):
    plan, reason = keys.plan_of(primitive), self.against
    if compat.watches_tracing():
      reason = self._reason_against(args)
    if reason is None and primitive is compat.convert_element_type_p and (
        out := self._of_literal(plain, primitive, trace, args, avals, params)
        ) is not None:
      return out
    if reason is None and plan.is_structured:
      if (plan.is_jit and not params["jaxpr"].effects
          and compat.is_inline_call(params)):
        return self._inline(trace, params["jaxpr"], args)
      if plan.looks_inside(params) and not self.memo.leaves_whole(
          self, plan, params):
        return self._call(
            plan, primitive, trace, args, avals, params,
            lambda args, avals, rest: plain(primitive, trace, args, avals,
                                            rest.params))
    if reason is None:
      reason = (plan.reason_against(params) if plan.carries_jaxprs else
                plan.against)
    return gate.answer(self, plan, reason, plain, primitive, trace, args, avals,
                       params)

  def _of_literal(self, plain, primitive, trace, args, avals, params):
    """A literal float as an integer; None for any other conversion."""
    if (found := compat.literal_to_integer(args, params)) is None:
      return None
    literal, integer = found
    if id(literal) in self._computed:
      self.memo.stats.hits_of[primitive.name] += 1
      return trace.to_jaxpr_tracer(integer, compat.current_source())
    return self.memo.bypass(plain, exclusions.FOLDED, primitive, trace, args,
                            avals, params)

  def _reason_against(self, args) -> str | None:
    """Why no primitive is looked up now, or None if any may be."""
    if compat.folds_constants() and not any(
        isinstance(x, compat.Tracer) for x in args):
      return exclusions.FOLDED
    return self.against or (
        exclusions.CHECKED if compat.checks_key_reuse() else None)

  @property
  def root(self):
    """The table of the jaxpr that all of it ends in."""
    return self

  def note_nested(self) -> None:
    """Notes that derivatives of derivatives end in the jaxpr.

    By several numbers they have those by each subset of them, of which few are
    read: the others are dropped when the jaxpr is closed.
    """
    trace = self.reference()
    if not self.nests and trace is not None:
      self.nests = True
      jaxprs.drop_unread(trace)

  # The questions of the gate.

  def numbers(self, trace, operands) -> list[int | None]:
    variables, number = self.variables, self.memo.numbering.number
    numbers = []
    for x in operands:
      if type(x) is compat.DynamicJaxprTracer and x._trace is trace:
        var = x.val
        n = None if type(var) is compat.Literal else variables.get(var)
        numbers.append(number(x) if n is None else n)
      else:
        numbers.append(number(x))
    return numbers

  def recall(self, numbers, params):
    """Tracers that have these numbers, or None if one is gone."""
    outs = [self._result(n) for n in numbers]
    return None if any(x is None for x in outs) else outs

  def _result(self, number):
    """A tracer that has the number, or None."""
    found = self._results.get(number)
    if found is None:
      return self._from_ring(number)
    references, i = found
    out = references[i]()
    if out is None and len(references) == 1:
      return self._from_ring(number)
    if out is None:
      # One result in use keeps the equation; the others come from it.
      for reference in references:
        known = reference()
        if known is not None:
          eqn = known.parent
          return compat.tracer_of_variable(known._trace, eqn.outvars[i], eqn)
    return out

  def _from_ring(self, number):
    """A tracer for a constant, or for a multiple of what is there; None for any
    other number."""
    algebra, trace = self._scope.algebra, self.reference()
    if algebra is None or trace is None:
      return None
    around = compat.current_source(), compat.current_eqn_context()
    constant = algebra.constant_of(number)
    if constant is not None:
      if number in self._literals:
        return compat.literal_tracer(trace, around[0], self._literals[number])
      c, aval = constant
      tracer = compat.constant_tracer(
          trace, scalars.constant(c, aval.dtype), aval, *around)
    elif self.nests:
      c, core = algebra.find(number)
      first = self._first.get(core, number)
      x = None if first == number else self._live(first)
      if x is None or x.aval != algebra.type_of(number):
        return None
      factor = scalars.exact_factor(
          over(c, algebra.find(first).coefficient), x.aval.dtype)
      if factor is None:
        return None
      tracer = compat.multiple_tracer(
          trace, x, scalars.constant(factor, x.aval.dtype), *around)
    else:
      return None
    if type(tracer.val) is not compat.Literal:
      self._note(number, tracer)
    else:
      self._literals[number] = self._computed[id(tracer.val)] = tracer.val
    return tracer

  def _note(self, number, tracer):
    """Notes the number of the only result of an equation."""
    self.variables[tracer.val] = number
    self._results[number] = (weakref.ref(tracer),), 0
    algebra = self._scope.algebra
    if algebra is not None:
      core = algebra.find(number).core
      first = self._first.setdefault(core, number)
      if first != number and self._live(first) is None:
        self._first[core] = number

  def _live(self, number):
    """The first tracer that has the number, if it is in use."""
    references, i = self._results[number]
    return references[i]()

  def is_zero(self, tracer) -> bool:
    """Whether a tracer of the jaxpr is known to be zeros, in mode "ring"."""
    var, algebra = tracer.val, self._scope.algebra
    if type(var) is compat.Literal:
      return compat.is_zero_literal(var)
    number = self.variables.get(var)
    return number is not None and algebra is not None and (
        algebra.is_zero(number))

  def knows_part(self, tracer) -> bool:
    """Whether some elements of an array of the jaxpr are known, in mode
    "ring"."""
    algebra = self._scope.algebra
    number = self.variables.get(tracer.val) if tracer.aval.shape else None
    return (algebra is not None and algebra.pieces is not None
            and number is not None and algebra.pieces.knows_part(number))

  def store(self, key, found, operands, params, outs) -> None:
    """Enters the results of the equation that was just staged."""
    if not outs or type(outs[0]) is not compat.DynamicJaxprTracer:
      return
    eqn = outs[0].parent
    if eqn is None or (eqn.effects and not compat.benign(eqn.effects)):
      return  # folded to a constant or forwarded, which costs no equation
    numbers = found or self._scope.expressions.enter(
        key, len(operands), len(outs), params)
    if len(outs) > 1:
      self._enter(numbers, outs)
      return
    # One result is the rule, and this runs for every equation.
    x, = outs
    if x.val not in self.variables:
      if type(x.aval) is compat.ShapedArray:
        self._note(numbers[0], x)
      else:
        self.variables[x.val] = None

  def _enter(self, numbers, outs) -> None:
    """Notes the numbers of the results of one equation."""
    variables, results = self.variables, self._results
    eqn = outs[0].parent
    references: tuple[weakref.ref, ...]
    if len(outs) == 1:
      references = (weakref.ref(outs[0]),)
    else:
      references = tuple(map(weakref.ref, outs))
      if [x.val for x in outs] != eqn.outvars:
        return
    for i, (n, x) in enumerate(zip(numbers, outs)):
      if x.parent is not eqn or x.val in variables:
        return
      if type(x.aval) is compat.ShapedArray:
        variables[x.val] = n
        results[n] = references, i
      else:
        variables[x.val] = None

  # Calls, loops and branches.

  def _call(self, plan, primitive, trace, args, avals, params, stage):
    """Results of a call: the known ones, and those that `stage` gives."""
    numbers = self._all_numbers(trace, args)
    call = Call(self._scope, primitive, params, numbers, avals,
                self.memo.context())
    known = self._known(call.outs, trace, args, numbers)
    is_hit = (call.outs and known.keys() >= set(call.outs)
              and not jaxprs.has_effects_inside(params))
    self.memo.count(plan, is_hit, plan.reason_against(params))
    rest = call.rest(known)
    if rest.params is None:
      return call.results(known, rest, [])
    results = stage([args[i] for i in rest.operands],
                    [avals[i] for i in rest.operands], rest)
    staged = [(call.outs[i], x) for i, x in zip(rest.results, results)
              if type(x) is compat.DynamicJaxprTracer and x.parent is not None]
    if staged:
      eqn = staged[0][1].parent
      self._enter(*zip(*[(n, x) for n, x in staged if x.parent is eqn]))
    return call.results(known, rest, results)

  def _all_numbers(self, trace, operands) -> list[int]:
    return [self._scope.leaf() if n is None else n
            for n in self.numbers(trace, operands)]

  def _known(self, outs, trace, args, numbers) -> dict[int, Any]:
    """Tracers for those of the numbers that something has."""
    known: dict[int, Any] = {}
    operand = dict(zip(reversed(numbers), reversed(list(args))))
    for n in dict.fromkeys(outs):
      x = self._result(n)
      if x is None and n in operand:
        x = trace.to_jaxpr_tracer(operand[n], compat.current_source())
      if x is not None:
        known[n] = x
    return known

  def stage_custom_jvp(self, stage, primitive, trace, tracers, params):
    """Results of a `custom_jvp` call whose function was traced just now."""
    memo, plan = self.memo, keys.plan_of(primitive)
    reason = self._reason_against(tracers) or exclusions.against_call(
        plan.is_jit, params)
    if reason is not None:
      memo.stats.bypass(plan.name, reason)
      return stage()
    avals = [x.aval for x in tracers]
    rule = custom_rules.rule_of(params["jvp_jaxpr_fun"])
    outs, _ = call_numbering.number_custom_jvp(
        self._scope, rule, params, self._all_numbers(trace, tracers), avals,
        memo.context())
    known = self.recall(outs, params)
    # A rule that solves an equation takes half a second to trace, so it is
    # asked of a second call alone.
    if known and custom_rules.acts(memo.numbering.acting_rules, rule, params,
                                   avals):
      known, outs = None, self._scope.private(outs)
    memo.count(plan, known and outs)
    if known and outs:
      return known
    results = stage()
    if results:
      self._enter(outs, results)
    return results

  def stage_shard_map(self, stage, primitive, trace, tracers, out_avals, params,
                      effects):
    """Results of a `shard_map` whose body was traced just now."""
    plan = keys.plan_of(primitive)
    reason = self._reason_against(tracers)
    if reason is None and not plan.looks_inside(params):
      reason = exclusions.REFERENCES
    if reason is None and self.memo.leaves_whole(self, plan, params):
      reason = exclusions.LARGE
    if reason is not None:
      self.memo.stats.bypass(plan.name, reason)
      return stage(tracers, out_avals, primitive, params, effects)
    return self._call(
        plan, primitive, trace, tracers, [x.aval for x in tracers], params,
        lambda tracers, _, rest: stage(
            tracers, [out_avals[i] for i in rest.results], primitive,
            rest.params, effects if rest.is_whole else rest.effects))

  def distinct(self, trace, args, in_specs) -> list[int] | None:
    """For each operand of a `shard_map` the first that is the same, as it is
    sharded; None if all are distinct."""
    if self._reason_against(args):
      return None
    keys_of = [(spec, ("unknown", i) if n is None else n) for i, (spec, n) in
               enumerate(zip(in_specs, self.numbers(trace, args)))]
    first: dict[Any, int] = {}
    places = [first.setdefault(key, i) for i, key in enumerate(keys_of)]
    return None if len(first) == len(places) else places

  def _inline(self, trace, closed_jaxpr, args):
    """Stages the equations of an effect-free call one by one."""
    source, context = compat.current_source(), compat.current_eqn_context()
    described = iter(equations(closed_jaxpr.jaxpr))
    entering = lambda x: trace.to_jaxpr_tracer(x, source)

    def literal(atom):
      if self._scope.algebra is not None:   # which may have computed it
        self._computed[id(atom)] = atom
      return compat.literal_tracer(trace, source, atom)

    def results(eqn, tracers):
      _, plan, excluded, avals, looks_inside, _ = next(described)
      def emit(*_):
        outs = compat.emit(trace, eqn, tracers, source)
        return outs if plan.multiple_results else outs[0]
      if eqn.primitive is compat.convert_element_type_p and (
          out := self._of_literal(emit, eqn.primitive, trace, tracers, avals,
                                  eqn.params)) is not None:
        return (out,)
      if eqn.ctx != context:   # the same as nothing else
        return compat.emit(trace, eqn, tracers, source)
      if looks_inside and not self.memo.leaves_whole(self, plan, eqn.params):
        return self._call(
            plan, eqn.primitive, trace, tracers, avals, eqn.params,
            lambda tracers, _, rest: compat.emit(
                trace, eqn, tracers, source, None if rest.is_whole else rest))
      out = gate.answer(self, plan, excluded, emit, eqn.primitive, trace,
                        tracers, avals, eqn.params)
      return out if plan.multiple_results else (out,)

    return jaxprs.interpret(
        closed_jaxpr, map(entering, args), entering, literal, results)
