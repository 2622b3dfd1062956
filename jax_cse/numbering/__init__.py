"""When are two values the same? Each has a number; equal ones have one.

    fingerprint, keys, expressions       the key of an application, its number
    structure                            jaxprs that are written alike
    values, array_owners, value_numbering   operands of a bind, arrays by bits
    bodies, congruence, refinement, call_numbering, loop_numbering   inside
    custom_rules, identities             other equalities, bit for bit
    algebra, linear_maps, scalars        equalities in a ring
    jaxpr_numbering                      all of it: a scope
    rewriting, narrowing                 a jaxpr, a call, without duplicates

Nothing is bound here.
"""
