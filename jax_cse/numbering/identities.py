"""Identities that hold bit for bit, for whatever the operands are.

JAX's derivative rules for linear algebra repeat themselves: the rule of
`cholesky` takes the lower triangle of a lower triangle, that of `eigh` makes a
symmetric matrix symmetric. Each level of nested differentiation does so once
more. Without these identities the levels would look different, and equations
would grow exponentially:

    select_n(p, a, select_n(p, b, c))  ==  select_n(p, a, c)
    select_n(p, a, a)                  ==  a
    transpose(transpose(a))            ==  a, if they undo each other
    transpose(f(a, b))                 ==  f(transpose(a), transpose(b)) where
                                           f goes element by element
    h(h(a))                            ==  h(a), where h(a) = (a + a) / 2
    a * 1                              ==  a, where 1 is a constant

The one of `h` holds everywhere, and `h(a) == a` does not: at half the largest
float and above `h(a)` is infinite, and `h` of that the same. So with the
transposes a second symmetrization changes something only there, and a third
nothing.

XLA takes a product with 1 for its other factor too, so no compiled program has
other bits. One multiplication by itself flushes a denormal number to 0 on a
CPU, and quiets a NaN. Complex numbers are left, of which inf * 1 has inf * 0 in
it. A derivative by a number has the tangent 1, and a mixed one multiplies by it
at each level.

Identities give an equation the number of another of the same type; no equation
is rewritten. A `select_n` is weakly typed if all its cases are, so a case that
is looked up inside of another may be weak where its replacement is not.

Limits: a transpose of a term of more than `_MAX_TERM` operations is not moved.
"""

import itertools

from jax_cse import compat
from jax_cse.numbering import keys

_MAX_TERM = 16


_SELECT, TRANSPOSE, _ADD, _DIV, _MUL, _BROADCAST = map(keys.plan_of, (
    compat.select_n_p, compat.transpose_p, compat.add_p, compat.div_p,
    compat.mul_p, compat.broadcast_in_dim_p))
_ELEMENTWISE = {plan.number: plan
                for plan in map(keys.plan_of, compat.ELEMENTWISE)}


def _select(scope, context, numbers, avals, params):
  which, *cases = numbers
  scope.is_weak.update(zip(cases, (aval.weak_type for aval in avals[1:])))
  inner = []
  for i, n in enumerate(cases):
    while (parts := scope.operands(_SELECT, n)) and (
        parts[0] == which):
      n = parts[1 + i]
    inner.append(n)
  weak = [scope.is_weak.get(n) for n in inner]
  if None in weak or all(weak) != all(map(scope.is_weak.get, cases)):
    return None
  if len(set(inner)) == 1:
    return inner[0]
  if inner == cases:
    return None
  return scope.number(_SELECT, context, [which, *inner], params)


def _transpose(scope, context, numbers, avals, params):
  return _move(scope, context, numbers[0], tuple(params["permutation"]),
               [_MAX_TERM])


def _move(scope, context, number, permutation, budget):
  """The number of a transposed term with the transpose moved inwards, or None
  if it cannot be."""
  operation = scope.operation(number)
  if operation is None:
    return None
  (plan_number, its_context), parts, params = operation
  if plan_number == TRANSPOSE.number:
    permutation = tuple(params["permutation"][i] for i in permutation)
    if permutation == tuple(range(len(permutation))):
      return parts[0]
    return scope.number(TRANSPOSE, context, parts,
                        {"permutation": permutation})
  plan = _ELEMENTWISE.get(plan_number)
  if plan is None or budget[0] <= 0:
    return None
  budget[0] -= 1
  moved = []
  for n in parts:
    if n not in scope.numbering.scalars:
      inner = _move(scope, context, n, permutation, budget)
      n = inner if inner is not None else scope.number(
          TRANSPOSE, context, [n], {"permutation": permutation})
    moved.append(n)
  if plan is _ADD:
    moved.sort()
  return scope.number(plan, its_context, moved, params)


def _halve(scope, context, numbers, avals, params):
  dividend, divisor = avals
  if dividend.weak_type and not divisor.weak_type:
    return None
  double = _doubled(scope, numbers)
  half = double and scope.operands(_DIV, double)
  return double if half and _doubled(scope, half) else None


def _doubled(scope, numbers):
  """The `a` of `(a + a) / 2` on floats, if `numbers` are its operands."""
  dividend, divisor = numbers
  two = scope.numbering.scalars.get(divisor)
  parts = scope.operands(_ADD, dividend)
  if two is None or len(set(parts)) != 1 or not is_two(two):
    return None
  return parts[0]


def is_two(scalar) -> bool:
  """Whether a constant is the one that rules look at."""
  return compat.is_float(scalar) and scalar == 2


def _times_one(scope, context, numbers, avals, params):
  if compat.has_mesh():
    return None   # a factor may say how the product is sharded
  for (n, aval), (other, kept) in itertools.permutations(zip(numbers, avals)):
    if (aval.shape in ((), kept.shape) and aval.dtype == kept.dtype
        and (aval.weak_type or not kept.weak_type)
        and params.get("out_dtype") in (None, kept.dtype)
        and not compat.is_complex(kept.dtype)
        and other not in scope.numbering.scalars and _is_one(scope, n)):
      return other
  return None


def _is_one(scope, number):
  """Whether a number is that of 1, or of an array of ones."""
  number, *_ = scope.operands(_BROADCAST, number) or (number,)
  return scope.numbering.scalars.get(number) == 1


# By number of the plan. Each takes a scope, a context, the numbers and the
# types of the operands and the params, and returns the number of an equal value
# of the same type that is simpler, or None.
RULES = {_SELECT.number: _select, TRANSPOSE.number: _transpose,
         _DIV.number: _halve, _MUL.number: _times_one}
