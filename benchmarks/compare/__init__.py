"""`st-bench compare`: what changed between two records.

One more figure to compare: a row in `comparison.py`.
"""
