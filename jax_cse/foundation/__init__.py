"""What stands below all: no private name of JAX enters here.

So it can be imported on any JAX, to refuse one that is not supported: what a
user says (modes, inputs), what is answered (errors, versions), which context
is active on which thread, and the counting of equations.
"""
