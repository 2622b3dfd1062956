"""Recording: which functions a program jits, and on what.

    with jitted() as recording:
      ...                      # the program
    recording.programs         # a `Program` for each function and signature

While it records, `jax.jit` jits a wrapper of the function that it is given. The
body of the wrapper runs when JAX traces it, which is once for each signature:
it notes the function with the shapes of its arrays and its static arguments,
and calls it. When compiled code runs, nothing of this does. What is traced
inside of another jitted function is a part of that, and no program of its own.

A function can be traced again when the program has ended. An object that is
called may only work inside of a call that prepares it, as one of `nnx.jit` of
flax does, so it is traced at once, before JAX traces it.

Limits: a name that got `jax.jit` before, as those in JAX itself, records
nothing. A function that was traced inside of another first, and is called by
itself with the same types later, is not traced again, and so not seen. Of a
jitted function that is differentiated or batched from outside, the function
itself is noted. A static argument that is a `jax.ShapeDtypeStruct` is taken for
an array. So is a reference, and a function that reads or writes one cannot be
traced again.
"""

from collections.abc import Callable, Iterator, Sequence
import contextlib
import functools
import inspect
import threading
import types
from typing import Any, NamedTuple

import jax

from jax_cse import compat
from jax_cse.advice import advice
from jax_cse.findings import comparison
from jax_cse.findings import naming
from jax_cse.findings import traceable
from jax_cse.findings.redundancy_report import Advice
from jax_cse.memo import contexts
from jax_cse.report.replaced_jit import replaced_jit

# A program keeps what its function closes over, and takes compiling twice.
LIMIT = 50
# Where a function keeps its wrapper: JAX must see the same one each time that
# the function is jitted, or it would trace it again.
_WRAPPER = "_jax_cse_recorded"
_RECORDING = "_jax_cse_recording"
# Types of functions that are traced when the program has ended.
_TRACED_LATER = (types.FunctionType, types.MethodType, types.BuiltinMethodType,
                 functools.partial, type(jax.jit(lambda: None)))


class Program(NamedTuple):
  """A function, and one signature that it was traced with.

  Attributes:
    fun: the function.
    args, kwargs: its arguments, `jax.ShapeDtypeStruct` in the place of arrays.
    called: from which file, line and function of the user's; None if that is
      not known.
    plain: its closed jaxpr without CSE, if it was traced meanwhile.
    advice: which changes pay, if it was.
    mode: that it was traced in; None without CSE.
    x64: whether numbers had 64 bits where JAX was not told how many.
  """
  fun: Callable
  args: tuple
  kwargs: dict[str, Any]
  called: tuple[str, int, str] | None
  plain: Any = None
  advice: Sequence[Advice] = ()
  mode: str | None = None
  x64: bool = False

  @property
  def name(self) -> str:
    return naming.name_of(self.fun)

  def leaves(self) -> list[tuple[str, Any]]:
    """The name of each leaf of the arguments, and the leaf."""
    names = self._names_of_args()
    found = []
    for (which, first, *rest), leaf in jax.tree_util.tree_leaves_with_path(
        (self.args, self.kwargs)):
      head = names[first.idx] if which.idx == 0 else first.key
      found.append((head + jax.tree_util.keystr(tuple(rest)), leaf))
    return found

  def on_arrays(self) -> tuple[Callable, list[jax.ShapeDtypeStruct], list[str]]:
    """The function of its arrays alone, and their shapes and names."""
    named = self.leaves()
    tree = jax.tree.structure((self.args, self.kwargs))
    places = [i for i, (_, leaf) in enumerate(named)
              if isinstance(leaf, jax.ShapeDtypeStruct)]

    def fun(*arrays):
      leaves = [leaf for _, leaf in named]
      for i, array in zip(places, arrays, strict=True):
        leaves[i] = array
      args, kwargs = jax.tree.unflatten(tree, leaves)
      return self.fun(*args, **kwargs)

    fun.__name__ = self.name
    return fun, [named[i][1] for i in places], [named[i][0] for i in places]

  def _names_of_args(self):
    try:
      parameters = list(inspect.signature(self.fun).parameters.values())
    except (TypeError, ValueError):
      parameters = []
    names = [p.name for p in parameters
             if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind == p.VAR_POSITIONAL),
                "args")
    return names + [f"{rest}[{i}]" for i in range(len(self.args))]


def _identity(fun) -> tuple[int, ...]:
  """Equal for the same method too, which Python binds anew at each access."""
  if isinstance(fun, types.MethodType):
    return id(fun.__self__), id(fun.__func__)
  return id(fun),


