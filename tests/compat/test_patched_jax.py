"""The fork: a JAX that asks and one that is patched from outside give the same;
and its toggle."""

import json
import textwrap

from absl.testing import absltest

from overlays import PROGRAMS, overlay, run


def script(text):
  return "-c", textwrap.dedent(text)


class PatchedTest(absltest.TestCase):

  def test_the_same_as_from_outside(self):
    plain = run(PROGRAMS / "patched_program.py")
    patched = run(PROGRAMS / "patched_program.py", overlay=overlay())
    self.assertEqual((plain.stderr.split()[-1], patched.stderr.split()[-1]),
                     ("plain", "patched"))
    plain, patched = (list(map(json.loads, done.stdout.splitlines()))
                      for done in (plain, patched))
    self.assertGreater(len(plain), 300)
    for one, other in zip(plain, patched, strict=True):
      self.assertEqual(one, other)

  def test_nothing_is_replaced(self):
    run(*script("""
        from jax._src import core
        import jax_cse
        from jax_cse import compat
        look = lambda: [core.Primitive.bind, *(
            getattr(*seam) for seam in (compat.BIND, compat.STAGE,
                                        *compat.NODES, *compat.EXITS))]
        before = look()
        assert core.cse is None
        with jax_cse.enabled():
          assert core.cse is not None
          assert look() == before
        assert core.cse is None
        """), overlay=overlay())

  def test_the_toggle_alone(self):
    done = run(*script("""
        import sys
        import jax
        from jax import core
        def fun(t):
          return 0.3 * jax.numpy.sin(t) * t**10
        for _ in range(4):
          fun = lambda t, f=fun: jax.jvp(f, (t,), (1.0,))[1]
        count = lambda: len(jax.make_jaxpr(fun)(1.1).eqns)
        assert core.enable_cse is False
        plain = count()
        assert "jax_cse" not in sys.modules
        for value in (True, "ring", False, True):
          core.enable_cse = value
          assert core.enable_cse is value
          print(value, count(), end="; ")
          wanted = {True: "exact", False: None}.get(value, value)
          assert sys.modules["jax_cse"].active_mode() == wanted
        core.enable_cse = False
        print(plain)
        """), overlay=overlay())
    exact, ring, off, again, plain = (
        int(part.split()[-1]) for part in done.stdout.split(";"))
    self.assertLess(ring, exact)
    self.assertLess(exact, plain / 2)
    self.assertEqual((off, again), (plain, exact))

  def test_the_toggle_of_the_module_inside(self):
    run(*script("""
        import jax
        from jax import lax
        from jax._src import core
        twice = lambda t: lax.sin(t) + lax.sin(t)
        core.enable_cse = True
        assert len(jax.make_jaxpr(twice)(1.0).eqns) == 2
        core.enable_cse = False
        assert len(jax.make_jaxpr(lambda t: twice(t))(1.0).eqns) == 3
        assert core.cse is None
        """), overlay=overlay())

  def test_what_is_no_mode_is_refused(self):
    run(*script("""
        import jax
        from jax._src import core as inside
        for core in (jax.core, inside):
          for before in (False, "ring"):
            core.enable_cse = before
            jax.lax.add(1.0, 2.0)
            try:
              core.enable_cse = 3
              jax.lax.add(1.0, 2.0)
            except ValueError as error:
              message = str(error)
              assert "'exact', 'reassociate', 'ring'" in message, message
              assert "got 3" in message, message
            else:
              assert False
            assert core.enable_cse is before
        """), overlay=overlay())

  def test_the_environment(self):
    text = script("""
        import jax
        from jax import lax
        twice = lambda t: lax.sin(t) + lax.sin(t)
        before = jax.core.enable_cse
        jax.core.enable_cse = True
        print(before, len(jax.make_jaxpr(twice)(1.0).eqns))
        """)
    self.assertEqual(run(*text, overlay=overlay(), JAX_CSE="off").stdout,
                     "False 3\n")
    text = script("""
        import jax, jax_cse
        from jax import lax
        twice = lambda t: lax.sin(t) + lax.sin(t)
        assert jax.core.enable_cse == "exact", jax.core.enable_cse
        assert len(jax.make_jaxpr(twice)(1.0).eqns) == 2
        jax.core.enable_cse = False
        assert len(jax.make_jaxpr(twice)(1.0).eqns) == 3
        """)
    run(*text, overlay=overlay(), JAX_CSE="1")

  def test_an_interrupt_before_the_question(self):
    run(*script("""
        import sys
        import jax
        from jax import lax
        import jax_cse

        def interrupt(frame, event, arg):
          if event == "call" and frame.f_code.co_name == "bind_with_trace" and (
              frame.f_back.f_code.co_name == "plain"):
            sys.setprofile(None)
            raise KeyboardInterrupt

        twice = lambda t: lax.sin(t) + lax.sin(t)
        with jax_cse.enabled():
          sys.setprofile(interrupt)
          try:
            jax.make_jaxpr(lambda t: twice(t))(1.0)
          except KeyboardInterrupt:
            pass
          else:
            assert False
          assert len(jax.make_jaxpr(twice)(1.0).eqns) == 2
        """), overlay=overlay())

  def test_the_last_assignment_holds(self):
    run(*script("""
        from concurrent import futures
        import time
        import jax
        from jax_cse.memo import contexts
        plain = contexts.follow_toggle

        def slow(value):
          plain(value)
          time.sleep(0.2)

        contexts.follow_toggle = slow
        with futures.ThreadPoolExecutor(1) as pool:
          first = pool.submit(setattr, jax.core, "enable_cse", True)
          time.sleep(0.1)
          jax.core.enable_cse = "ring"
          first.result()
        assert jax.core.enable_cse == "ring"
        assert contexts.active_mode() == "ring"
        """), overlay=overlay())

  def test_may_be_mocked(self):
    run(*script("""
        from unittest import mock
        import jax, jax_cse
        with mock.patch.object(jax.core, "enable_cse", True):
          assert jax_cse.active_mode() == "exact"
        assert jax_cse.active_mode() is None
        """), overlay=overlay())

  def test_on_threads(self):
    run(*script("""
        from concurrent import futures
        import jax
        from jax import lax
        twice = lambda t: lax.sin(t) + lax.sin(t)
        count = lambda: len(jax.make_jaxpr(lambda t: twice(t))(1.0).eqns)
        with futures.ThreadPoolExecutor(2) as pool:
          for value, wanted in ((True, 2), (False, 3), (True, 2)):
            jax.core.enable_cse = value
            counts = [pool.submit(count) for _ in range(20)]
            counts = [done.result() for done in counts]
            assert counts == [wanted] * 20, counts
        """), overlay=overlay())


if __name__ == "__main__":
  absltest.main()
