"""What is known of primitives, as tables.

Which are never merged and why, which operands may be swapped, which are linear
and what they cost, which work element by element.
"""
