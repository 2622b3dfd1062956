"""The algebra: sums and products that are equal have one number. Pure Python.

    coefficients, polynomials, cores, points   elements; values at a point
    ring, linear_ring                    the ring, and one with linear maps
    normal_form, factoring, collecting   ways to compute a polynomial
    collapse                             sums of images, as images of sums
    rewrites, extraction, emission       candidates, the cheapest, its equations

The caller decides what an atom is, and does the operations.
"""
