"""Traces and their tracers: the current one, binding, staging."""

from collections.abc import Callable
from typing import Any

import jax
from jax._src import config
from jax._src import core
from jax._src import dispatch
from jax._src.interpreters import ad
from jax._src.interpreters import batching
from jax._src.interpreters import partial_eval as pe

from jax_cse.compat.conversions import saturated
from jax_cse.compat.primitives import Primitive, convert_element_type_p
from jax_cse.compat.settings import VERSION, no_effects, user_context
from jax_cse.compat.source import at, source_of
from jax_cse.foundation.active import here

Tracer = core.Tracer
Zero = ad.Zero
# Traces and their tracers.
EvalTrace, eval_trace = core.EvalTrace, core.eval_trace
PartialEvalTrace = pe.JaxprTrace
DynamicJaxprTrace, DynamicJaxprTracer = (
    pe.DynamicJaxprTrace, pe.DynamicJaxprTracer)
JaxprStackFrame = pe.JaxprStackFrame
JVPTrace, JVPTracer = ad.JVPTrace, ad.JVPTracer
LinearizeTrace, LinearizeTracer = ad.LinearizeTrace, ad.LinearizeTracer
BatchTrace, BatchTracer = batching.BatchTrace, batching.BatchTracer


def compiled(primitive: Primitive, params: dict[str, Any]) -> Callable:
  """JAX's compiled program for an eager application of one primitive."""
  return plainly(
      lambda: dispatch.xla_primitive_callable(primitive, **params), ())


def plainly(run: Callable, args):
  """Runs JAX's compiled program for one primitive as it runs without CSE.

  One primitive has nothing to merge, so a program compiled outside of CSE
  serves inside, and no bind of a compilation is looked up.
  """
  if config.disable_jit.value:
    with config.disable_jit(False):
      return plainly(run, args)
  cell = here.cell
  memo, before = cell.memo, user_context.get()
  try:
    cell.memo = None
    user_context.set(None)
    # 0.11.0: while something is bound no trace is current. It was the one that
    # evaluates, which now makes itself current.
    if VERSION < (0, 11):
      return run(*args)
    with core.set_current_trace(core.eval_trace):
      return run(*args)
  finally:
    user_context.set(before)
    cell.memo = memo


def trace_rule(wrapped, num_operands: int):
  """The jaxpr of the rule of a `custom_jvp` call, as plain JAX traces it.

  `wrapped`, which the call holds, keeps its trace; this does not.
  """
  thunk = dict(zip(wrapped.f.__code__.co_freevars,
                   wrapped.f.__closure__))["fn"].cell_contents
  jaxpr, *_ = plainly(thunk, [False] * num_operands)
  return jaxpr


def outside_transformations() -> bool:
  """Whether a bind now is evaluated at once, by no transformation."""
  # None: see `plainly`.
  return core.trace_ctx.trace in (None, core.eval_trace)


def is_staging() -> bool:
  """Whether a bind now becomes an equation of a jaxpr."""
  return isinstance(core.trace_ctx.trace, DynamicJaxprTrace)


def literal_tracer(trace, source, literal):
  """A tracer for a literal that stands in a jaxpr."""
  return DynamicJaxprTracer(trace, literal.aval, literal, source)


def emit(trace, eqn, tracers, source, narrowed=None):
  """Stages an equation of a call that `source` makes, on `tracers`.

  Constants are folded and the equation keeps its context, as when JAX inlines.
  If it was narrowed, `tracers` are its operands after that.
  """
  if narrowed is not None:
    eqn = eqn.replace(outvars=[eqn.outvars[i] for i in narrowed.results],
                      params=narrowed.params, effects=narrowed.effects)
  inner = eqn.source_info.name_stack
  if inner:
    source = source.replace(name_stack=source.name_stack + inner)
  out_avals = [v.aval for v in eqn.outvars]
  folded = pe.try_constant_folding(eqn.primitive, tracers, eqn.params,
                                   out_avals)
  if folded is not None:
    return [trace.new_const(c, source_info=source, aval=aval)
            for c, aval in zip(folded, out_avals)]
  return trace.emit_eqn(tracers, out_avals, eqn.primitive, eqn.params,
                        eqn.effects, source, eqn.ctx)


