"""`st-bench gpu`: all that is to be measured on a GPU, in one call.

One more way to run a network there: a function in `rows.py` that makes its rows.
"""
