"""When are two values the same? Each has a number; equal ones have one.

    fingerprint, keys, expressions       the key of an application, its number
    values, array_owners, value_numbering   operands of a bind, arrays by bits
    bodies, congruence, refinement, call_numbering, loop_numbering   inside
    custom_rules, identities             what else is equal bit for bit
    algebra, linear_maps, scalars        what is equal in a ring
    jaxpr_numbering                      all of it: a scope
    rewriting, narrowing                 a jaxpr, a call, of what is left

Nothing is bound here.
"""
