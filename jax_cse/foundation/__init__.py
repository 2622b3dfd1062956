"""The base of the package, free of JAX's private names.

It can be imported on any JAX, and so refuses one that is not supported. It has
modes, checks of arguments, errors and versions, the context that is active on
each thread, and the counting of equations.
"""
