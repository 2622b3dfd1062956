"""Rules for loops: their carries are entered in their classes.

`congruence` finds the carries that are one. Values are numbered as:

    scan     an element of a scanned input, a carry as a sequence, its final
             value, a stack of the values of all steps
    while    a sequence, and the condition of its end

so a result of two loops is the same if its starts, steps and trip count are,
whatever else the loops compute. A constant is a carry that stays.

What is computed in a step is closed (see `closing`), so a loop is numbered once
for each pattern of equal operands, on leaves in their place: a `Template`. Its
results are then imported where the loop stands. So loops in loops cost no more
than the sum of their bodies.
"""

from collections.abc import Callable, Sequence
import functools
from typing import Any, NamedTuple
import weakref

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import congruence
from jax_cse.numbering import identities
from jax_cse.numbering import refinement
from jax_cse.numbering.bodies import Body, equations
from jax_cse.numbering.closing import Closing


class Template(NamedTuple):
  """A loop on leaves for its operands.

  Attributes:
    outs: the numbers of its results.
    bodies: its body, and its test if it has one.
  """
  outs: list[int]
  bodies: list[Body]


class _Loop:
  """What is known of all loops with one body.

  Attributes:
    carries: the leaf of each carry in a step.
    bodies: the body by the numbers of its binders.
    templates: by the operands, and the way of the loop.
  """

  def __init__(self, scope, num_carries):
    self._scope = scope
    self._leaves: dict[tuple, int] = {}
    self.carries = scope.leaves(num_carries)
    self.bodies: dict[tuple, Body] = {}
    self.templates: dict[tuple, Template] = {}

  def leaf(self, operand: int, kind: tuple | None) -> int:
    """The leaf of an operand, or of what a transposition of a kind makes it
    of. Of another type it is another leaf."""
    leaf = self._leaves.get((operand, kind))
    if leaf is None:
      leaf = self._leaves[operand, kind] = self._scope.leaf()
    return leaf


class Loops:
  """Templates of loops.

  Attributes:
    scope: where they are numbered.
  """

  # Emptying a table costs time and no more.
  _MAX_TEMPLATES = 64
  _MAX_EXPRESSIONS = 1 << 16

  def __init__(self, scope):
    self.scope = scope
    scope.loops = weakref.proxy(self)
    self._known: weakref.WeakKeyDictionary[Any, dict[tuple, _Loop]] = (
        weakref.WeakKeyDictionary())

  def is_full(self) -> bool:
    expressions = self.scope.expressions
    return (len(expressions.known) + len(expressions.leaves)
            > self._MAX_EXPRESSIONS)

  def results(self, scope, make: Callable[..., Template], closed_jaxpr,
              num_carries: int, way: tuple, operands: Sequence[int]
              ) -> tuple[list[int], list[Body]]:
    """The results and the bodies of a loop on operands.

    Args:
      scope: of the operands.
      make: called as `make(loop, operands, *way)`, returns the template on the
        leaves for the operands.
      closed_jaxpr: the body.
      num_carries: how many carries it has.
      way: whatever else tells the results.
      operands: the numbers of the operands.

    Returns:
      The numbers in `scope` of the results, and the bodies, whose numbers are
      those of the template.
    """
    loop = self._loop(closed_jaxpr, num_carries)
    leaf_of: dict[int, int] = {}
    for i, n in enumerate(operands):
      leaf_of.setdefault(
          *scope.untransposed(n, functools.partial(loop.leaf, i)))
    known = self.scope.expressions.imported(
        scope.expressions, operands, leaf_of)
    key = *way, *known
    template = loop.templates.get(key)
    if template is None:
      if len(loop.templates) >= self._MAX_TEMPLATES:
        loop.templates.clear()
        loop.bodies.clear()
      template = loop.templates[key] = make(
          self.scope, loop, closed_jaxpr, known, *way)
    outs = scope.expressions.imported(
        self.scope.expressions, template.outs,
        {leaf: n for n, leaf in leaf_of.items()})
    return outs, template.bodies

  def _loop(self, closed_jaxpr, num_carries) -> _Loop:
    jaxpr, consts = jaxprs.open_jaxpr(closed_jaxpr)
    key = compat.has_mesh(), num_carries, *self._numbers(consts)
    loops = self._known.setdefault(jaxpr, {})
    loop = loops.get(key)
    if loop is None:
      loop = loops[key] = _Loop(self.scope, num_carries)
    return loop

  def _numbers(self, consts):
    # One without a number is a leaf of the template, new where it is imported.
    return map(self.scope.numbering.number, consts)

  def key_of_test(self, closed_jaxpr) -> tuple:
    """A key for the test of a `while`, which it does not keep alive: the test
    may hold the body."""
    jaxpr, consts = jaxprs.open_jaxpr(closed_jaxpr)
    return weakref.ref(jaxpr), *self._numbers(consts)


