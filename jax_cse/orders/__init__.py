"""How many equations a nested derivative has, by order and by way.

    order_counts     the counts
    order_figure     drawn
    plot_counts      of a function of the user's
    blowup           of that of the thread, with a table

Other ways are plain JAX and jet.
"""
