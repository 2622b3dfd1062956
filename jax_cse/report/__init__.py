"""What a program computes twice, told and drawn.

    duplicates, findings, comparison                       what is found
    derivative_calls, traceable                            traced, with lines
    advice                                                 what would pay
    nested_derivatives, hessian_traces, known_parts, given_up    and where
    redundancy, redundancy_report                          the report of it
    recording, run_report, report_page, source_listing     the page of a run
    run_comparison, comparison_table, gain                 is it worth it?
    measured_run, timed_calls                              one run of that
    running, replaced_jit                                  of any run
    jaxpr_graph, graph_pairs, graph_svg, layered_layout    graphs on it
    order_counts, order_figure, plot_counts, blowup        counts by order
    naming                                                 names of functions

Nothing else imports it, except what shows it.
"""
