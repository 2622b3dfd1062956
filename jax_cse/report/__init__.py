"""What a program computes twice, told and drawn.

    redundancy, redundancy_report, duplicates, comparison   the findings
    recording, run_report, report_page, source_listing      the page of a run
    jaxpr_graph, graph_pairs, graph_svg, layered_layout     graphs on it
    order_counts, order_figure, plot_counts, blowup         counts by order
    naming                                                  names of functions

Nothing else imports it, except what shows it.
"""
