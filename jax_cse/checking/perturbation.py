"""Monte Carlo arithmetic: a jaxpr, evaluated with random roundings.

Each rounded result of each equation is moved by one unit in its last place. A
generator that counts equations, iterations and elements draws up or down:

    z = add x y        z + (|x| + |y|) * eps * s,    s = 1 or -1
    z = dot_general    z + dot(|x|, |y|) * eps * s * sqrt(the number of terms)
    z = sin x          z + |z| * eps * 4 * s
    z = floor x        z, but x was moved before, and the step shows

A sum is moved in proportion to its terms, not to its value: sums in another
order differ by that much, and of (x + 1e8) - 1e8 nothing else is left. Calls,
loops and branches are entered. One compiled program serves all draws, since the
seed is an operand, and the plain evaluation too, with noise of amplitude 0.

Limits: kernels and shard_maps are not entered; their operands and results are
moved. A loop under noise ends after twice as many iterations as it takes
without, since one that waits for equality might never end.

Source: Parker 1997, "Monte Carlo arithmetic"; Vignes 1978 for CESTAC.
"""

import functools
import math
from typing import Any

import jax
from jax import lax
import jax.numpy as jnp
import numpy as np

from jax_cse import compat
from jax_cse.compat import jaxprs
from jax_cse.primitives import costs
from jax_cse.primitives import linear


def _names(text: str) -> frozenset[str]:
  return frozenset(text.split())


# They move, compare or choose, and round nothing.
_EXACT = _names("""
    abs all_gather all_to_all argmax argmin bitcast_convert_type
    broadcast_in_dim ceil clamp complex concatenate conj copy copy_p cummax
    cummin device_put dynamic_slice dynamic_update_slice floor gather imag
    iota is_finite max min name neg nextafter optimization_barrier pad pmax
    pmin ppermute pvary real reduce_max reduce_min reduce_precision
    reduce_window_max reduce_window_min rem reshape rev round scatter
    scatter-max scatter-min select_and_scatter select_n sharding_constraint
    sign slice sort split squeeze stack stop_gradient tile top_k transpose""")
_OF_REAL_NUMBERS = _names("abs sign")
# Rounded once.
_BASIC = _names("div mul one_minus_square sqrt square")
# Accurate for the operands as they are.
_ACCURATE = _BASIC | _OF_REAL_NUMBERS | _names("""
    acos asin asinh atan atan2 cbrt cos erf exp exp2 expm1 integer_pow log log1p
    logistic pow rsqrt sin sinh cosh tanh""")
# Stable for an operand that is off by a little of its largest element.
_STABLE = _names("""
    cholesky eig eigh fft hessenberg householder_product lu qr schur svd
    tridiagonal geqrf ormqr""")
# Stable for operands that are off by a little of each element.
_SOLVERS = _names("triangular_solve tridiagonal_solve")
# Library functions err by a few units.
_LIBRARY = 4
_SUMS = _names("add add_any sub")
_ACCUMULATIONS = _names("""
    conv_general_dilated cumsum dot_general reduce_sum reduce_window_sum
    scatter-add""")
_CALLS = frozenset({
    compat.jit_p, compat.call_p, compat.closed_call_p, compat.remat_p,
    compat.custom_jvp_call_p, compat.custom_vjp_call_p})


class Unrepeatable(ValueError):
  """A program that cannot be evaluated a second time."""


def perturbed(closed_jaxpr):
  """A function of (seed, varies, amplitude, limit) and a list of operands.

  It returns the results under noise, and the longest number of iterations of a
  `while`. Noise that varies differs from element to element and from iteration
  to iteration; noise that does not is one sign for each equation, so that it
  adds up over a long loop as rounding may.
  """
  def evaluate(setting, operands):
    draw = _Draw(setting, (jnp.uint32(0), jnp.int32(0)))
    outs = draw.evaluate(closed_jaxpr, map(draw.data, operands), draw.data)
    return outs, draw.state[1]
  return evaluate


