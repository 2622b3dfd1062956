"""Derivatives along many directions at once, and sums over them.

    axes, products                       what varies along an axis, and how
    early_sums, sum_rules, summed_bodies     sums, taken as early as they can be
    second_derivatives                   along directions, with weights
    sparse_directions, slots, slot_*, reslotting, known_indices
                                         directions that reach few values

They take jaxprs and give jaxprs, or evaluate them.
"""
