"""Sums over an axis, taken before the equations that made what is summed.

    sum(W @ x + u*y*z, axis)    ==  W @ sum(x, axis) + u*sum(y*z, axis)

with `W` and `u` the same all along the axis. So second derivatives along many
directions of which only the sum is wanted go through a network as one array, as
in a forward Laplacian, which writes that by hand.

A jaxpr is gone through twice. Backwards, each equation is told what is wanted
of its results: the values, their sums over an axis, or one of many that are the
same. If a sum is all that is wanted and the equation is linear in what varies,
it wants sums of its operands instead; else it computes the values, and these
are summed. All readers of a result come before it, so nothing is searched for.
Forwards, what is wanted is computed. `sum_rules` says what each equation wants;
branches and loops ask their bodies.

Source: Li et al. 2023, Forward Laplacian; Dangel et al. 2025, Collapsing Taylor
mode automatic differentiation.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from jax import lax

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.directions import axes
from jax_cse.directions import sum_rules
from jax_cse.directions import summed_bodies
from jax_cse.directions.axes import Axis
from jax_cse.directions.products import Products
from jax_cse.directions.sum_rules import Env, ONE, SUM, VALUE, Want, value
from jax_cse.numbering import rewriting

# What a look for an equation that a sum would spare goes through.
_MAX_LOOK = 512


def early(fun: Callable[..., list[Any]],
          after: Callable[["Plan", list[Any]], list[Any]] | None = None
          ) -> Callable[..., list[Any]]:
  """A function of arrays that returns a list of them, its sums taken early.

  `after` runs the plan on the values of all its inputs, in place of `Plan.run`.
  """
  def run(*operands):
    try:
      closed = compat.trace_to_jaxpr(fun, list(map(compat.typeof, operands)),
                                     compat.debug_info_of(fun))
    except compat.WANTS_VALUES:
      return fun(*operands)
    merged = jaxprs.drop_dead_equations(rewriting.rewrite(
        compat.closed(jaxprs.inlined(closed.jaxpr), closed.consts), "exact"))
    plan = Plan.of(merged.jaxpr)
    return (after or Plan.run)(plan, [*merged.consts, *operands])
  return run


def rewrite(closed_jaxpr):
  """A closed jaxpr with sums taken early, or the same object."""
  plan = Plan.of(closed_jaxpr.jaxpr)
  if not plan.enters:
    return closed_jaxpr
  return compat.trace_to_jaxpr(
      lambda *xs: plan.run([*closed_jaxpr.consts, *xs]),
      [v.aval for v in closed_jaxpr.jaxpr.invars],
      closed_jaxpr.jaxpr.debug_info)


class Plan:
  """What to compute of a jaxpr, and how.

  Attributes:
    enters: whether a sum enters an equation.
  """

  def __init__(self, jaxpr, is_body: bool = False):
    """`is_body`: of a loop, a branch or a linear system, whose inputs are
    others each time, or are sums themselves."""
    self.jaxpr = jaxpr
    self._is_body = is_body
    self.enters = False
    self._definition = {v: eqn for eqn in jaxpr.eqns for v in eqn.outvars}
    self._wanted: dict[Any, dict[Want, None]] = {}
    self._steps: list[Callable[[Env], None]] = []
    self._same: dict[tuple[Any, Axis], bool] = {}
    self._spare_nothing: set[tuple[Any, Want]] = set()
    self.products = Products(jaxpr, self.definition, self.is_same)

  @classmethod
  def of(cls, jaxpr) -> "Plan":
    """A plan of all that a jaxpr results in."""
    plan = cls(jaxpr)
    for v in jaxpr.outvars:
      plan.want(v, VALUE)
    plan.make()
    return plan

  def definition(self, v):
    """The equation that computes a variable; None of an input."""
    return self._definition.get(v)

  # What is wanted.

  def want(self, atom, want: Want) -> None:
    if want.kind == ONE and not axes.has(atom, want.axis):
      want = VALUE
    if type(atom) is not compat.Literal:
      self._wanted.setdefault(atom, {})[want] = None

  def wants(self, atom) -> list[Want]:
    """What is wanted of a variable."""
    return list(self._wanted.get(atom, ()))

  def make(self, given: Iterable[Any] = ()) -> None:
    """Goes through the equations backwards. Of inputs that are `given` all that
    is wanted will be there."""
    given = frozenset(given)
    for eqn in reversed(self.jaxpr.eqns):
      self._steps += reversed(list(self._steps_of(eqn)))
    for v in (*self.jaxpr.constvars, *self.jaxpr.invars):
      if v not in given:
        self._steps += [self._from_value(v, want) for want in self.wants(v)
                        if want != VALUE]

  def _steps_of(self, eqn) -> Iterator[Callable[[Env], None]]:
    wanted = [(v, want) for v in eqn.outvars for want in self.wants(v)]
    acts = not compat.benign(eqn.effects)
    if not wanted and not acts:
      return
    step = None if acts else (self._body_step(eqn, wanted) or
                              self._steps_without_value(eqn, wanted))
    if step is not None:
      yield step
      return
    yield self._value_step(eqn)
    for v, want in wanted:
      if want != VALUE:
        yield self._from_value(v, want)

  def _steps_without_value(self, eqn, wanted):
    """Computes what is wanted other than values, if that is all."""
    rules = []
    for v, want in wanted:
      rule = None if want == VALUE else sum_rules.rule(self, eqn, v, want)
      if rule is None:
        return None
      rules.append((v, want, rule))
    return self._steps_of_rules(eqn, rules)

  def _steps_of_rules(self, eqn, rules):
    for _, want, (operands, _) in rules:
      for atom, inner in operands:
        self.want(atom, inner)
      self.enters = self.enters or want.kind == SUM

    def step(env):
      with compat.at(eqn.ctx, compat.source_of(eqn)):
        for v, want, (_, emit) in rules:
          x = emit(env)
          env[v, want] = (x if x.dtype == v.aval.dtype else
                          lax.convert_element_type(x, v.aval.dtype))
    return step

  def _body_step(self, eqn, wanted):
    """Computes what is wanted of a branch or a loop."""
    rule = summed_bodies.RULES.get(eqn.primitive)
    found = rule and any(want != VALUE for _, want in wanted) and rule(
        Plan, eqn, wanted)
    if not found:
      return None
    operands, emit = found
    for atom, want in operands:
      self.want(atom, want)
    self.enters = True
    return emit

  def _value_step(self, eqn):
    early_sum = self._early_sum(eqn)
    if early_sum is not None:
      return early_sum
    multiple = sum_rules.multiple(self, eqn)
    if multiple is not None:
      return self._steps_of_rules(eqn, [(eqn.outvars[0], VALUE, multiple)])
    for atom in eqn.invars:
      self.want(atom, VALUE)

    def step(env):
      outs = compat.bind_again(eqn, [value(env, x) for x in eqn.invars])
      env.update(((v, VALUE), x) for v, x in zip(eqn.outvars, outs))
    return step

  def _early_sum(self, eqn):
    """Sums an operand over an axis before the equation that does so."""
    if eqn.primitive is not compat.reduce_sum_p or not axes.may_move(
        eqn.outvars[0].aval):
      return None
    x, = eqn.invars
    for k in map(int, eqn.params["axes"]):
      whole = Want(SUM, Axis(k, 1, x.aval.shape[k], 1))
      if x.aval.shape[k] not in (0, 1) and self._spares(x, whole):
        want = self.wish(x, whole)
        self.want(x, want)

        def step(env, want=want, whole=whole):
          env[eqn.outvars[0], VALUE], = compat.bind_again(
              eqn, [sum_rules.sum_of(env, x, want, whole)])
        return step
    return None

  def _from_value(self, v, want):
    self.want(v, VALUE)

    def step(env):
      if (v, want) not in env:
        env[v, want] = sum_rules.from_value(env, env[v, VALUE], want)
    return step

  def _spares(self, x, want) -> bool:
    """Whether a sum may go through an equation that costs more than one of
    each element, or that puts together what it takes apart."""
    todo, seen = [(x, want)], set[tuple[Any, Want]]()
    while todo and len(seen) < _MAX_LOOK:
      pair = v, want = todo.pop()
      if (want.kind != SUM or pair in seen or pair in self._spare_nothing
          or v not in self._definition):
        continue
      seen.add(pair)
      inner = self._definition[v]
      # A body is planned with all that is wanted, which takes as long as it is.
      if inner.primitive in summed_bodies.RULES:
        return True
      rule = sum_rules.rule(self, inner, v, want)
      if rule is not None:
        if (inner.primitive in sum_rules.DEAR
            or sum_rules.joins(inner, want.axis)):
          return True
        todo += rule[0]
    if not todo:
      self._spare_nothing |= seen
    return False

  # Along which axes a value is the same.

  def is_same(self, atom, axis: Axis) -> bool:
    """Whether all slices of a value along an axis are equal."""
    if not axes.has(atom, axis):
      return True
    todo = [(atom, axis)]
    while todo:
      pair = todo[-1]
      below = () if pair in self._same else sum_rules.same_if(
          self._definition.get(pair[0]), pair[1])
      missing = [p for p in below or () if p not in self._same]
      if missing:
        todo += missing
        continue
      todo.pop()
      if pair not in self._same:
        self._same[pair] = below is not None and all(
            map(self._same.__getitem__, below))
    return self._same[atom, axis]

  def wish(self, atom, want: Want, axis: Axis | None = None) -> Want:
    """What stands for a sum of an operand, over its own axis: the sum, or if it
    is the same all along, one of the slices."""
    axis = axis or want.axis
    return (Want(ONE, axis) if self.is_same(atom, axis)
            else want._replace(axis=axis))

  def input_along(self, v, axis: Axis):
    """The input that a variable is, or is broadcast from, if it is as long as
    an axis of that and has no other; None if there is none."""
    eqn, place = self._definition.get(v), 0
    if self._is_body:
      return None
    if eqn is not None and eqn.primitive is compat.broadcast_in_dim_p and (
        len(eqn.params["broadcast_dimensions"]) == 1):
      v, (place,) = eqn.invars[0], eqn.params["broadcast_dimensions"]
    return v if (
        type(v) is not compat.Literal and v not in self._definition
        and v.aval.shape == (axis.size,) and axis.place == place) else None

  # Computing what was planned.

  def computed(self, env: Env) -> Env:
    """Adds what is wanted to what is given of the inputs."""
    for step in reversed(self._steps):
      step(env)
    return env

  def run(self, values: Sequence[Any]) -> list[Any]:
    """The results, of values of the constants and inputs."""
    binders = [*self.jaxpr.constvars, *self.jaxpr.invars]
    env = self.computed({(v, VALUE): x for v, x in zip(binders, values)})
    return [value(env, x) for x in self.jaxpr.outvars]
