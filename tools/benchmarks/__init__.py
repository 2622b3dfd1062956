"""Benchmarks of jax_cse. Every figure is a ratio against a control, plain JAX
if nothing else is said, measured in the same run; a time by itself says more
about the machine.

`frame` has what a row is and how it is measured, each other module the entries
of one idea, `contenders` the ways that are
compared, `__main__` the command line. An entry is a generator function under
`@entry(...)` that checks counts first and then yields one `Case` for each row:

    @entry("what it measures")
    def name():
      assert ...
      yield Case("row", control=..., candidate=..., limit=1.25)

A `Contest` of `contests` in place of a `Case` is several ways to the same values
beside each other, a row each, stage by stage.
"""
