"""Programs on several devices and in several processes, with CSE and without.

`test_scale_out` runs this file, since the number of devices is fixed when a
process starts, and reads a line of JSON for each case:

  XLA_FLAGS=--xla_force_host_platform_device_count=8 \
    python tests/programs/scale_out_program.py devices
  python tests/programs/scale_out_program.py process ADDRESS NUMBER

Numbers are small whole ones where XLA compiles several operations together: all
their sums and products are exact, so that the bits do not depend on what it
fuses and in which order it adds up.
"""

import functools
import json
import sys
import traceback

import jax
from jax import lax
import jax.numpy as jnp
from jax.sharding import AxisType, NamedSharding, PartitionSpec as P
import numpy as np

import jax_cse

CASES = {}
AUTO, EXPLICIT = AxisType.Auto, AxisType.Explicit


def case(fun):
  CASES[fun.__name__] = fun
  return fun


def mesh(kind=AUTO, reverse=False):
  devices = np.array(jax.devices()[::-1 if reverse else 1]).reshape(4, 2)
  return jax.sharding.Mesh(devices, ("x", "y"), axis_types=(kind, kind))


def whole(*shape):
  """Small whole numbers."""
  return jnp.arange(np.prod(shape), dtype=jnp.float32).reshape(shape) % 5 - 2


def put(x, *spec, **kwargs):
  return jax.device_put(x, NamedSharding(mesh(**kwargs), P(*spec)))


def cube(x):
  return x * x * x + x * x


def slope(fun):
  return lambda x: jax.jvp(fun, (x,), (jnp.ones_like(x),))[1]


def inside_jit(fun, *args, **kwargs):
  # A new function each time: what was compiled before plays no part.
  return jax.jit(lambda *xs: fun(*xs), **kwargs)(*args)


# Collectives.

COLLECTIVES = {
    "psum": lambda x: lax.psum(x, "x"),
    "psum_of_both": lambda x: lax.psum(x, ("x", "y")),
    "pmax": lambda x: lax.pmax(lax.stop_gradient(x), "x") * x,
    "all_gather": lambda x: lax.all_gather(x, "x", tiled=True).sum() * x,
    "ppermute": lambda x: lax.ppermute(
        x, "x", [(i, (i + 1) % 4) for i in range(4)]),
    "psum_scatter": lambda x: lax.psum_scatter(
        jnp.concatenate([x] * 4), "x", tiled=True),
    "all_to_all": lambda x: lax.all_to_all(
        jnp.concatenate([x, cube(x)]), "y", 0, 1, tiled=True),
    "axis_index": lambda x: x * (lax.axis_index("x") + lax.axis_index("x")),
}


def mapped(collective):
  """The same collective twice, and another one of what they give."""
  def local(x):
    y = collective(cube(x)) + collective(cube(x))
    return y + lax.pcast(lax.psum(y, "y"), "y", to="varying")
  return jax.shard_map(local, mesh=mesh(), in_specs=P("x", "y"),
                       out_specs=P("x", "y"), check_vma=False)


def shard_map_case(name):
  fun = mapped(COLLECTIVES[name])
  x = put(whole(16, 4), "x", "y")
  total = lambda x: fun(x).sum()
  return inside_jit(
      lambda x: [fun(x), fun(x), slope(slope(fun))(x), jax.grad(total)(x),
                 jax.grad(lambda x: slope(fun)(x).sum())(x)], x)


for _name in COLLECTIVES:
  CASES[f"shard_map_{_name}"] = functools.partial(shard_map_case, _name)


@case
def shard_map_eager():
  local = lambda x: lax.psum(x * x, "x") + lax.psum(x * x, "x")
  fun = jax.shard_map(local, mesh=mesh(), in_specs=P("x"), out_specs=P(),
                      check_vma=False)
  x = put(whole(16), "x")
  return [[lax.sin(fun(x)), lax.sin(x), slope(fun)(x)] for _ in range(4)]


@case
def shard_map_checked():
  """Where JAX keeps account of what varies over the mesh."""
  def local(x, w):
    y = lax.psum(cube(x * w), "x")
    return y + lax.psum(cube(x * w), "x"), lax.axis_index("y") * w
  fun = jax.shard_map(local, mesh=mesh(), in_specs=(P("x"), P()),
                      out_specs=(P(), P("y")))
  x, w = put(whole(8), "x"), put(whole(2))
  step = lambda x, w: jax.grad(lambda w: fun(x, w[:1])[0].sum())(w)
  return [inside_jit(fun, x, w[:1]), inside_jit(step, x, w)]


# Sharded jit.

