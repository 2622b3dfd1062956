"""The algebra: sums and products that are equal have one number. Pure Python.

    cores, coefficients, points          elements, and their values at a point
    ring, linear_ring                    the ring, and one with linear maps
    normal_form, factoring, collecting   ways to compute a polynomial
    axis_sums, collapse                  sums over an axis, where they cost less
    extraction, emission                 the cheapest way, and its operations

What an atom is and how an operation is done is said from outside.
"""
