"""The cache of compiled programs that `conftest` gives the suite."""

import os

from absl.testing import absltest
import jax
import jax.monitoring
import jax.numpy as jnp


class CompiledOnceTest(absltest.TestCase):

  def test_the_same_program_of_another_function_is_there(self):
    found = []
    listen = lambda event, **_: found.append(event)
    jax.monitoring.register_event_listener(listen)
    self.addCleanup(jax.monitoring.unregister_event_listener, listen)

    def compile_(constant):
      found.clear()
      jax.jit(lambda x: jnp.sin(x) * constant + os.getpid()).lower(
          1.0).compile()
      return [event.rsplit("/", 1)[1] for event in found
              if event.endswith(("cache_hits", "cache_misses"))]

    self.assertEqual(compile_(2.5), ["cache_misses"])
    self.assertEqual(compile_(2.5), ["cache_hits"])
    self.assertEqual(compile_(3.5), ["cache_misses"])


if __name__ == "__main__":
  absltest.main()