class _Carries:
  """The carries of a loop in their classes.

  Attributes:
    leaves: what stands for each one in the body, one leaf for each class.
    body: the body on these.
    sequences: by leaf, what is known of the values that it takes.
    tested: the body of its test, if it has one.
    closing: of the loop.
  """

  def __init__(self, scope, loop, jaxpr, starts, consts, elements=(),
               streams=(), test=None):
    """`streams`: see `Closing`, of elements. `test`: called with the leaves,
    gives another body."""
    self._scope, self._loop, self._jaxpr = scope, loop, jaxpr
    self._starts, self._consts, self._elements = starts, consts, elements
    # A constant is a carry that stays. A carry that starts as one and stays
    # falls into its class.
    self._fixed = [n for n in dict.fromkeys(consts) if n in set(starts)]
    self._enter(self._classes())
    known = set(self._fixed)
    first = {leaf: i for i, leaf in reversed(list(enumerate(self.leaves)))
             if leaf not in known}
    leaves = sorted(first)
    self.tested = test and test(self.leaves)
    self.closing = Closing(scope.expressions, leaves, dict(streams), [
        *self.body.outs, *(self.tested.outs if test else ())])
    named = congruence.sequences(
        scope.expressions, [starts[first[n]] for n in leaves], leaves,
        [self.body.outs[first[n]] for n in leaves], self.closing)
    self.sequences = dict(zip(leaves, named))

  def _classes(self) -> Sequence[int]:
    starts = [*self._starts, *self._fixed]
    classes = congruence.index(starts)
    if len(set(classes)) == len(classes):
      return classes
    refined = self._refined()
    if self._is_flat():
      return refined
    return congruence.greatest_fixpoint(starts, self._after, refined)

  def _is_flat(self) -> bool:
    """Whether in a step nothing is equal but what is built alike."""
    jaxpr, _ = jaxprs.open_jaxpr(self._jaxpr)
    return self._scope.mode == "exact" and not any(
        equation.looks_inside or equation.plan.number in identities.RULES
        for equation in equations(jaxpr))

  def _refined(self) -> list[int]:
    """Classes that a step keeps, by the body on a leaf for each carry."""
    leaves = self._loop.carries
    body = self._on(leaves)
    return congruence.index(refinement.coarsest(
        self._scope.expressions, self._starts, leaves, body.outs[:len(leaves)],
        self._fixed))

  def _after(self, classes) -> list[int]:
    """What each one is after a step, constants last."""
    self._enter(classes)
    return [*self.body.outs[:len(self._starts)], *self._fixed]

  def _enter(self, classes) -> None:
    leaf_of = dict(zip(classes[len(self._starts):], self._fixed))
    for c, leaf in zip(classes, self._loop.carries):
      leaf_of.setdefault(c, leaf)
    self.leaves = [leaf_of[c] for c in classes[:len(self._starts)]]
    self.body = self._on(self.leaves)

  def _on(self, leaves) -> Body:
    binders = *self._consts, *leaves, *self._elements
    body = self._loop.bodies.get(binders)
    if body is None:
      body = self._loop.bodies[binders] = self._scope.body(self._jaxpr, binders)
    return body


def _scan_template(scope, loop, body, operands, num_consts, is_weak, way):
  num_fixed = num_consts + len(loop.carries)
  consts, starts = operands[:num_consts], operands[num_consts:num_fixed]
  elements, streams = [], {}
  for xs, weak, v in zip(operands[num_fixed:], is_weak,
                         body.in_avals[num_fixed:]):
    element = scope.of(("element", way), xs)
    streams[element] = ("element", way), xs
    elements.append(element if v.weak_type == weak else
                    scope.of(("as", v), element))
  carries = _Carries(scope, loop, body, starts, consts, elements, streams)
  types = zip(body.in_avals[num_consts:], body.out_avals)
  outs = [scope.of(("final", way), carries.sequences[leaf])
          if way[0] and leaf in carries.sequences else
          start if before == after else scope.of(("as", after), start)
          for start, leaf, (before, after) in zip(
              starts, carries.leaves, types)]
  for n in carries.body.outs[len(starts):]:
    if n in streams:
      outs.append(streams[n][1])
    else:
      cores, holes = carries.closing.close([n], {})
      outs.append(scope.of(("stacked", way, cores), *holes))
  return Template(outs, [carries.body])


def _number_scan(scope, params, numbers, avals, context):
  body = params["jaxpr"]
  num_consts, num_carries = compat.constants_and_carries(params)
  num_fixed = num_consts + num_carries
  way = (num_consts, tuple([have.weak_type for have in avals[num_fixed:]]),
         (params["length"], params["reverse"], params["unroll"]))
  fixed = scope.binders(body, numbers[:num_fixed], avals)
  return scope.loops.results(scope, _scan_template, body, num_carries, way,
                             [*fixed, *numbers[num_fixed:]])


def _while_template(scope, loop, body, operands, num_consts, num_test, _, test
                    ):
  consts, test_consts = operands[:num_consts], operands[len(operands)-num_test:]
  starts = operands[num_consts:len(operands) - num_test]
  carries = _Carries(
      scope, loop, body, starts, consts,
      test=lambda leaves: scope.body(test, [*test_consts, *leaves]))
  cores, holes = carries.closing.close(carries.tested.outs, {})
  until = scope.of(("condition", cores), *holes)
  outs = [starts[i] if leaf not in carries.sequences else
          scope.of("until", carries.sequences[leaf], until)
          for i, leaf in enumerate(carries.leaves)]
  return Template(outs, [carries.body, carries.tested])


def _number_while(scope, params, numbers, avals, context):
  test, body = params["cond_jaxpr"], params["body_jaxpr"]
  num_test, num_consts = params["cond_nconsts"], params["body_nconsts"]
  inner = scope.binders(body, numbers[num_test:], avals[num_test:])
  test_consts = scope.binders(test, numbers[:num_test], avals)
  return scope.loops.results(
      scope, functools.partial(_while_template, test=test), body,
      len(inner) - num_consts,
      (num_consts, num_test, scope.loops.key_of_test(test)),
      [*inner, *test_consts])


RULES = {
    compat.scan_p: _number_scan,
    compat.while_p: _number_while,
}
