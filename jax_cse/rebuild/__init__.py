"""Programs rebuilt at less cost: the explicit trace.

    deferred, cse_trace                  values that are put off
    planning, uniting                    which of them to compute, and by what
    simplification                       of a jaxpr, a function, its derivatives
    derivation, user_rules, nested_jvp   derivatives, by value and by JAX
    linear_program, rows, staging, reverse_mode   of what `vjp` makes

The public functions are in `transforms`.
"""
