"""Numbering the equations of a jaxpr without running them.

The result of an equation is numbered as an expression of numbers, so two that
compute the same share one wherever they stand. The rule of a primitive numbers
the jaxprs inside: `call_numbering` has those of calls and branches,
`loop_numbering` those of loops.

Limits: an equation that runs in a context of its own (`compute_on`, metadata)
equals only those of the same context.
"""

from collections.abc import Callable, Sequence
from typing import Any

from jax_cse.compat import jaxprs
from jax_cse.numbering import call_numbering
from jax_cse.numbering import identities
from jax_cse.numbering import keys
from jax_cse.numbering import loop_numbering
from jax_cse.numbering import several_parts
from jax_cse.numbering.algebra import Algebra
from jax_cse.numbering.bodies import Body, Step, equations
from jax_cse.numbering.expressions import Expressions
from jax_cse.primitives import exclusions

# How the results of a primitive with jaxprs inside are numbered. A rule takes a
# scope, the params, the numbers and the types of the operands and the context,
# and returns the numbers of the results and the bodies.
RULES: dict[Any, Callable] = call_numbering.RULES | loop_numbering.RULES


class Scope:
  """Where numbers are compared: one trace, or one jaxpr.

  Attributes:
    expressions: those that are known.
    context: the number of the context of an equation, given its `ctx`.
    algebra: of sums and products, in the modes that reorder them.
    keeps_steps: whether bodies keep their steps, to be rewritten. If every one
      did, half of the objects that the garbage collector walks would be steps.
    narrowed: calls that were specialised; see `narrowing`.
    is_weak: whether the cases of selects are weakly typed; see `identities`.
  """
  __slots__ = ("numbering", "mode", "expressions", "context", "algebra",
               "keeps_steps", "narrowed", "is_weak",
               "_bitwise", "_foretold", "__weakref__")

  def __init__(self, numbering, context: Callable[[Any], Any] | None = None,
               mode: str = "exact", keeps_steps: bool = False):
    self.numbering = numbering
    self.mode = mode
    self.expressions = Expressions(numbering.fresh, keys.agree)
    self.context = context or (lambda ctx: ctx)
    self.algebra = None if mode == "exact" else Algebra(self, mode)
    self.keeps_steps = keeps_steps
    self.narrowed: dict[tuple, Any] = {}
    self.is_weak: dict[int, bool] = {}
    # The expression of an element of a ring, bit by bit.
    self._bitwise: dict[int, tuple] = {}
    # Numbers that `number` made up, and those that look-ups gave them since.
    self._foretold: dict[int, int | None] = {}

  def leaf(self) -> int:
    return self.expressions.leaf()

  def leaves(self, count: int) -> list[int]:
    return [self.leaf() for _ in range(count)]

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
      if result is not None and (
          not self.algebra.is_known(result[0])
          or self.algebra.folds(plan, numbers, avals)):
        in_ring = result[0]
    if plan.commutes:
      first = numbers[0]
      keys.put_in_order(plan, numbers, avals, eager=False)
      if numbers[0] != first:
        avals = avals[::-1]
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
      if found is None and plan.multiple_results and (
          parts := several_parts.numbers(
              self.algebra, plan, context, numbers, avals, params)):
        found = self.expressions.known[key] = params, parts, key, len(numbers)
      return self._united(key, found, in_ring, len(numbers), params)
    return key, None if found is None else found[1]

  def _united(self, key, found, in_ring, arity, params):
    """The key and one number for both equalities, bit for bit and in the ring:
    the ring does not know that transposes undo each other."""
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

  def apply(self, plan, context, numbers, avals, params, count
            ) -> Sequence[int]:
    """The numbers of the `count` results of an equation that may be merged. May
    put `numbers` in order."""
    key, outs = self.look_up(plan, context, numbers, avals, params)
    if key is None:
      return self.leaves(count)
    if outs is None:
      return self.expressions.enter(key, len(numbers), count, params)
    return outs

  # Jaxprs inside of equations.

  @property
  def loops(self) -> loop_numbering.Loops:
    """Templates of loops, shared by all scopes of one numbering and mode."""
    known = self.numbering.loops
    loops = known.get(self.mode)
    if loops is None or loops.is_full():
      loops = known[self.mode] = loop_numbering.Loops(
          _TemplateScope(self.numbering, self.context, self.mode, True))
    return loops

  def call(self, primitive, params, numbers, avals, context
           ) -> tuple[Sequence[int], list[Body]]:
    """The numbers of the results of a primitive with jaxprs inside, and these
    jaxprs."""
    outs, bodies = RULES[primitive](self, params, list(numbers), avals, context)
    if primitive.name in exclusions.NEVER:
      outs = self.private(outs)
    return outs, bodies

  def private(self, numbers: Sequence[int]) -> list[int]:
    """New numbers, equal where the old ones are."""
    new = {n: self.leaf() for n in numbers}
    return [new[n] for n in numbers]

  def body(self, closed_jaxpr, operands: Sequence[int]) -> Body:
    """Numbers a jaxpr on the numbers of its operands."""
    jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
    binders: list[int] = []
    steps: list[Step] = []
    seen: set[int] = set()
    repeats = False
    described = iter(equations(jaxpr))

    def constant(x):
      n = self.numbering.number(x)
      binders.append(self.leaf() if n is None else n)
      return binders[-1]

    def results(eqn, numbers):
      nonlocal repeats
      # Numbering may put them in order.
      kept = list(numbers) if self.keeps_steps else None
      outs, bodies = self._equation(next(described), numbers)
      if kept is not None:
        steps.append(Step(kept, outs, bodies))
      repeats = (repeats or any(body.repeats for body in bodies)
                 or bool(outs and outs[0] in seen and seen.issuperset(outs)))
      seen.update(outs)
      return outs

    outs = jaxprs.interpret(closed_jaxpr, operands, constant, self._literal,
                            results)
    return Body([*binders, *operands], steps, outs, repeats)

  def _literal(self, atom) -> int:
    value = self.numbering.of_literal(atom)
    return self.leaf() if value is None else value.number

  def _equation(self, equation, numbers):
    eqn, plan, _, avals, looks_inside, is_opaque = equation
    if is_opaque:
      return self.leaves(len(eqn.outvars)), []
    context = self.context(eqn.ctx)
    if looks_inside:
      return self.call(eqn.primitive, eqn.params, numbers, avals, context)
    outs = self.apply(plan, context, numbers, avals, eqn.params,
                      len(eqn.outvars))
    if plan.commutes and keys.may_swap(plan, avals):
      self.expressions.commuting.add(outs[0])
    return outs, []

  def binders(self, closed_jaxpr, numbers, avals) -> list[int]:
    """The numbers of operands as a jaxpr takes them, which may be as another
    type (weak or not)."""
    jaxpr, _ = jaxprs.open_jaxpr(closed_jaxpr)
    return [n if v.aval is have or v.aval == have
            else self.of(("as", v.aval), n)
            for v, n, have in zip(jaxpr.invars, numbers, avals)]

  # The way back from a number.

  def operation(self, number):
    """Plan number and context, operands and params that gave a number."""
    return self._bitwise.get(number) or self.expressions.operation(number)

  def untransposed(self, number, leaf: Callable[[Any], int]
                   ) -> tuple[int, int]:
    """What a loop on a number sees of it, and the leaf for that: the number, or
    that of which it is a transpose. `leaf(kind)` makes it."""
    operation = self.expressions.operation(number)
    if operation is None or operation[0][0] != identities.TRANSPOSE.number:
      return number, leaf(None)
    return operation[1][0], leaf(self.expressions.kind(number))

  def operands(self, plan, number) -> tuple[int, ...]:
    """The operands that gave a number, if it is the result of `plan`."""
    operation = self.operation(number)
    if operation is None or operation[0][0] != plan.number:
      return ()
    return operation[1]


class _TemplateScope(Scope):
  """Where loops are numbered; also those in them, as the same templates."""
  __slots__ = ("loops",)
