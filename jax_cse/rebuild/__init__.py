"""Programs rebuilt at less cost: the explicit trace.

    deferred, cse_trace                  values that are put off
    planning, uniting                    which of them to compute, and by what
    simplification                       of a jaxpr, or a function
    curves                               derivatives along a curve
    derivation, ring_rules, user_rules, nested_jvp   by value, and by JAX
    eager_derivatives, known_programs    programs of theirs that are kept
    linear_program, rows, staging, reverse_mode   of what `vjp` makes

The public functions are in `transforms`.
"""