class _Draw:
  """One evaluation, or the part of it that is one iteration.

  Attributes:
    state: how many iterations were begun, and the most that a `while` took.
  """

  def __init__(self, setting, state, serial=None):
    self._setting, self.state = setting, state
    # Numbers the places where noise is drawn.
    self._serial = [0] if serial is None else serial

  def _inside(self, state):
    return _Draw(self._setting, (state[0] + 1, state[1]), self._serial)

  # Noise.

  def _move(self, y, size, floor=None):
    """Moves `y` by `size` units of roundoff, up or down.

    `floor`: where the noise is at least the smallest normal number, since a
    result that underflows is off by up to that.
    """
    seed, varies, amplitude, _ = self._setting
    self._serial[0] += 1
    key = seed + np.uint32(self._serial[0] * 0x9E3779B9 % 2**32)
    return _move(y, size, floor, key, varies, amplitude, self.state[0])

  def data(self, x, units=1):
    """Data that may have been rounded before: all except whole numbers."""
    aval = compat.typeof(x)
    if not compat.is_inexact(aval.dtype):
      return x
    size, most = abs(x), 1 / _roundoff(aval.dtype)
    if isinstance(x, (float, np.ndarray, np.generic)) and np.all(
        (np.rint(x) == x) & (size < most)):
      return x   # nothing to be traced
    whole = (jnp.round(x) == x) & (size < most)
    return compat.convert(
        self._move(jnp.asarray(x, aval.dtype),
                   units * jnp.where(whole, 0, size)), aval)

  def _unless_undefined(self, y, operands):
    """Integers and booleans made of NaN, and integers made of infinity, are
    unspecified, so they have no bound."""
    undefined = jnp.isnan if y.dtype == np.bool_ else lambda x: ~jnp.isfinite(x)
    where = [undefined(x) for x in operands if compat.is_inexact(
        compat.typeof(x).dtype) and jnp.shape(x) in ((), y.shape)]
    if not where or (not compat.is_number(y.dtype) and y.dtype != np.bool_):
      return y
    moved = self._move(jnp.zeros(y.shape, np.float32), jnp.float32(1)) > 0
    return jnp.where(functools.reduce(jnp.logical_or, where) & moved,
                     jnp.logical_not(y).astype(y.dtype), y)

  # Evaluation.

  def evaluate(self, jaxpr, operands, constant=lambda x: x):
    return jaxprs.interpret(jaxpr, operands, constant, self._literal,
                            self._results)

  def _literal(self, atom):
    aval: Any = atom.aval
    if not compat.is_number(aval.dtype):
      return atom.val
    # With the type that it has in the jaxpr, whatever is configured now.
    x = self.data(np.asarray(atom.val, aval.dtype))
    return compat.convert(x, aval) if aval.weak_type else x

  def _results(self, eqn, operands):
    # A stateful equation without results is there for its effect alone.
    inside = any(True for _ in compat.jaxprs_in_params(eqn.params))
    enters = eqn.primitive in _RULES or eqn.primitive in _CALLS
    if not compat.benign(eqn.effects) and not (inside and enters):
      if not eqn.outvars:
        return []
      raise Unrepeatable(
          f"{eqn.primitive} has an effect ({', '.join(map(str, eqn.effects))}"
          "), which is not to happen a second time, and a result, so the "
          "program cannot be evaluated beside itself; at "
          f"{compat.line_of(eqn)}")
    return [compat.convert(y, v.aval) if compat.is_number(v.aval.dtype) else y
            for v, y in zip(eqn.outvars, self._equation(eqn, operands))]

  def _equation(self, eqn, operands):
    if eqn.primitive in _RULES:
      return _RULES[eqn.primitive](self, eqn.params, operands)
    if eqn.primitive in _CALLS:
      body, = jaxprs.in_order(eqn.params)
      return self.evaluate(body, operands)
    bind = lambda xs: compat.bind_later(
        eqn.primitive, xs, eqn.params, eqn.ctx, eqn.source_info)
    if not any(compat.is_inexact(v.aval.dtype) for v in eqn.outvars):
      return [self._unless_undefined(y, operands) for y in bind(operands)]
    return self._rounded(eqn, operands, bind)

  def _rounded(self, eqn, operands, bind):
    """The results of an equation that rounds, unless it is exact."""
    name = eqn.primitive.name
    if name in _EXACT and not (
        name in _OF_REAL_NUMBERS and jnp.iscomplexobj(operands[0])):
      return bind(operands)
    if name == "convert_element_type":
      y, = bind(operands)
      if compat.is_inexact(operands[0].dtype):
        return [y if _roundoff(operands[0].dtype) >= _roundoff(y.dtype)
                else self._move(y, jnp.abs(y))]
      return [self.data(y)]
    if name in _SUMS:
      y, = bind(operands)
      return [self._move(y, abs(operands[0]) + abs(operands[1]))]
    if name in _ACCUMULATIONS:
      return self._accumulation(eqn, operands, bind)
    if name in _STABLE:
      operands = [self._move(x, _length(x) * jnp.max(
          jnp.abs(x), axis=tuple(range(max(x.ndim - 2, 0), x.ndim)),
          keepdims=True, initial=0)) if compat.is_inexact(x.dtype) else x
                  for x in operands]
    elif name in _SOLVERS:
      operands = [self._move(x, _length(x) * jnp.abs(x)) for x in operands]
    elif name not in _ACCURATE:
      operands = [self.data(x, _LIBRARY) for x in operands]
    units = (1 if name in _BASIC else
             max(abs(eqn.params["y"]), 1) if name == "integer_pow" else
             _terms(operands[0].size, eqn.outvars[0].aval.size)
             if name == "reduce_prod" else _LIBRARY)
    return [self._move(y, units * jnp.abs(y), self._floor(eqn, operands, y))
            if compat.is_inexact(y.dtype) else y for y in bind(operands)]

  def _floor(self, eqn, operands, y):
    """Where an elementwise result is 0 or near it for its size alone."""
    if not compat.is_elementwise(eqn.primitive):
      return None
    return functools.reduce(
        jnp.logical_and, [jnp.broadcast_to(x != 0, y.shape) for x in operands])

  def _accumulation(self, eqn, operands, bind):
    y, = bind(operands)
    groups = linear.GROUPS[eqn.primitive](
        [x.aval for x in eqn.invars], eqn.params)
    together = {i for group in groups or () for i in group}
    size, = bind([jnp.abs(x).astype(x.dtype) if i in together else x
                  for i, x in enumerate(operands)])
    units = _number_of_terms(eqn, operands, bind)
    # A chip may multiply matrices in fewer digits than it is given.
    if (eqn.params.get("precision", 0) is None and y.dtype == np.float32
        and jax.default_backend() != "cpu"):
      units = units * 2.0**(16 if jax.default_backend() == "tpu" else 13)
    return [self._move(y, jnp.abs(size) * units)]

  # Loops and branches.

  def _scan(self, params, operands):
    consts, carries = compat.constants_and_carries(params)
    body = params["jaxpr"]

    def step(carry, xs):
      draw = self._inside(carry[0])
      outs = draw.evaluate(body, [*operands[:consts], *carry[1], *xs])
      return (draw.state, outs[:carries]), outs[carries:]

    (self.state, outs), stacked = lax.scan(
        step, (self.state, operands[consts:consts + carries]),
        operands[consts + carries:], length=params["length"],
        reverse=params["reverse"])
    return [*outs, *stacked]

  def _while(self, params, operands):
    test, body = params["cond_jaxpr"], params["body_jaxpr"]
    first = params["cond_nconsts"]
    second = first + params["body_nconsts"]
    limit, serial = self._setting[3], self._serial[0]

    def goes_on(state, carry):
      # It is staged twice, and both have to decide alike.
      draw = _Draw(self._setting, (state[0] + 1, state[1]), [serial])
      on, = draw.evaluate(test, [*operands[:first], *carry])
      self._serial[0] = max(self._serial[0], *draw._serial)
      return on

    def proceed(loop):
      state, count, carry = loop
      draw = self._inside(state)
      new = draw.evaluate(body, [*operands[first:second], *carry])
      on = goes_on(state, carry)
      if on.ndim:   # of many loops that `vmap` made one some have ended
        new = [_where(on, x, y) for x, y in zip(new, carry)]
      return draw.state, count + 1, new

    (steps, longest), count, outs = lax.while_loop(
        lambda loop: jnp.any(goes_on(loop[0], loop[2])) & (loop[1] < limit),
        proceed, (self.state, jnp.int32(0), operands[second:]))
    self.state = steps, jnp.maximum(longest, count)
    return outs

  def _cond(self, params, operands):
    index, *operands = operands

    def branch(body):
      def run(state, *xs):
        draw = self._inside(state)
        outs = draw.evaluate(body, xs)
        return draw.state, outs
      return run

    self.state, outs = lax.switch(
        index.astype(np.int32), [branch(b) for b in params["branches"]],
        self.state, *operands)
    return outs

  def _linear_solve(self, params, operands):
    lengths = params["const_lengths"]
    before = lengths.matvec + lengths.vecmat
    return self.evaluate(
        params["jaxprs"].solve,
        [*operands[before:before + lengths.solve], *operands[sum(lengths):]])


