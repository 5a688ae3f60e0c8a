"""`st-bench`: engines against each other, in rounds that take turns.

One more scenario: a function in `scenarios.py` that makes one round's values, and its column in `table.py`.
"""