@case
def shardings_of_jit():
  rows, columns = (NamedSharding(mesh(), P(a)) for a in ("x", "y"))
  x = whole(16, 8)
  fun = lambda x: (slope(slope(cube))(x), cube(x) + cube(x))
  return [inside_jit(fun, x, in_shardings=rows, out_shardings=columns),
          inside_jit(fun, x, in_shardings=columns, out_shardings=rows),
          inside_jit(lambda x: jax.jit(cube, out_shardings=rows)(x)
                     + jax.jit(cube, out_shardings=rows)(x), x),
          inside_jit(lambda x: (jax.jit(cube, out_shardings=rows)(x),
                                jax.jit(cube, out_shardings=columns)(x)), x)]


@case
def constraints():
  """The same value constrained in two ways."""
  def fun(x):
    y = cube(x)
    a = lax.with_sharding_constraint(cube(x), NamedSharding(mesh(), P("x")))
    b = lax.with_sharding_constraint(y, NamedSharding(mesh(), P(None, "y")))
    c = lax.with_sharding_constraint(y, NamedSharding(mesh(), P("x")))
    return a, b, c, a + b
  x = put(whole(16, 8), "x", "y")
  return inside_jit(
      lambda x: [fun(x), slope(slope(lambda x: sum(fun(x))))(x)], x)


@case
def gradient_of_sharded_jit():
  x, w = put(whole(16, 8), "x"), put(whole(8, 4), None, "y")
  loss = lambda w: cube(x @ w).sum() + cube(x @ w).sum()
  return [inside_jit(jax.value_and_grad(loss), w),
          inside_jit(jax.grad(lambda w: slope(loss)(w)), w)]


# The mesh of a context, and types that say how arrays are laid out.

@case
def mesh_of_a_context():
  with jax.set_mesh(mesh()):
    x = jax.device_put(whole(16, 8), P("x", "y"))
    fun = lambda x: lax.with_sharding_constraint(cube(x) + cube(x), P("y"))
    return [inside_jit(slope(slope(fun)), x), lax.sin(x), lax.sin(x)]


@case
def explicit_shardings():
  with jax.set_mesh(mesh(EXPLICIT)):
    x = jax.device_put(whole(16, 8), P("x", "y"))
    w = jax.device_put(whole(8, 4), P(None, "y"))
    fun = lambda x: jnp.dot(cube(x), w, out_sharding=P("x", None))
    turn = lambda x: (jax.sharding.reshard(cube(x), P("y", "x")),
                      jax.sharding.reshard(cube(x), P("x", "y")),
                      jax.sharding.reshard(cube(x), P("y", "x")))
    return [inside_jit(lambda x: fun(x) + fun(x), x), fun(x), fun(x),
            inside_jit(slope(slope(fun)), x), inside_jit(turn, x), turn(x),
            inside_jit(jax.grad(lambda x: fun(x).sum()), x),
            lax.sin(x), lax.sin(x)]


@case
def one_program_on_two_meshes():
  x = whole(16, 8)
  results = []
  for reverse in (False, True, False):
    y = put(x, "x", "y", reverse=reverse)
    results += [lax.sin(y), lax.sin(y), inside_jit(slope(slope(cube)), y)]
  return results


# Donation.

@case
def donation():
  step = jax.jit(lambda x: cube(x) + cube(x), donate_argnums=0)
  x = put(whole(16, 8), "x", "y")
  results = []
  for _ in range(3):
    a, b = lax.cos(x), lax.cos(x)
    results += [step(a), step(lax.mul(x, 2.0)), lax.sin(b)]
    assert a.is_deleted() and not b.is_deleted() and not x.is_deleted()
    results += [step(b), lax.cos(x)]
    assert b.is_deleted() and not results[-1].is_deleted()
  return results


@case
def donation_of_a_state():
  @functools.partial(jax.jit, donate_argnums=0)
  def step(state, x):
    return jax.tree.map(lambda s: s + slope(cube)(x) + slope(cube)(x), state)
  x = put(whole(16, 8), "x", "y")
  state = {"a": lax.neg(x), "b": lax.neg(x)}   # the second one is a hit
  for _ in range(4):
    last, state = state, step(state, x)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(last))
  return state


# Placement.

@case
def moved_among_shardings():
  x = whole(16, 8)
  layouts = [("x", "y"), ("y", "x"), (None, "x"), ()]
  moved = [put(x, *spec) for spec in layouts]
  again = [jax.device_put(lax.sin(y), NamedSharding(mesh(), P(*spec)))
           for y, spec in zip(moved, layouts[::-1])]
  return [[lax.sin(y), lax.sin(y), lax.mul(y, y)] for y in moved] + again


@case
def equal_values_on_different_devices():
  results = []
  for make in (lambda: whole(8), lambda: jnp.float32(1.5),
               lambda: np.float32(1.5)):
    ones = [jax.device_put(make(), d) for d in jax.devices()]
    results += [lax.sin(a) for a in ones + ones]
    results += [inside_jit(lambda a: slope(slope(cube))(a), a) for a in ones]
    # Closed over: constants of the program, which runs where they are.
    results += [inside_jit(lambda a=a: lax.sin(a) * lax.sin(a))
                for a in ones[:2]]
  return results