_RULES = {
    compat.scan_p: _Draw._scan,
    compat.while_p: _Draw._while,
    compat.cond_p: _Draw._cond,
    compat.linear_solve_p: _Draw._linear_solve,
}


def _where(on, x, y):
  return lax.select(jnp.broadcast_to(
      on.reshape(on.shape + (1,) * (x.ndim - on.ndim)), x.shape), x, y)


def _roundoff(dtype) -> float:
  return float(compat.finfo(dtype).eps)


def _length(x) -> int:
  return max(x.shape[-2:], default=1)


def _terms(summed: int, sums: int) -> float:
  """Units of roundoff of a sum, since roundings cancel in part."""
  return max(1.0, math.sqrt(summed / max(sums, 1)))


def _number_of_terms(eqn, operands, bind) -> Any:
  x, out = operands[0], eqn.outvars[0].aval
  match eqn.primitive.name:
    case "reduce_sum":
      return _terms(x.size, out.size)
    case "cumsum":
      return _terms(x.shape[eqn.params["axis"]], 1)
    case "reduce_window_sum":
      return _terms(math.prod(eqn.params["window_dimensions"]), 1)
    case "scatter-add":
      count, = bind([jnp.zeros_like(x), operands[1],
                     jnp.ones_like(operands[2])])
      return jnp.sqrt(1 + jnp.abs(count).astype(np.float32))
    case _:
      work = costs.cost_of_equation(eqn)
      return _terms(work, out.size)


