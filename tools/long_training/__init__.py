"""An hour of training under CSE, in which nothing may grow.

`training` has what is trained, `sizes` what is measured, `endurance` the runs
and the command line.
"""
