"""Numbering the equations of a jaxpr without running them.

An equation has the number of what it computes, as an expression of numbers, so
two that compute the same share it wherever they stand. What is inside of a
primitive is numbered by its rule: `call_numbering` has those of calls and
branches, `loop_numbering` those of loops.

Limits: an equation that runs in a context of its own (`compute_on`, metadata)
equals only those of the same context.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
import weakref

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import identities
from jax_cse.numbering import keys
from jax_cse.numbering.algebra import Algebra
from jax_cse.numbering.expressions import Expressions
from jax_cse.primitives import exclusions


class Scope:
  """Where numbers are compared: one trace, or one jaxpr.

  Attributes:
    expressions: what is known.
    context: the number of the context of an equation, given its `ctx`.
    algebra: what knows sums and products, in the modes that reorder them.
    depth: how many loops are around what is numbered. What is bound in one,
      an element or a value of a carry, is named by it, lest it be taken for
      what is bound in another around it.
    repeats: whether a body computed the same twice since this was last reset.
    keeps_steps: whether bodies keep their steps, to be rewritten. If every one
      did, they would be half of what the garbage collector walks.
    narrowed: calls that were specialised; see `narrowing`.
    is_weak: whether the cases of selects are weakly typed; see `identities`.
  """
  __slots__ = ("numbering", "mode", "expressions", "context", "algebra",
               "depth", "repeats", "keeps_steps", "narrowed", "is_weak",
               "_bitwise", "_foretold", "__weakref__")

  def __init__(self, numbering, context: Callable[[Any], Any] | None = None,
               mode: str = "exact", keeps_steps: bool = False):
    self.numbering = numbering
    self.mode = mode
    self.expressions = Expressions(numbering.fresh, keys.agree)
    self.context = context or (lambda ctx: ctx)
    self.algebra = None if mode == "exact" else Algebra(self, mode)
    self.depth = 0
    self.repeats = False
    self.keeps_steps = keeps_steps
    self.narrowed: dict[tuple, Any] = {}
    self.is_weak: dict[int, bool] = {}
    # What an element of a ring is made of when it is no ring.
    self._bitwise: dict[int, tuple] = {}
    # What `number` made up, and the number of the equation that it came to be.
    self._foretold: dict[int, int | None] = {}

  def leaf(self) -> int:
    return self.expressions.leaf()

  def of(self, operation, *parts: int) -> int:
    return self.expressions.of(operation, parts)

  def look_up(self, plan, context, numbers, avals, params
              ) -> tuple[tuple | None, tuple[int, ...] | None]:
    """The key of an equation, None if it has none, and the numbers of its
    results, None if it is not known. May put `numbers` in order."""
    in_ring = None
    if self.algebra is not None:
      result = self.algebra.number(plan, context, numbers, avals,
                                   params)
      # What cancels to a constant may be NaN, and stands for no constant.
      if result is not None and not self.algebra.is_known(result[0]):
        in_ring = result[0]
    keys.put_in_order(plan, numbers, avals, eager=False)
    get = self.expressions.known.get
    key, found = keys.find(get, plan, context, numbers, params)
    if found is not None and not keys.agree(params, found[0]):
      key, found = keys.find_exactly(get, plan, context, numbers, params)
    if found is None and key is not None and (
        rule := identities.RULES.get(plan.number)):
      number = rule(self, context, numbers, avals, params)
      if number is not None:
        found = params, (number,), key, len(numbers)
        self.expressions.known[key] = found
    if self.algebra is not None and key is not None:
      return self._united(key, found, in_ring, len(numbers), params)
    return key, None if found is None else found[1]

  def _united(self, key, found, in_ring, arity, params):
    """What is equal bit for bit, and what is equal in the ring, as one: the
    ring does not know that transposes undo each other."""
    if found is None and in_ring is None:
      return key, None
    if found is None:
      found = self.expressions.known[key] = params, (in_ring,), key, arity
      self._bitwise.setdefault(in_ring, (key[:2], key[2:2 + arity], params))
    numbers = found[1]
    if len(numbers) == 1 and numbers[0] in self._foretold:
      number, = numbers
      first = self._foretold[number]
      if first is None:
        first = self._foretold[number] = number if in_ring is None else in_ring
      numbers = first,
    return key, numbers

  def number(self, plan, context, numbers, params) -> int:
    """The number of the result of an equation as it is."""
    key, found = keys.find(self.expressions.known.get, plan, context, numbers,
                           params)
    if key is None:
      return self.leaf()
    if found is None:
      number, = self.expressions.enter(key, len(numbers), 1, params)
      self._foretold[number] = None
      return number
    return found[1][0] if keys.agree(params, found[0]) else self.leaf()

  def number_call(self, primitive, params, numbers, avals, context
                  ) -> list[int]:
    """The numbers of the results of a primitive with jaxprs inside."""
    return list(number_call(self, primitive, params, list(numbers), avals,
                            context)[0])

  def operation(self, number):
    """Plan number and context, operands and params of what has a number."""
    return self._bitwise.get(number) or self.expressions.operation(number)

  def operands(self, plan, number) -> tuple[int, ...]:
    """The operands of what has a number, if it is the result of `plan`."""
    operation = self.operation(number)
    if operation is None or operation[0][0] != plan.number:
      return ()
    return operation[1]


class Step(NamedTuple):
  """An equation of a body: the numbers of its operands and results, and the
  bodies inside of it."""
  operands: list[int]
  results: Sequence[int]
  bodies: list["Body"]


class Body(NamedTuple):
  """A jaxpr in the params of an equation, numbered.

  Bodies stand in the order of the names of the params.

  Attributes:
    closed_jaxpr: the jaxpr.
    binders: the numbers of its constants and operands.
    steps: its equations, if the scope keeps them.
    outs: the numbers of its results.
  """
  closed_jaxpr: Any
  binders: list[int]
  steps: list[Step]
  outs: list[int]


class Equation(NamedTuple):
  """What no call of a jaxpr changes about one of its equations."""
  eqn: Any
  plan: keys.Plan
  excluded: str | None
  avals: list[Any]
  is_opaque: bool


# How the results of a primitive with jaxprs inside are numbered. A rule takes a
# scope, the params, the numbers and the types of the operands and the context,
# and returns the numbers of the results and the bodies.
rules: dict[Any, Callable] = {}

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
    excluded = exclusions.against_call(plan, eqn.params)
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
  key, outs = scope.look_up(plan, scope.context(eqn.ctx), numbers,
                            equation.avals, eqn.params)
  if key is None:
    return [scope.leaf() for _ in eqn.outvars], []
  if outs is None:
    outs = scope.expressions.enter(key, len(numbers), len(eqn.outvars),
                                   eqn.params)
  return outs, []


def number_call(scope: Scope, primitive, params, numbers, avals, context
                ) -> tuple[Sequence[int], list[Body]]:
  """`number_equation` for a primitive that has jaxprs inside."""
  return rules[primitive](scope, params, numbers, avals, context)


def number_body(scope: Scope, closed_jaxpr, leaves: Sequence[int]) -> Body:
  """Numbers a jaxpr on the numbers of its operands."""
  jaxpr, consts = jaxprs.open_jaxpr(closed_jaxpr)
  numbering = scope.numbering
  known = lambda n: scope.leaf() if n is None else n
  binders = [*(known(numbering.number(x)) for x in consts), *leaves]
  numbers = dict(zip((*jaxpr.constvars, *jaxpr.invars), binders))

  def read(atom):
    if type(atom) is not compat.Literal:
      return numbers[atom]
    value = numbering.of_literal(atom)
    return scope.leaf() if value is None else value.number

  steps: list[Step] = []
  seen: set[int] = set()
  for equation in equations(jaxpr):
    operands = [read(atom) for atom in equation.eqn.invars]
    # Numbering may put them in order.
    kept = list(operands) if scope.keeps_steps else None
    outs, bodies = number_equation(scope, equation, operands)
    if kept is not None:
      steps.append(Step(kept, outs, bodies))
    numbers.update(zip(equation.eqn.outvars, outs))
    if outs and outs[0] in seen and seen.issuperset(outs):
      scope.repeats = True
    seen.update(outs)
  return Body(closed_jaxpr, binders, steps,
              [read(atom) for atom in jaxpr.outvars])


def as_binders(scope, closed_jaxpr, numbers, avals) -> list[int]:
  """The numbers of operands as a jaxpr takes them, which may be as another
  type (weak or not)."""
  jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
  return [n if v.aval is have or v.aval == have
          else scope.of(("as", v.aval), n)
          for v, n, have in zip(jaxpr.invars, numbers, avals)]
