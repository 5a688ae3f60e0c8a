"""`st-bench compare`: what changed between two records.

One more figure to compare: its values of each round, under its name, among the figures in `comparison.py`.
"""
