"""Whether CSE is worth it for a program, measured.

    run_comparison                 its runs, without CSE and with it, in turns
    measured_run, timed_calls      one run of them, a process of its own
    first_look                     the line and the change to begin with
    gain                           the verdict
    comparison_table               all of that as text

Seconds are of processor time.
"""
