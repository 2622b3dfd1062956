"""What a program computes twice, by the lines of its user.

    derivative_calls, traceable    traced, with the calls of `grad` and `jvp`
    duplicates                     equations that repeat others
    findings                       gathered by line
    comparison                     the program without CSE and with it
    redundancy_report              all of that as text
    naming                         names of functions

What is found is told by `report`, and tried otherwise by `advice`.
"""
