"""Whether a rebuilt program computes the same.

    verification    of two programs: the first equation that is further off
    rounding        how far rounding moves a result
    perturbation    an evaluation in which each operation is off in its last bit

Source: Parker 1997, "Monte Carlo arithmetic", for the measure.
"""
