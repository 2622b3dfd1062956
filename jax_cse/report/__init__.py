"""The report on a function, and the page on a program.

    redundancy                                             of a function
    recording, replaced_jit, running                       a program as it runs
    run_report, report_page, source_listing                the page on it
    jaxpr_graph, graph_pairs, graph_svg, layered_layout    graphs on that

Nothing else imports it, except what shows it.
"""
