"""Rules for loops: their carries are entered in their classes.

`congruence` finds the carries that are one. Values are numbered as:

    scan     an element of a scanned input, a carry as a sequence, its final
             value, a stack of the values of all steps
    while    a sequence, and the condition of its end

so a result of two loops is the same if its starts, steps and trip count are,
whatever else the loops compute. A constant is a carry that stays.
"""

from jax_cse import compat
from jax_cse.numbering import congruence


class _Carries:
  """The carries of a loop in their classes."""

  def __init__(self, scope, starts, consts, step):
    """`step` numbers the body; its first results are the carries after it."""
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
      self.body = step(self.leaves)
      return [*self.body.outs[:count], *fixed]

    congruence.greatest_fixpoint([*starts, *fixed], after)
    scope.depth -= 1
    known = set(fixed)
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


def _number_scan(scope, params, numbers, avals, context):
  body, length = params["jaxpr"], params["length"]
  way = (length, params["reverse"], params["unroll"])
  num_consts, num_carries = compat.constants_and_carries(params)
  num_fixed = num_consts + num_carries
  fixed = scope.binders(body, numbers[:num_fixed], avals)
  consts, starts = fixed[:num_consts], fixed[num_consts:]
  elements = [scope.of(("element", way, scope.depth), n)
              for n in numbers[num_fixed:]]
  carries = _Carries(
      scope, starts, consts,
      lambda leaves: scope.body(body, consts + leaves + elements))
  types = zip(body.in_avals[num_consts:], body.out_avals)
  outs = [scope.of(("final", way), carries.sequences[leaf])
          if length and leaf in carries.sequences else
          start if before == after else scope.of(("as", after), start)
          for start, leaf, (before, after) in zip(
              starts, carries.leaves, types)]
  scanned = dict(zip(elements, numbers[num_fixed:]))
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
  carries = _Carries(
      scope, starts, consts,
      lambda leaves: scope.body(body, consts + leaves))
  tested = scope.body(test, test_consts + carries.leaves)
  until = scope.expressions.substitute(tested.outs, carries.now)
  outs = [starts[i] if leaf not in carries.sequences else
          scope.of("until", carries.sequences[leaf], *until)
          for i, leaf in enumerate(carries.leaves)]
  return outs, [carries.body, tested]


RULES = {
    compat.scan_p: _number_scan,
    compat.while_p: _number_while,
}