class Recording:
  """What was jitted, in the order in which it was traced.

  Attributes:
    programs: the first `LIMIT` of them.
    left_out: how many more there were, the same one counting each time: those
      after the first `LIMIT`, and those whose arguments cannot be put together
      with shapes for arrays.
  """

  def __init__(self, objects: bool = True):
    self._objects = objects
    self.programs: list[Program] = []
    self.left_out = 0
    self._keys: set[Any] = set()
    self._lock = threading.Lock()
    self._inside = threading.local()
    self._is_open = True
    # Of objects that cannot keep their own, by id; a wrapper keeps its object
    # alive.
    self._wrappers: dict[int, Callable] = {}

  def close(self) -> None:
    """From now on every wrapper only calls its function."""
    self._is_open = False
    self._wrappers.clear()

  def watch(self, fun: Callable) -> Callable:
    """The wrapper to jit in the place of `fun`."""
    if (not callable(fun) or inspect.isgeneratorfunction(fun)
        or inspect.iscoroutinefunction(fun)):   # JAX says what is wrong
      return fun
    can_keep = isinstance(fun, types.FunctionType)
    known: Any = (vars(fun).get(_WRAPPER) if can_keep
                  else self._wrappers.get(id(fun)))
    # `functools.wraps` copies what a function keeps to another function.
    if (known is not None and known.__wrapped__ is fun
        and vars(known)[_RECORDING] is self):
      return known

    @functools.wraps(fun)
    def recorded(*args, **kwargs):
      if not self._is_open or not compat.is_staging():
        return fun(*args, **kwargs)
      is_outermost = not getattr(self._inside, "trace", False)
      self._inside.trace = True
      try:
        if is_outermost and (self._objects or not _calls_an_object(fun)):
          self._try_to_note(fun, args, kwargs)
        return fun(*args, **kwargs)
      finally:
        self._inside.trace = not is_outermost

    recorded.__name__ = naming.name_of(fun)
    setattr(recorded, _RECORDING, self)
    if can_keep:
      setattr(fun, _WRAPPER, recorded)
    else:
      with self._lock:
        self._wrappers[id(fun)] = recorded
        if len(self._wrappers) > LIMIT:
          del self._wrappers[next(iter(self._wrappers))]
    return recorded

  def _try_to_note(self, fun, args, kwargs):
    try:
      self._note(fun, args, kwargs)
    except Exception:   # of a pytree or a key of the program's own
      with self._lock:
        self.left_out += 1

  def _note(self, fun, args, kwargs):
    args = tuple(map(_without_arrays, args))
    kwargs = {name: _without_arrays(x) for name, x in kwargs.items()}
    leaves, tree = jax.tree.flatten((args, kwargs))
    x64 = compat.has_64_bits()
    key: Any = (_identity(fun), x64, tree, *map(_key, leaves))
    try:
      hash(key)
    except TypeError:
      key = object()
    with self._lock:
      if key in self._keys:
        return
      if len(self.programs) == LIMIT:
        self.left_out += 1
        return
      self._keys.add(key)
      program = Program(fun, args, kwargs, compat.calling_frame(), x64=x64,
                        mode=contexts.active_mode())
      place = len(self.programs)
      self.programs.append(program)
    if _calls_an_object(fun):
      on_arrays, arrays, _ = program.on_arrays()
      try:
        plain, again = traceable.traced(on_arrays, tuple(arrays), {})
      except (Exception, SystemExit):   # of the program, which raises it again
        return
      self.programs[place] = program._replace(
          plain=plain, advice=advice.of(comparison.of_jaxpr(
              program.name, plain, "exact", again), None, program.mode))


def _calls_an_object(fun):
  while fun is not None:
    if not isinstance(fun, _TRACED_LATER):
      return True
    fun = getattr(fun, "__wrapped__", None)
  return False


def _without_arrays(x):
  """An argument with shapes for its arrays; as it is if it is static."""
  if not any(isinstance(leaf, compat.Tracer) for leaf in jax.tree.leaves(x)):
    return x
  return jax.tree.map(
      lambda leaf: compat.shape_of(leaf) if isinstance(leaf, compat.Tracer)
      else leaf, x)


def _key(leaf):
  if isinstance(leaf, jax.ShapeDtypeStruct):
    return leaf.shape, leaf.dtype, leaf.weak_type
  # 1 equals True.
  return type(leaf), leaf


@contextlib.contextmanager
def jitted(objects: bool = True) -> Iterator[Recording]:
  """Records what is given to `jax.jit` meanwhile.

  Args:
    objects: whether also objects that are called, which takes time at once.
  """
  recording = Recording(objects)
  try:
    with replaced_jit(lambda plain, fun, *args, **kwargs: plain(
        recording.watch(fun), *args, **kwargs)):
      yield recording
  finally:
    recording.close()
