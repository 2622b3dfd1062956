"""Rules for loops: their carries are entered in their classes.

`congruence` finds the carries that are one. Values are numbered as:

    scan     an element of a scanned input, a carry as a sequence, its final
             value, a stack of the values of all steps
    while    a sequence, and the condition of its end

so a result of two loops is the same if its starts, steps and trip count are,
whatever else the loops compute. A constant is a carry that stays.
"""

from typing import Any
import weakref

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.numbering import congruence
from jax_cse.numbering import refinement


# Of one body. Emptying the table costs time and no more.
_MAX_PATTERNS = 64

# For each body the classes that its carries have, by which operands are equal.
_classes: weakref.WeakKeyDictionary[Any, dict[tuple, list[int]]] = (
    weakref.WeakKeyDictionary())


class _Carries:
  """The carries of a loop in their classes.

  Attributes:
    leaves: what stands for each one in the body, one leaf for each class.
    body: the body on these.
    sequences: by leaf, what is known of the values that it takes.
    now: by leaf, its value in the step that the loop is at.
  """

  def __init__(self, scope, jaxpr, starts, consts, elements):
    self._scope, self._jaxpr = scope, jaxpr
    self._starts, self._consts, self._elements = starts, consts, elements
    # A constant is a carry that stays. A carry that starts as one and stays
    # falls into its class.
    self._fixed = [n for n in dict.fromkeys(consts) if n in set(starts)]
    with scope.inside_loop():
      self._find_classes()
    known = set(self._fixed)
    first = {leaf: i for i, leaf in reversed(list(enumerate(self.leaves)))
             if leaf not in known}
    leaves = sorted(first)
    named = congruence.sequences(
        scope.expressions, [starts[first[n]] for n in leaves], leaves,
        [self.body.outs[first[n]] for n in leaves], scope.depth)
    self.sequences = dict(zip(leaves, named))
    self.now = {leaf: congruence.current(scope.expressions, sequence,
                                         scope.depth)
                for leaf, sequence in self.sequences.items()}

  def _find_classes(self) -> None:
    jaxpr, _ = jaxprs.open_jaxpr(self._jaxpr)
    known = _classes.setdefault(jaxpr, {})
    operands = [*self._consts, *self._starts, *self._elements]
    pattern = (self._scope.mode, len(self._consts), len(self._starts),
               *congruence.index(operands),
               *self._scope.looked_through(operands))
    before = known.get(pattern)
    if before is not None and self._is_kept(before):
      return
    if len(known) >= _MAX_PATTERNS:
      known.clear()
    known[pattern] = congruence.greatest_fixpoint(
        [*self._starts, *self._fixed], self._after, self._refined)

  def _is_kept(self, classes) -> bool:
    after = congruence.index(list(zip(classes, self._after(classes))))
    return max(after, default=0) == max(classes, default=0)

  def _after(self, classes) -> list[int]:
    """What each one is after a step, constants last."""
    leaf_of = dict(zip(classes[len(self._starts):], self._fixed))
    for c in classes:
      if c not in leaf_of:
        leaf_of[c] = self._scope.leaf()
    self.leaves = [leaf_of[c] for c in classes[:len(self._starts)]]
    self.body = self._scope.body(
        self._jaxpr, [*self._consts, *self.leaves, *self._elements])
    return [*self.body.outs[:len(self._starts)], *self._fixed]

  def _refined(self) -> list[int]:
    """Classes that a step keeps, by the body on a leaf for each carry."""
    leaves = self._scope.leaves(len(self._starts))
    body = self._scope.body(
        self._jaxpr, [*self._consts, *leaves, *self._elements])
    return refinement.coarsest(
        self._scope.expressions, self._starts, leaves,
        body.outs[:len(leaves)], self._fixed)


def _number_scan(scope, params, numbers, avals, context):
  body, length = params["jaxpr"], params["length"]
  # With the depth: a result binds the elements and carries of its own loop, and
  # those of a loop around it stay free in it.
  way = (length, params["reverse"], params["unroll"], scope.depth)
  num_consts, num_carries = compat.constants_and_carries(params)
  num_fixed = num_consts + num_carries
  fixed = scope.binders(body, numbers[:num_fixed], avals)
  consts, starts = fixed[:num_consts], fixed[num_consts:]
  elements = [scope.of(("element", way), n)
              for n in numbers[num_fixed:]]
  scanned = dict(zip(elements, numbers[num_fixed:]))
  elements = [n if v.weak_type == have.weak_type else scope.of(("as", v), n)
              for n, v, have in zip(elements, body.in_avals[num_fixed:],
                                    avals[num_fixed:])]
  carries = _Carries(scope, body, starts, consts, elements)
  types = zip(body.in_avals[num_consts:], body.out_avals)
  outs = [scope.of(("final", way), carries.sequences[leaf])
          if length and leaf in carries.sequences else
          start if before == after else scope.of(("as", after), start)
          for start, leaf, (before, after) in zip(
              starts, carries.leaves, types)]
  for n in scope.expressions.substitute(carries.body.outs[len(starts):],
                                        carries.now):
    outs.append(scanned[n] if n in scanned else
                scope.of(("stacked", way), n))
  return outs, [carries.body]


def _number_while(scope, params, numbers, avals, context):
  test, body = params["cond_jaxpr"], params["body_jaxpr"]
  num_test = params["cond_nconsts"]
  inner = scope.binders(body, numbers[num_test:], avals[num_test:])
  test_consts = scope.binders(test, numbers[:num_test], avals)
  consts = inner[:params["body_nconsts"]]
  starts = inner[params["body_nconsts"]:]
  carries = _Carries(scope, body, starts, consts, [])
  with scope.inside_loop():
    tested = scope.body(test, test_consts + carries.leaves)
  until = scope.expressions.substitute(tested.outs, carries.now)
  outs = [starts[i] if leaf not in carries.sequences else
          scope.of(("until", scope.depth), carries.sequences[leaf], *until)
          for i, leaf in enumerate(carries.leaves)]
  return outs, [carries.body, tested]


RULES = {
    compat.scan_p: _number_scan,
    compat.while_p: _number_while,
}
