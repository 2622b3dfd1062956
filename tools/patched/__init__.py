"""A JAX with the patches of `patches/` in it, beside the installed one."""
