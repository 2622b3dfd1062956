"""Nothing shows: source lines, name stacks, tracebacks and errors are JAX's."""

import traceback

import jax
from absl.testing import absltest
from absl.testing import parameterized
from jax import lax
import jax.numpy as jnp

import checking
import jax_cse
from jax_cse.compat import saved_residuals, source_info_util
from jax_cse.foundation.counting import equations

PACKAGE = jax_cse.__path__[0]
JAX = jax.__path__[0]


def straight(x):
  y = jnp.sin(x)
  with jax.named_scope("scope"):
    z = lax.exp(y)
  return jnp.where(z > 1, z, y * 2)


PROGRAMS = {
    "straight": straight,
    "jvp": lambda x: jax.jvp(straight, (x,), (2.0,)),
    "grad": jax.grad(straight),
    "vmap": lambda x: jax.vmap(straight)(x * jnp.arange(3.0)),
    "jit": jax.jit(straight),
    "scan": lambda x: lax.scan(lambda c, _: (straight(c), c), x, None, 3),
    "cond": lambda x: lax.cond(x > 0, straight, jnp.cos, x),
    "custom_jvp": lambda x: jax.nn.relu(straight(x)),
    "checkpoint": jax.grad(jax.checkpoint(straight)),
}


def sources(fun):
  """Primitive, name stack and user's line of each equation."""
  return [(eqn.primitive.name, str(eqn.source_info.name_stack),
           source_info_util.summarize(eqn.source_info))
          for eqn in equations(checking.trace(fun, 0.5).jaxpr)]


class VisibilityTest(parameterized.TestCase):

  @parameterized.parameters(*PROGRAMS)
  def test_sources(self, name):
    plain = sources(PROGRAMS[name])
    with jax_cse.enabled():
      merged = sources(PROGRAMS[name])
    # What is left is in the order and from the lines of what was there.
    rest = iter(plain)
    for source in merged:
      self.assertIn(source, rest)

  def test_a_program_without_repetition_comes_out_as_it_was(self):
    fun = lambda x: lax.exp(lax.sin(x)) * lax.cos(x) + 2.0
    text = str(checking.trace(fun, 0.5))
    with jax_cse.enabled():
      self.assertEqual(str(checking.trace(fun, 0.5)), text)

  @parameterized.parameters(
      lambda x: lax.add(x, jnp.arange(2, dtype="int32")),
      lambda x: lax.reshape(x, (5,)),
      lambda x: lax.add(x, "text"),
      lambda x: jnp.ones(3) @ jnp.ones(4),
      lambda x: lax.cond(x[0] > 0, lambda: x, lambda: x[:1]),
      lambda x: 1 if x[0] > 0 else 2)
  def test_errors(self, fun):
    def raised(run):
      try:
        run(fun)(jnp.arange(3.0))
      except Exception as e:  # whatever JAX says, it must say again
        files = [f.filename for f in traceback.extract_tb(e.__traceback__)]
        return (type(e), str(e).partition("\n")[0],
                [f for f in files if f.startswith(JAX)],
                [f for f in files if f.startswith(PACKAGE)])

    for run in (lambda f: f, jax.jit,
                lambda f: lambda x: jax.jvp(f, (x,), (x,)), jax.vmap):
      plain = raised(run)
      with jax_cse.enabled():
        merged = raised(run)
      if plain is None:
        self.assertIsNone(merged)
      else:
        self.assertEqual(merged[:2], plain[:2])
        if not plain[2]:  # JAX hides its own frames
          self.assertEmpty(merged[3])

  def test_the_users_line_is_in_the_traceback(self):
    with jax_cse.enabled():
      try:
        jax.jit(lambda x: lax.add(x, jnp.arange(2)))(jnp.arange(3.0))
      except TypeError as e:
        frames = traceback.extract_tb(e.__traceback__)
    self.assertIn(__file__, [f.filename for f in frames])

  def test_leaked_tracers_are_found(self):
    leaked = []
    with jax_cse.enabled():
      jax.jit(lambda x: leaked.append(lax.sin(x)) or x)(1.0)
      with self.assertRaises(jax.errors.UnexpectedTracerError):
        lax.cos(leaked[0])
      with self.assertRaisesRegex(Exception, "Leaked"):
        with jax.checking_leaks():
          jax.jit(lambda x: leaked.append(lax.sin(x)) or x)(2.0)

  def test_debug_nans_in_a_jit(self):
    with jax_cse.enabled(), jax.debug_nans(True):
      with self.assertRaises(FloatingPointError):
        jax.jit(lambda x: lax.log(x) + lax.log(x))(-1.0)


class ResidualsTest(absltest.TestCase):

  def test_remat_saves_no_more_than_without(self):
    from jax.ad_checkpoint import checkpoint_name

    def block(x):
      y = checkpoint_name(jnp.sin(x), "y")
      return jnp.cos(y) * jnp.sin(x) * jnp.cos(y)

    policies = (None, jax.checkpoint_policies.everything_saveable,
                jax.checkpoint_policies.save_only_these_names("y"))
    def saved(policy):
      fun = jax.checkpoint(block, policy=policy)
      return len(saved_residuals(lambda x: fun(fun(x)).sum(), jnp.ones(4)))

    for policy in policies:
      plain = saved(policy)
      with jax_cse.enabled():
        self.assertLessEqual(saved(policy), plain)

  def test_remat_computes_again_eagerly(self):
    fun = jax.checkpoint(lambda x: lax.sin(x) * 2)
    x = jnp.arange(3.0)
    with jax_cse.enabled() as memo:
      lax.sin(x)
      fun(x)
      self.assertEqual(memo.stats.hits, 0)


if __name__ == "__main__":
  absltest.main()