def evaluate_inline(trace, closed_jaxpr, args):
  """Binds the equations of `closed_jaxpr` one by one under `trace`."""
  with core.set_current_trace(trace):
    return core.eval_jaxpr(closed_jaxpr.jaxpr, closed_jaxpr.consts, *args,
                           propagate_source_info=False)


def is_of_one_type(x) -> bool:
  """Whether the parts of a tracer are weakly typed where their value is."""
  if isinstance(x, BatchTracer):
    return is_of_one_type(x.val)
  if not isinstance(x, (JVPTracer, LinearizeTracer)):
    return True
  return (isinstance(x.tangent, Zero) or (
      core.typeof(x.primal).weak_type == core.typeof(x.tangent).weak_type
      and is_of_one_type(x.tangent))) and is_of_one_type(x.primal)


def current_trace():
  """The trace that a bind now goes to, or None."""
  return core.trace_ctx.trace


def literal_under(x) -> core.Literal | None:
  """The literal that a value is under all transformations, or None."""
  while isinstance(x, (JVPTracer, LinearizeTracer, BatchTracer)):
    x = x.val if isinstance(x, BatchTracer) else x.primal
  is_literal = (type(x) is DynamicJaxprTracer
                and type(x.val) is core.Literal)
  return x.val if is_literal else None


def literal_to_integer(operands, params):
  """The literal float that a conversion makes an integer of, and that integer
  as XLA makes it; None for any other conversion."""
  literal = literal_under(operands[0])
  known = literal and saturated(convert_element_type_p, [literal.val], params)
  return None if known is None else (literal, known)


def unbatched(x) -> tuple[Any, tuple]:
  """What a tracer is at the trace under all `vmap`, and its mapped axes."""
  axes: tuple = ()
  while isinstance(x, BatchTracer):
    x, axes = x.val, (*axes, x.batch_dim)
  return x, axes


Trace = core.Trace
take_current_trace, set_current_trace = (
    core.take_current_trace, core.set_current_trace)
to_concrete_value = core.to_concrete_value


def bind_later(primitive, operands, params, context, source):
  """Binds a primitive that was put off at the current trace, in its context.

  An operand that is a constant now was computed, so it is converted as that.
  """
  known = (None if outside_transformations()
           else saturated(primitive, operands, params))
  if known is not None:
    return [known]
  with at(context, source):
    results = primitive.bind(*operands, **primitive.get_bind_params(params))
  return list(results) if primitive.multiple_results else [results]


def bind_again(eqn, operands, params=None):
  """The results of an equation on other operands, or with other params."""
  return bind_later(eqn.primitive, operands,
                    eqn.params if params is None else params, eqn.ctx,
                    source_of(eqn))


def bind_one(eqn, operands, params=None):
  """`bind_again`, of an equation that has one result."""
  out, = bind_again(eqn, operands, params)
  return out


def stage(trace, primitive, operands, params, out_avals, context, source):
  """Stages an equation without effects as it is."""
  tracers = [trace.to_jaxpr_tracer(x, source) for x in operands]
  return trace.emit_eqn(tracers, out_avals, primitive, params, no_effects,
                        source, context)


# The errors where Python needs a value that is not known yet.
WANTS_VALUES = (
    jax.errors.ConcretizationTypeError, jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError)


def stages(trace) -> bool:
  """Whether binds at a trace end in a jaxpr, so no result of theirs is known
  before that runs."""
  while trace is not None and not isinstance(trace, DynamicJaxprTrace):
    trace = getattr(trace, "parent_trace", None)
  return trace is not None


def constant_behind(tracer):
  """The value of a `DynamicJaxprTracer` that stands for a constant, or None.

  A literal answers with its value, a constvar with its constant.
  """
  return tracer._trace.frame.constvar_to_val.get(tracer.val)


def tracer_of_variable(trace, var, eqn):
  """A tracer for a variable that a live equation of `trace` computes."""
  return trace.var_to_tracer(var, eqn.source_info, eqn)
