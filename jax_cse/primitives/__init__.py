"""Properties of primitives, as tables.

Which are never merged and why, which operands may be swapped, which are linear,
which are elementwise, and their costs.
"""
