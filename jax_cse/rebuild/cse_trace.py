"""The explicit transformation, in final style: values before equations.

Under a `CseTrace` nothing is computed. The result of a primitive is a number:
that of an element of a ring, if it is a sum or a product of values, and else
that of an application of the primitive to numbers. When a value is needed, as a
result or because Python wants to know it, the cheapest way to it is chosen and
bound at the parent trace:

    trace = CseTrace(parent, "ring", simplify)
    y = trace.enter(x)          # an operand
    ...                         # the user's function runs on tracers
    trace.values([y])           # binds, and returns values of the parent

A `jit` that says nothing about placement is inlined, so that equations inside
meet those outside. Every other call, loop or branch stays one equation,
narrowed to its distinct operands, and its jaxprs are simplified by themselves.
Primitives with effects are bound at once, so effects keep their order.

Limits: a function with a rule of its own (`custom_jvp`, `custom_vjp`) stays a
call, so that whoever differentiates the result finds the rule. Only at the top,
where nobody can, it is looked into.
"""

import functools
from typing import Any

import jax

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import custom_rules
from jax_cse.numbering import keys
from jax_cse.numbering import scalars
from jax_cse.numbering import several_parts
from jax_cse.numbering.linear_maps import is_in_ring
from jax_cse.numbering.narrowing import Call
from jax_cse.primitives import linear
from jax_cse.rebuild.deferred import Application, CseTracer, DeferredTrace


class _LiteralTracer(CseTracer):
  """A literal of the program, which JAX may fold where it is staged."""
  __slots__ = ("value",)

  def __init__(self, trace, aval, number, value):
    super().__init__(trace, aval, number)
    self.value = value


