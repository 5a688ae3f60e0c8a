"""`st-bench`: engines against each other, in rounds that take turns.

One more scenario: a class in `scenarios.py` that keeps the Protocol there and makes one round's values, its name in
`benchmarks/records/speed.py`, and who runs it in `candidates.py`.
"""
