"""What a user's type checker sees of the package: `test_types` runs mypy on it.

Each `assert_type` is a statement about the public surface. A line that ends in
`# error: CODE` is one that mypy must refuse, for that reason; whatever else it
refuses is an error of the package.
"""

from collections import Counter
from typing import assert_type

import jax
import jax.numpy as jnp

import jax_cse
from jax_cse.memo.contexts import Memo

Pair = tuple[jax.Array, dict[str, jax.Array]]


def fun(x: jax.Array) -> jax.Array:
  return x * x


def pair(x: jax.Array, *, scale: float = 1.0) -> Pair:
  return x * scale, {"square": x * x}


def contexts() -> None:
  with jax_cse.enabled("ring", max_bytes=1 << 20) as memo:
    assert_type(memo, Memo)
    assert_type(memo.mode, str | None)
    assert_type(memo.nbytes, int)
    assert_type(memo.stats.hits, int)
    assert_type(memo.stats.bypass_reasons, Counter[str])
    assert_type(memo.stats.by_primitive, dict[str, Counter[str]])
    with jax_cse.disabled() as nothing:
      assert_type(nothing, None)
  assert_type(jax_cse.active_mode(), str | None)
  jax_cse.enabled(1)   # error: arg-type
  jax_cse.enabled("exact", 1024)   # error: call-arg


def returns_from_inside(x: jax.Array) -> jax.Array:
  with jax_cse.enabled():   # swallows no exception, so nothing comes after it
    return fun(x)


@jax_cse.enabled()
def merged(x: jax.Array, order: int = 2) -> Pair:
  return pair(x * order)


@jax_cse.disabled()
def plain(x: jax.Array) -> jax.Array:
  return fun(x)


@jax_cse.cse
def simplified(x: jax.Array) -> Pair:
  return pair(x)


@jax_cse.jarrett
def activation(x: jax.Array) -> jax.Array:
  return x * jax.nn.sigmoid(x)


def transformations(x: jax.Array) -> None:
  assert_type(merged(x, order=3), Pair)
  assert_type(plain(x), jax.Array)
  assert_type(simplified(x), Pair)
  assert_type(activation(x), jax.Array)
  assert_type(jax_cse.cse(pair, mode="exact")(x, scale=2.0), Pair)
  assert_type(jax_cse.polysimp(fun)(x), jax.Array)
  assert_type(jax_cse.cse(lambda t: jnp.sin(t) * x)(1.0), jax.Array)
  assert_type(jax_cse.laplacian(pair)(x), Pair)
  assert_type(jax_cse.laplacian(lambda y: jnp.sum(y))(x), jax.Array)
  assert_type(jax_cse.laplacian(jax_cse.laplacian(fun))(x), jax.Array)
  merged("x")   # error: arg-type
  simplified()   # error: call-arg
  jax_cse.cse(pair)(x, weight=2.0)   # error: call-arg
  jax_cse.jarrett(fun)("x")   # error: arg-type
  jax_cse.laplacian(3)   # error: arg-type


def derivatives(x: jax.Array) -> None:
  assert_type(jax_cse.derivatives(fun, 3)(x), tuple[jax.Array, ...])
  assert_type(jax_cse.derivatives(pair, 3)(x, x), tuple[Pair, ...])
  assert_type(jax_cse.derivatives(lambda t: jnp.sin(t), 3)(1.0, v=2.0),
              tuple[jax.Array, ...])
  assert_type(jax_cse.pushfwd(fun, x, [x, x]), jax.Array)
  assert_type(jax_cse.pushfwd(pair, x, jnp.stack([x, x])), Pair)
  jax_cse.derivatives(fun, "3")   # error: arg-type
  jax_cse.derivatives(fun, 3)(x, x, x)   # error: call-arg
  jax_cse.pushfwd(fun, x, 3)   # error: arg-type


def looking(x: jax.Array) -> None:
  assert_type(jax_cse.count_primitives(pair)(x, scale=2.0), Counter[str])
  report = jax_cse.redundancy(pair, "reassociate", compiled=False)(x)
  assert_type(report, jax_cse.Redundancy)
  assert_type(report.findings[0].primitives, Counter[str])
  if (line := report.findings[0].line) is not None:
    assert_type((line.file, line.number, line.text), tuple[str, int, str])
  plain = jax.make_jaxpr(fun)(x)
  simpler = jax_cse.cse_jaxpr(plain, "exact")
  plain = simpler
  print(simpler.no_such_attribute)   # error: attr-defined
  jax_cse.cse_jaxpr(fun)   # error: type-var
  jax_cse.count_primitives(pair)()   # error: call-arg


def errors() -> str:
  try:
    looking(jnp.ones(3))
  except jax_cse.UnsupportedJaxVersion as error:
    return str(error)
  return jax_cse.__version__
