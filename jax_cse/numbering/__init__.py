"""When are two values the same? Each has a number; equal ones have one.

    fingerprint, keys, expressions       the key of an application, its number
    values, array_owners, value_numbering   operands of a bind, arrays by bits
    congruence, jaxpr_numbering, call_numbering, loop_numbering   what is inside
    custom_rules, identities             what else is equal bit for bit
    algebra, linear_maps, scalars        what is equal in a ring
    narrowing                            a jaxpr of what is left

Nothing is bound here.
"""