@case
def default_devices():
  results = []
  for device in jax.devices()[:3] * 2:
    with jax.default_device(device):
      results += [lax.sin(jnp.ones(4)), lax.sin(jnp.float32(1)),
                  lax.full((3,), 2.0), lax.sin(2.0)]
  return results


@case
def eager_operations():
  x, y = put(whole(16, 8), "x", "y"), put(whole(16, 8), "x")
  f = lambda a: lax.mul(lax.sin(a), lax.cos(a))
  fun = lambda x, y: [
      f(x), f(x), lax.add(f(x), f(y)), lax.dot(x, lax.transpose(y, (1, 0))),
      lax.reduce_max(f(x), (0,)), lax.slice(f(y), (0, 0), (4, 8)),
      lax.reshape(f(y), (8, 16)), slope(slope(f))(x),
      jax.vmap(slope(f))(y), jax.grad(lambda a: f(a).sum())(x)]
  return [fun(x, y), fun(x, y), fun(y, x)]


# How they are compared.

def describe(x):
  """All that can be told of a result: bits, type, and what lies where."""
  x = jax.block_until_ready(x)
  return (str(jax.typeof(x)), x.sharding, x.committed,
          [(shard.device.id, str(shard.index), np.asarray(shard.data).tobytes())
           for shard in x.addressable_shards])


def compare(fun):
  """Runs `fun` with CSE and without; returns the number of hits."""
  expected = [describe(x) for x in jax.tree.leaves(fun())]
  with jax_cse.enabled() as memo:
    results = [describe(x) for x in jax.tree.leaves(fun())]
  assert len(results) == len(expected)
  for i, (a, b) in enumerate(zip(results, expected)):
    assert a == b, f"result {i}\n  with CSE:    {a}\n  without CSE: {b}"
  return memo.stats.hits


def devices():
  for name, fun in CASES.items():
    try:
      found = {"hits": compare(fun)}
    except Exception:
      found = {"error": traceback.format_exc()}
    print(json.dumps({"case": name, **found}), flush=True)


# Several processes.

def loss(params, x):
  """Of the second derivative of a small network, over the whole batch."""
  first, second = params
  network = lambda t: (cube(x * t) @ first) @ second
  return (slope(slope(network))(jnp.float32(1.0)) ** 2).sum()


def whole_batch(mesh):
  """Data-parallel as XLA partitions it."""
  return jax.value_and_grad(loss)


def by_hand(mesh):
  """Data-parallel as a `shard_map` with a sum over the processes."""
  def local(params, x):
    value, grads = jax.value_and_grad(
        lambda p: loss(p, x))(params)
    return jax.tree.map(lambda a: lax.psum(a, "data"), (value, grads))
  return jax.shard_map(local, mesh=mesh, in_specs=(P(), P("data")),
                       out_specs=P(), check_vma=False)


def earlier_work():
  """Whatever another process may have done before."""
  with jax_cse.enabled():
    for n in range(3):
      jax.make_jaxpr(slope(slope(cube)))(whole(n + 2))
      lax.sin(lax.cos(whole(n + 1)))
  jax.jit(slope(cube))(whole(3))


def process(address, number):
  jax.config.update("jax_cpu_collectives_implementation", "gloo")
  jax.distributed.initialize(address, 2, int(number), initialization_timeout=60)
  if number == "1":
    earlier_work()
  mesh = jax.make_mesh((len(jax.devices()),), ("data",), axis_types=(AUTO,))
  params = tuple(jax.device_put(np.asarray(whole(*shape)) / 2,
                                NamedSharding(mesh, P()))
                 for shape in ((3, 2), (2, 1)))
  batch = np.asarray(whole(4, 3))
  x = jax.make_array_from_process_local_data(
      NamedSharding(mesh, P("data")),
      batch[:2] if number == "0" else batch[2:], batch.shape)
  found = {"devices": len(jax.devices()), "local": len(jax.local_devices())}
  for make in (whole_batch, by_hand):
    step = make(mesh)
    expected = inside_jit(step, params, x)
    with jax_cse.enabled() as memo:
      jitted = jax.jit(lambda *args, step=step: step(*args))
      traced = jitted.trace(params, x)
      actual = jitted(params, x)
    found[make.__name__] = {
        "text": str(traced.jaxpr) + traced.lower().as_text(),
        "hits": memo.stats.hits,
        "value": float(actual[0]),
        "same": jax.tree.leaves(jax.tree.map(
            lambda a, b: np.asarray(a).tobytes() == np.asarray(b).tobytes()
            and a.sharding == b.sharding, actual, expected))}
  print(json.dumps(found))


if __name__ == "__main__":
  {"devices": devices, "process": process}[sys.argv[1]](*sys.argv[2:])
