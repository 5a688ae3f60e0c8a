"""`st-bench report`: records as one page, without script or network.

One more figure: a function in `figures.py` that draws one record, and its place in the section that `page.py` makes.
"""