@jax.jit
def _move(y, size, floor, key, varies, amplitude, step):
  """`y` with `size` units of roundoff more or less."""
  info = compat.finfo(y.dtype)
  # Of narrow types the noise is added in a wider one, and rounded.
  wide = info.dtype if info.bits >= 32 else np.dtype(np.float32)
  # Where a type is narrow its subnormal numbers are kept, else flushed.
  least = info.smallest_subnormal if info.bits < 16 or (
      y.dtype == np.float16) else info.tiny
  noise = jnp.abs(size).astype(wide) * wide.type(info.eps)
  if floor is not None:
    noise = jnp.where(floor, jnp.maximum(noise, wide.type(least)), noise)
  noise = noise * amplitude.astype(wide)
  count = lax.iota(np.uint32, max(y.size, 1))[:y.size].reshape(y.shape)
  place = (count + step * np.uint32(0x85EBCA6B)) * varies
  signs = _sign(place ^ key).astype(wide)
  if jnp.iscomplexobj(y):
    other = _sign(place ^ key ^ np.uint32(0x5BD1E995)).astype(wide)
    moved = y + lax.complex(noise * signs, noise * other)
  else:
    moved = (y.astype(wide) + noise * signs).astype(y.dtype)
  return jnp.where(jnp.isfinite(y), moved, y)


def _sign(x):
  """1 or -1, from the bits of a counter, well mixed."""
  for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
    x = (x ^ (x >> np.uint32(shift))) * np.uint32(factor)
  return 1 - 2 * (x >> np.uint32(31)).astype(np.int32)