class CseTrace(DeferredTrace):
  """Numbers the results of binds, and binds needed values at `parent`."""

  # The interface of a trace.

  def invalidate(self):
    """Ends the trace, and takes it apart: its parts refer to one another, so
    only the garbage collector would find that they are gone."""
    super().invalidate()
    vars(self).clear()

  def stage_value(self, val):
    return self.lift(val)

  def lift(self, x):
    tracer = super().lift(x)
    if not self.stages or not compat.is_on_host(x):
      return tracer
    return _LiteralTracer(self, tracer.aval, tracer.number, x)

  def process_primitive(self, primitive, operands, params, /):
    return self._process(primitive, operands, params, None)

  def _process(self, primitive, operands, params, known):
    """`known`: the types of the results and the effects, if they are."""
    tracers = [self.lift(x) for x in operands]
    results = self._results_of(primitive, tracers, params, known)
    if primitive is compat.device_put_p and not self.stages:
      for x, sharding in zip(results, compat.destinations(params)):
        if sharding is not None:
          x.where, self._is_placed = (sharding, x.aval.shape), True
    if self._is_placed:
      where = next((x.where for x in tracers if x.where is not None), None)
      for x in results if primitive.multiple_results else [results]:
        if x.where is None:
          x.where = where
    return results

  def _results_of(self, primitive, tracers, params, known):
    plan = keys.plan_of(primitive)
    if plan.is_jit and True in params["donated_invars"]:
      # A donated value may be an operand here, or be one with another by now.
      params = params | {"donated_invars": (False,) * len(tracers)}
    body = compat.body_of_plain_call(primitive, params)
    if body is not None:
      return self.inline(body, tracers, (
          plan.is_jit and compat.is_inline_call(params)))
    folded = self._folded(primitive, tracers, params, known)
    if folded is not None:
      return folded
    avals = [x.aval for x in tracers]
    numbers = [x.number for x in tracers]
    found = None
    if self._mode != "exact":
      found = self.algebra.number(plan, compat.current_eqn_context(),
                                  numbers, avals, params)
    if found is not None:
      number, aval = found
      result = CseTracer(self, aval, number)
      return [result] if primitive.multiple_results else result
    parts = self._parts(plan, tracers, params)
    if parts is not None:
      return parts
    out_avals, effects = known or compat.abstract_evaluation(
        primitive, avals, params)
    if self.derivation is not None and (
        any(x.holds is not None for x in tracers)
        or any(map(compat.is_reference, out_avals))):
      results = self._without_references(primitive, tracers, params, out_avals)
    elif (effects and not compat.benign(effects)) or not all(
        type(a) is compat.ShapedArray for a in (*avals, *out_avals)) or (
            plan.is_structured and self._acts_where_derived(params)):
      results = self._bind_now(primitive, tracers, params, effects)
    elif plan.is_structured:
      results = self._call(plan, primitive, tracers, params, out_avals)
    else:
      results = (self._fold(plan, primitive, tracers, params, out_avals)
                 or self._apply(plan, primitive, tracers, params, out_avals))
    return results if primitive.multiple_results else results[0]

  def _folded(self, primitive, tracers, params, known):
    """What JAX folds a literal float of the program to, as an integer; None of
    any other bind."""
    if primitive is not compat.convert_element_type_p or (
        type(tracers[0]) is not _LiteralTracer) or compat.saturated(
            primitive, [tracers[0].value], params) is None:
      return None
    out_avals, _ = known or compat.abstract_evaluation(
        primitive, [x.aval for x in tracers], params)
    constant, = compat.FOLDING_RULES[primitive](
        [tracers[0].value], params, out_avals)
    return self.lift(constant)

  def _parts(self, plan, tracers, params):
    """The results of a primitive that takes apart what was put together."""
    pieces = self.algebra.pieces
    if pieces is None or not plan.multiple_results or not tracers:
      return None
    x, *_ = tracers
    parts = several_parts.parts(plan.number, params, x.aval)
    if parts is None or not (pieces.knows_part(x.number)
                             or self._is_joined(x)):
      return None
    return [functools.reduce(
        lambda y, step: self._process(step[0], [y], step[1], None), steps, x)
            for steps in parts]

  def _is_joined(self, tracer):
    """Whether a value is others one after the other."""
    applied = self.algebra.application(self.algebra.find(tracer.number).core)
    return applied is not None and applied[0].primitive in linear.JOINS

  def _acts_where_derived(self, params):
    """Whether rules inside of a call or a loop do something where they are
    derived, which is to happen in the order of the program."""
    return self.derivation is not None and any(
        map(self._has_rule_that_acts,
            jaxprs.inner_equations(params)))

  def _has_rule_that_acts(self, eqn):
    return (self.derivation is not None
            and eqn.primitive is compat.custom_jvp_call_p
            and custom_rules.acts(
                self._numbering.acting_rules,
                custom_rules.rule_of(eqn.params["jvp_jaxpr_fun"]), eqn.params,
                [v.aval for v in eqn.invars]))

  def _bind_now(self, primitive, tracers, params, effects):
    self.has_acted = self.has_acted or not all(map(compat.looks_on, effects))
    context, source = compat.current_eqn_context(), compat.current_source()
    bind = lambda *values: compat.bind_later(primitive, values, params, context,
                                             source)
    if self.derivation is None or primitive in compat.LOOKS_ON:
      return self._at_once(bind, tracers)
    return self.derivation.through(bind, tracers)

  def _at_once(self, fun, tracers):
    """The results of a function of values of the parent."""
    values = self.values(tracers)
    with compat.set_current_trace(self.parent_trace):
      return [self.enter(x) for x in fun(*values)]

  def _without_references(self, primitive, tracers, params, out_avals):
    """Results, with the contents of references as values."""
    if primitive in compat.MAKES_REFERENCE:
      reference = CseTracer(self, out_avals[0], self._scope.leaf())
      reference.holds = tracers[0]
      return [reference]
    changing = [x for x in tracers if x.holds is not None]
    jaxpr = compat.without_references(
        primitive, params, [x.aval for x in tracers],
        [x.holds is not None for x in tracers])
    outs = self.inline(
        jaxpr, [x if x.holds is None else x.holds for x in tracers])
    for x, holds in zip(changing, outs[len(out_avals):]):
      x.holds = holds
    return outs[:len(out_avals)]

  def _fold(self, plan, primitive, tracers, params, out_avals):
    """The result of a function of scalar constants, as a constant."""
    if (self._mode == "exact" or compat.has_mesh() or plan.against
        or not plan.is_compiled or not tracers
        or not all(map(self.algebra.is_constant, tracers))):
      return None
    aval, = out_avals
    if aval.shape or not is_in_ring(aval):
      return None
    with compat.set_current_trace(compat.eval_trace):
      value = primitive.bind(*[self._constant(x) for x in tracers], **params)
    element = self.algebra.constant(value, aval)
    return None if element is None else [self.tracer(element, aval)]

  def constant_of(self, tracer):
    """The value of a tracer, if it is a scalar that is known."""
    return (self._constant(tracer) if self._mode != "exact"
            and self.algebra.is_constant(tracer) else None)

  def _constant(self, tracer):
    return scalars.constant(
        self.algebra.element(tracer.number, tracer.aval).coefficient,
        tracer.aval.dtype)

  def _apply(self, plan, primitive, tracers, params, out_avals):
    if plan.reason_against(params) is None:
      outs = self._scope.apply(
          plan, compat.current_eqn_context(), [x.number for x in tracers],
          [x.aval for x in tracers], params, len(out_avals))
    else:
      outs = self._scope.leaves(len(out_avals))
    return self._provide(primitive, params, tracers, outs, out_avals)

  def _call(self, plan, primitive, tracers, params, out_avals):
    numbers = [x.number for x in tracers]
    call = Call(self._scope, primitive, params, numbers,
                [x.aval for x in tracers], compat.current_eqn_context())
    rest = call.rest(numbers)
    if rest.params is not None:
      self._provide(primitive, rest.params, [tracers[i] for i in rest.operands],
                    [call.outs[i] for i in rest.results],
                    [out_avals[i] for i in rest.results])
    return [CseTracer(self, aval, n) for n, aval in zip(call.outs, out_avals)]

  def _provide(self, primitive, params, tracers, outs, out_avals):
    """Notes how to compute the results that are not known."""
    call = Application(
        primitive, params, tracers, list(outs), list(out_avals),
        compat.current_eqn_context(), compat.current_source())
    for n in outs:
      # An operand that is also a result, as of a loop without steps, is known.
      if (n not in self._typed and self.call_of(n) is None
          and all(n != x.number for x in tracers)):
        self._calls[n] = call
    if len(outs) > 1:
      self._uniting.note(call)
    return [CseTracer(self, aval, n) for n, aval in zip(outs, out_avals)]

  def inline(self, closed_jaxpr, operands, keeps_literals=False):
    """The results of a jaxpr, equation by equation. `keeps_literals`: an
    operand may be a literal of the program inside too, as where JAX inlines."""
    jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
    enter = self.lift if keeps_literals else self._variable
    with compat.set_current_trace(self):
      return jaxprs.interpret(
          closed_jaxpr,
          [enter(compat.varying(self.lift(x), var.aval))
           for var, x in zip(jaxpr.invars, operands)],
          self._variable, lambda literal: self._variable(literal.val),
          self._equation)

  def _variable(self, x):
    """A tracer for an operand, which JAX does not fold."""
    tracer = super().lift(x)
    return (CseTracer(self, tracer.aval, tracer.number)
            if type(tracer) is _LiteralTracer else tracer)

  def _equation(self, eqn, operands):
    with compat.at(eqn.ctx, compat.source_of(eqn)):
      return self._results_of_equation(eqn, operands)

  def _results_of_equation(self, eqn, operands):
    primitive = eqn.primitive
    if primitive not in compat.CALLS_OF_FUNCTIONS:
      outs = self._process(primitive, operands, eqn.params,
                           ([v.aval for v in eqn.outvars], eqn.effects))
      return outs if primitive.multiple_results else [outs]
    if not compat.has_rule_of_its_own(primitive) or not self._keeps_rules():
      return self.inline(eqn.params["call_jaxpr"], operands)
    if not compat.benign(eqn.effects) or (
        self._has_rule_that_acts(eqn)):
      return self._bind_now(primitive, operands, eqn.params, eqn.effects)
    return self._call(keys.plan_of(primitive), primitive, operands,
                      eqn.params, [v.aval for v in eqn.outvars])

  def _keeps_rules(self):
    """Whether the results may be differentiated: not outside of this trace if
    its parent evaluates at once."""
    return self.derivation is not None or not self._is_outermost

  def process_call(self, primitive, fun, operands, params, /):
    with compat.set_current_trace(self):
      return fun.call_wrapped(*operands)

  def process_shard_map(self, primitive, fun, operands, /, **params):
    trees: list[Any] = []

    def bind(*xs):
      trees.append(primitive.bind(*xs, subfuns=(fun,), **params))
      return list(trees[-1])

    results = (self._at_once if self.derivation is None else
               self._staged)(bind, operands)
    return trees[-1].update(results)

  def process_custom_jvp_call(self, primitive, fun, jvp, operands, /, *,
                              symbolic_zeros):
    return self._custom(primitive, (fun, jvp), operands,
                        symbolic_zeros=symbolic_zeros)

  def process_custom_vjp_call(self, primitive, fun, fwd, bwd, operands, /, *,
                              out_trees, symbolic_zeros):
    return self._custom(primitive, (fun, fwd, bwd), operands,
                        out_trees=out_trees, symbolic_zeros=symbolic_zeros)

  def _custom(self, primitive, functions, operands, **params):
    if not self._keeps_rules():
      with compat.set_current_trace(self):
        return functions[0].call_wrapped(*operands)
    return self._staged(
        lambda *xs: primitive.bind(*xs, subfuns=functions, **params), operands,
        functions)

  def _staged(self, bind, operands, functions=()):
    """Results of a call of Python functions, as of a call in a jaxpr; computed
    at once, if the functions have effects or have to know values."""
    operands = list(map(self.lift, operands))
    try:
      jaxpr = jax.make_jaxpr(bind)(*operands)
      if compat.benign(jaxpr.effects):
        results = self.inline(jaxpr, operands)
        # A rule may have run too; of all functions JAX expects that one did.
        for fun in functions[1:]:
          compat.forget_call(fun)
        return results
    except compat.WANTS_VALUES:
      pass
    for fun in functions:
      compat.forget_call(fun)
    return (self._at_once if self.derivation is None
            else self.derivation.through)(bind, operands)
