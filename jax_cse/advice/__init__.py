"""What would pay: another way to write a program, made and counted.

    nested_derivatives             `grad` of `grad` by a number
    hessian_traces, known_parts    a Laplacian as the trace of a Hessian
    given_up                       calls and loops that are left alone
    advice                         all of them, and a mode that rebuilds

A change is advised where the other program has a tenth fewer flops.
"""
