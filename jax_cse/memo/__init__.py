"""The memoized bind: `enabled()` and the tables that it asks.

    contexts                  on this thread, or in the whole process
    memo_table, gate          the tables of a thread, and the order of questions
    jaxpr_table               where a program is traced: equations
    transform_table           under `jvp`, `grad` and `vmap`: results
    eval_table, eager_table   evaluated at once: arrays, within a budget
    statistics                hits and misses, and why not
    seconds                   to trace, lower and compile each function

A table that does not answer leaves the bind to JAX.
"""
