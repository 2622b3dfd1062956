"""What a program computes twice, told and drawn.

    redundancy, redundancy_report, duplicates, comparison   the findings
    recording, run_report, report_page, source_listing      the page of a run
    jaxpr_graph, layered_layout, jaxpr_pictures             graphs on it
    plots, order_counts, pictures                           counts by order

Nothing else imports it, except what shows it.
"""
