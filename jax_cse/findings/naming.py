"""What a function is called where a person reads of it.

    name_of(jnp.sin)                          "sin"
    name_of(functools.partial(f, 1))          "f"
    name_of(model)                            "Model", for an object

Limits: the `repr` of an object is never taken, since it may be as large as the
arrays that the object holds; so two objects of one type have one name.
"""

from collections.abc import Callable
import functools


def name_of(fun: Callable) -> str:
  """The name of a function, of what a partial calls, or of an object's type."""
  name = getattr(fun, "__name__", None)
  while not isinstance(name, str) and isinstance(fun, functools.partial):
    fun = fun.func
    name = getattr(fun, "__name__", None)
  return name if isinstance(name, str) and name else type(fun).__name__
