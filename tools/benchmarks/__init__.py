"""Benchmarks of jax_cse. Every figure is a ratio against a control, plain JAX
if nothing else is said, measured in the same run; a time by itself says more
about the machine.

`frame` has what a row is and how it is measured, `sizes` how much of it,
`contests` what many ways in
many stages are, `contenders` the ways, `__main__` the command line, and each
other module the entries of one idea. An entry is a generator function under
`@entry(...)` that checks counts first and then yields one `Case` for each row:

    @entry("what it measures")
    def name(size):
      assert ...
      yield Case("row", control=..., candidate=..., limit=1.25)

or a `Contest`, of which every way is a row, checked before it is timed.
"""
